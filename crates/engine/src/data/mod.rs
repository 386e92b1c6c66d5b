//! Corpora, token files, batches, and the built-in stories.

pub mod batches;
mod error;
pub mod permutation;
pub mod rng;
mod token_source;

pub use batches::{Batches, EvalWindows};
pub use error::Error;
pub use rng::{Purpose, Rng};
pub use token_source::TokenSource;

/// The target of a place that has none: its loss and gradient are 0.
pub const IGNORE: u32 = u32::MAX;
