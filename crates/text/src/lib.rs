//! Text processing: corpora, tokenisers, batches, and the structure of a vocabulary.
//!
//! Text files become token ids, token ids become batches, and the vocabulary gets a structure:
//! classes, orders, parts of words, n-grams. This crate knows no tensors and no models. Threads,
//! random numbers come from `kernels`, exact integers from `lattice`.
//!
//! Reading order, each module before those that use it:
//!
//! - [`corpus`]: text files, held-out text, token files, and the tokens of each training step.
//! - [`tokenizer`]: text to token ids and back; choice of a vocabulary.
//! - [`stories`]: the built-in corpus, short stories from a grammar, and a parser for them.
//! - [`vocab`]: classes and orders of tokens, parts of words, frequent n-grams.
#![forbid(unsafe_code)]

pub mod corpus;
mod digits;
mod file_tokens;
pub mod stories;
mod target_counts;
pub mod tokenizer;
pub mod vocab;

pub use digits::{counted, thousands};
pub use file_tokens::{DocumentRules, FileTokensError, input_tokens, split_file_tokens};
pub use target_counts::TargetCounts;

/// Whether a file could not be written because there is no space for it: the disk, the quota or the
/// limit on the size of files (`ulimit -f`) is used up.
pub fn is_disk_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
