//! Corpora: checking and reading text files, held-out text, token files, and batches.

pub mod batches;
mod boundary;
pub mod compare;
mod error;
mod excerpts;
mod held_out;
mod input;
pub mod permutation;

mod text_files;
mod text_reader;
mod token_file;
mod token_file_writer;
mod token_source;

pub use batches::{Batches, EvalWindows};
pub use error::Error;
pub use excerpts::Excerpt;
pub use held_out::{Split, TextPosition, TextSpan, hold_out};
pub use input::{Input, InputText, STANDARD_INPUT, open_regular};
pub use text_files::{Corpus, FileFingerprint, FileReport, Piece};
pub use text_reader::{InvalidBytes, LineEnds, NormalForm, TextChanges, TextRules};
pub use token_file::{TokenFile, TokenOrigin};
pub use token_file_writer::TokenFileWriter;
pub use token_source::TokenSource;
pub(crate) use token_source::hide;
