//! Errors of text files and token files.

use crate::counted;
use std::path::PathBuf;

/// An error about data. Each message says what was found, what was expected, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No path was given.
    #[error("no text file was given; name at least one")]
    NoFiles,
    /// A path does not exist.
    #[error("{path}: there is no such file; check the spelling and the current folder", path = path.display())]
    Missing {
        /// The path given.
        path: PathBuf,
    },
    /// A path is a folder.
    #[error("{path}: this is a folder; name the text files in it (for example {path}/*.txt)", path = path.display())]
    Folder {
        /// The path given.
        path: PathBuf,
    },
    /// A path is a pipe, a device or a socket.
    #[error("{path}: this is not a regular file but a pipe, a device or a socket; save the text to a file first", path = path.display())]
    NotRegular {
        /// The path given.
        path: PathBuf,
    },
    /// The system refused to open or read a file.
    #[error("{path}: cannot be read ({source}); check its permissions and the disk", path = path.display())]
    Unreadable {
        /// The path given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has no bytes other than a byte order mark.
    #[error("{path}: the file is empty; give a file with text", path = path.display())]
    Empty {
        /// The path given.
        path: PathBuf,
    },
    /// A file is made by the system while it is read, so that no two readings are the same.
    #[error("{path}: the system makes this file while it is read; copy it to a file of its own first", path = path.display())]
    Generated {
        /// The path given.
        path: PathBuf,
    },
    /// A file of settings, or a text from a pipe, that is longer than any of its kind.
    #[error("{path}: more than {limit} bytes; save a text as a file, or check that this is the right one", path = path.display())]
    TooLong {
        /// The path given.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// A file is in another encoding of Unicode.
    #[error("{path}: the file is {name}; convert it first: iconv -f {name} -t UTF-8", path = path.display())]
    OtherEncoding {
        /// The path given.
        path: PathBuf,
        /// Name of the encoding.
        name: &'static str,
    },
    /// An archive, or a document that holds its text in a form of its own.
    #[error("{path}: this is {kind}, not plain text; {remedy}", path = path.display())]
    NotPlainText {
        /// The path given.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A file whose invalid bytes may be replaced has so many that no text would be left.
    #[error(
        "{path}: {:.0} % of it is not UTF-8 text; it is a binary file or in another encoding, \
         which iconv converts",
        100.0 * share, path = path.display()
    )]
    MostlyInvalid {
        /// The path given.
        path: PathBuf,
        /// Share of invalid sequences and zero bytes, from 0 to 1.
        share: f64,
    },
    /// A file had another length at the end of reading it than at the beginning.
    #[error(
        "{path}: it went from {before} to {after} bytes while it was read; wait until no other \
         program writes it",
        path = path.display()
    )]
    ChangedInReading {
        /// The path given.
        path: PathBuf,
        /// Bytes before.
        before: u64,
        /// Bytes read.
        after: u64,
    },
    /// A byte that is not valid UTF-8 at that position.
    #[error(
        "{path}: not UTF-8 at byte {offset} (0x{byte:02x}); convert it to UTF-8 first, \
         such as with iconv",
        path = path.display()
    )]
    NotUtf8 {
        /// The path given.
        path: PathBuf,
        /// Offset in bytes from the start of the file.
        offset: u64,
        /// The first invalid byte.
        byte: u8,
    },
    /// A zero byte, which text files do not contain.
    #[error(
        "{path}: zero byte at {offset}: this looks like a binary file; give plain text",
        path = path.display()
    )]
    ZeroByte {
        /// The path given.
        path: PathBuf,
        /// Offset in bytes from the start of the file.
        offset: u64,
    },
    /// A file has changed since it was first read.
    #[error(
        "{path}: the file changed (it had {expected}, it has {found}); \
         restore it, or start a new run",
        path = path.display()
    )]
    Changed {
        /// The path given.
        path: PathBuf,
        /// Recorded size and hash.
        expected: String,
        /// Current size and hash.
        found: String,
    },
    /// Not enough tokens for one window and its last target.
    #[error(
        "the text has {}, and one training window needs {}; \
         give more text or lower seq_len (now {seq_len})",
        counted(*found, "token"), counted(seq_len + 1, "token")
    )]
    TooFewTokens {
        /// Number of tokens found.
        found: usize,
        /// Number of tokens in a window.
        seq_len: usize,
    },
    /// A fraction of held-out text outside [0, 1).
    #[error("the share to hold out is {found}: expected at least 0 and below 1")]
    BadFraction {
        /// The fraction given.
        found: f64,
    },
    /// A text too short to hold out the requested fraction.
    #[error(
        "the text has {}, too few to hold some out for validation; \
         give more text, a file to validate with, or hold nothing out", counted(*found as usize, "byte")
    )]
    TooShortToSplit {
        /// Number of bytes found.
        found: u64,
    },
    /// A token file that is damaged or of another kind.
    #[error("{path}: {field}: found {found}, expected {expected}; copy it again from where it came, or train anew from the text", path = path.display())]
    TokenFile {
        /// The token file.
        path: PathBuf,
        /// The wrong field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// A token outside the vocabulary.
    #[error("token {found} is outside the vocabulary of {vocab_size}; the tokenizer does not fit")]
    TokenOutside {
        /// The token.
        found: u32,
        /// Number of tokens in the vocabulary.
        vocab_size: u64,
    },
    /// Writing a file failed. No partial file is left, and an older file is unchanged.
    #[error("{path}: cannot be written ({source}); check the free space and the permissions", path = path.display())]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NoFiles => "no-text",
            Error::Missing { .. } => "text-missing",
            Error::Folder { .. } => "text-is-folder",
            Error::NotRegular { .. } => "text-not-regular",
            Error::Unreadable { .. } => "text-unreadable",
            Error::Empty { .. } => "text-empty",
            Error::Generated { .. } => "text-not-regular",
            Error::TooLong { .. } => "file-too-large",
            Error::OtherEncoding { .. } => "text-utf16",
            Error::NotPlainText { .. } => "text-not-plain",
            Error::MostlyInvalid { .. } => "text-mostly-invalid",
            Error::NotUtf8 { .. } => "text-not-utf8",
            Error::ZeroByte { .. } => "text-binary",
            Error::Changed { .. } | Error::ChangedInReading { .. } => "text-changed",
            Error::TooFewTokens { .. } => "text-too-few-tokens",
            Error::BadFraction { .. } => "holdout-refused",
            Error::TooShortToSplit { .. } => "text-too-short-to-split",
            Error::TokenFile { .. } => "token-file-damaged",
            Error::TokenOutside { .. } => "token-outside-vocabulary",
            Error::Unwritable { .. } if self.is_disk_full() => "disk-full",
            Error::Unwritable { .. } => "file-unwritable",
        }
    }

    /// Whether the cause is a full disk or quota.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Unwritable { source, .. } if crate::is_disk_full(source))
    }
}
