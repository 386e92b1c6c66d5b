//! Corpora: text files as they are checked and read, token files, and the batches made of them.

pub mod batches;
mod error;
pub mod permutation;
mod split;
mod text_files;
mod text_reader;
mod token_file;
mod token_file_writer;
mod token_source;

pub use batches::{Batches, EvalWindows};
pub use error::Error;
pub use split::{Place, Span, Split, hold_out};
pub use text_files::{Corpus, FileReport, Fingerprint, InvalidBytes, LineEnds, Piece, TextRules};
pub use token_file::{TokenFile, TokenOrigin};
pub use token_file_writer::TokenFileWriter;
pub use token_source::TokenSource;
