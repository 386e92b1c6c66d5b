//! Errors of learning morphemes and of reading codes.

use std::fmt::Display;

/// Longest quotation from a file in an error message, in characters.
const FOUND_CHARS_MAX: usize = 60;

/// An error of learning morphemes or of reading codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MorphemeError {
    /// A code file with invalid contents.
    #[error(
        "field `{field}` of the morpheme codes: found {found}, expected {expected}. Train the \
         tokeniser again, or copy its files again from where they came"
    )]
    Format {
        /// The field, as a path into the JSON.
        field: String,
        /// Its value.
        found: String,
        /// The accepted values.
        expected: String,
    },

    /// The cancellation flag was set.
    #[error("cancelled")]
    Cancelled,
}

impl MorphemeError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            MorphemeError::Format { .. } => "codes-damaged",
            MorphemeError::Cancelled => "cancelled",
        }
    }

    /// [`MorphemeError::Format`], with a value from a file cut to a readable length.
    pub(in crate::vocab) fn format(
        field: impl Into<String>,
        found: impl Display,
        expected: impl Into<String>,
    ) -> MorphemeError {
        let found = found.to_string();
        let found = match found.char_indices().nth(FOUND_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &found[..end]),
            None => found,
        };
        MorphemeError::Format { field: field.into(), found, expected: expected.into() }
    }
}
