//! Corpora, token files, batches, and the built-in stories.

pub mod batches;
mod corpus;
mod error;
pub mod permutation;
pub mod rng;
mod split;
pub mod stories;
mod text_reader;
mod token_file;
mod token_file_writer;
mod token_source;

pub use batches::{Batches, EvalWindows};
pub use corpus::{Corpus, FileReport, Fingerprint, InvalidBytes, LineEnds, Piece, TextRules};
pub use error::Error;
pub use rng::{Purpose, Rng};
pub use split::{Place, Span, Split, hold_out};
pub use token_file::{TokenFile, TokenOrigin};
pub use token_file_writer::TokenFileWriter;
pub use token_source::TokenSource;

pub use kernels::cross_entropy::IGNORE;
