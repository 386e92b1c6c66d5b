//! What can go wrong with text and tokenisers, and what to do about it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Longest piece of a file that an error message repeats, in characters.
const FOUND_CHARS_MAX: usize = 60;

/// Errors of training, reading and using a tokeniser.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}. Check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// Another error, and the file it is about.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TextError>,
    },

    /// A tokenizer.json that is no JSON, or lacks a field.
    #[error(
        "not a readable tokenizer.json: {found}. Train the tokeniser again, or copy the file again \
         from where it came"
    )]
    Json {
        /// What the parser met and where.
        found: String,
    },

    /// A tokenizer.json of a form that this program does not read.
    #[error(
        "field `{field}` of the tokeniser: found {found}, expected {expected}. Only the four \
         kinds that this program writes can be read"
    )]
    Format {
        /// The field, as a path into the JSON.
        field: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: String,
    },

    /// Something larger than a file from elsewhere may make it.
    #[error("the tokeniser has {found} {what}; at most {limit} are allowed")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many there are, as far as they were counted.
        found: usize,
        /// How many there may be.
        limit: usize,
    },

    /// An option that makes no sense.
    #[error("option `{field}`: found {found}, expected {expected}")]
    Option {
        /// The option.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },

    /// Text without anything to learn a vocabulary from.
    #[error(
        "the text has nothing to learn a vocabulary from: it is empty, or no word of it occurs \
         {min_count} times. Give more text, or a smaller `min_count`"
    )]
    NoWords {
        /// The count that a word needs.
        min_count: u64,
    },

    /// The library that learns merges refused.
    #[error("learning merges failed: {found}. This is a bug: please report it with the text")]
    Learn {
        /// What it said.
        found: String,
    },

    /// The cancellation flag was set.
    #[error("cancelled")]
    Cancelled,
}

impl TextError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            TextError::Read { .. } => "file-unreadable",
            TextError::InFile { source, .. } => source.code(),
            TextError::Json { .. } => "tokenizer-damaged",
            TextError::Format { .. } => "tokenizer-unsupported",
            TextError::TooLarge { .. } => "tokenizer-too-large",
            TextError::Option { .. } => "tokenizer-refused",
            TextError::NoWords { .. } => "text-without-words",
            TextError::Learn { .. } => "tokenizer-bug",
            TextError::Cancelled => "cancelled",
        }
    }

    /// [`TextError::Format`], with a value from a file cut to a readable length.
    pub(super) fn format(
        field: impl Into<String>,
        found: impl Display,
        expected: impl Into<String>,
    ) -> TextError {
        TextError::Format {
            field: field.into(),
            found: shorten(&found.to_string()),
            expected: expected.into(),
        }
    }

    /// The same error, saying which file it is about.
    pub(super) fn in_file(self, path: &Path) -> TextError {
        TextError::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

/// The first [`FOUND_CHARS_MAX`] characters of `text`.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(FOUND_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
