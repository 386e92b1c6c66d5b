//! Errors of building word classes and of reading stored ones.

/// An error of building or reading classes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassError {
    /// An invalid option.
    #[error("classes: option `{field}`: found {found}, expected {expected}")]
    Option {
        /// The option.
        field: &'static str,
        /// Its value.
        found: String,
        /// The accepted values.
        expected: String,
    },

    /// A token outside the vocabulary.
    #[error(
        "classes: token {position} of the text has id {found}, expected an id below {vocab_size}. \
         Encode the text again with the tokeniser of this vocabulary"
    )]
    Token {
        /// Position in the text, in tokens.
        position: usize,
        /// Its id.
        found: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },

    /// Stored classes that do not contain each token exactly once.
    #[error(
        "classes: field `{field}`: found {found}, expected {expected}. The file is damaged or of \
         another program: build the classes again"
    )]
    Stored {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The accepted value.
        expected: String,
    },

    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ClassError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            ClassError::Option { .. } => "classes-refused",
            ClassError::Token { .. } => "token-outside-vocabulary",
            ClassError::Stored { .. } => "classes-damaged",
            ClassError::Cancelled => "cancelled",
        }
    }
}
