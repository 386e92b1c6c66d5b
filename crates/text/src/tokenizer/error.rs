//! Errors of tokenisers: training, reading and use.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Longest quotation from a file in an error message, in characters.
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

    /// A tokenizer.json that is not JSON, or lacks a field.
    #[error(
        "not a readable tokenizer.json: {found}. Train the tokeniser again, or copy it again from its \
         source"
    )]
    Json {
        /// Message of the parser, with the position.
        found: String,
    },

    /// A tokenizer.json with contents that this program does not support.
    #[error(
        "field `{field}` of the tokeniser: found {found}, expected {expected}. Only the four \
         kinds that this program writes can be read"
    )]
    Format {
        /// The field, as a path into the JSON.
        field: String,
        /// Its value.
        found: String,
        /// The accepted values.
        expected: String,
    },

    /// A count above the limit for files.
    #[error("the tokeniser has {found} {what}; at most {limit} are allowed")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The count, or the point at which counting stopped.
        found: usize,
        /// The largest count allowed.
        limit: usize,
    },

    /// An invalid option.
    #[error("option `{field}`: found {found}, expected {expected}")]
    Option {
        /// The option.
        field: &'static str,
        /// Its value.
        found: String,
        /// The accepted values.
        expected: String,
    },

    /// A text with nothing to learn a vocabulary from.
    #[error(
        "the text has no {}to learn a vocabulary from; give {}", Common(*min_count),
        if *min_count > 1 { "more text, or a smaller `min_count`" } else { "a text with words" }
    )]
    NoWords {
        /// The smallest count of a word in the vocabulary.
        min_count: u64,
    },

    /// The library that learns merges failed.
    #[error("learning merges failed: {found}. This is a bug: please report it with the text")]
    Learn {
        /// Its message.
        found: String,
    },

    /// An id that no token has.
    #[error(
        "id {id}, number {position} of the ids: expected less than {limit}, the size of the vocabulary"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Its place among the ids, from 1.
        position: usize,
        /// The size of the vocabulary.
        limit: usize,
    },

    /// A word that is no id.
    #[error("{found:?}, number {position} of the ids: expected a whole number from 0")]
    NoId {
        /// The word.
        found: String,
        /// Its place among the ids, from 1.
        position: usize,
    },

    /// The system refused a thread.
    #[error("the system refused to start a thread: {source}")]
    NoThread {
        /// What the system said.
        source: std::io::Error,
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
            TextError::UnknownId { .. } | TextError::NoId { .. } => "ids-refused",
            TextError::NoThread { .. } => "no-thread",
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

    /// The same error with the file that it is about.
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

/// What a text lacks that has no word so often.
struct Common(u64);

impl std::fmt::Display for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 | 1 => write!(f, "words "),
            n => write!(f, "words that occur {n} times "),
        }
    }
}
