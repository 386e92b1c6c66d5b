//! Text and what is made of it before any model: strings, token ids and counts.
//!
//! Files of text become token ids, token ids become batches, and the vocabulary gets a structure:
//! classes, orders, parts of words, n-grams. Nothing here knows a tensor or a model. Threads, mapped
//! files and random numbers come from `kernels`, exact integers from `lattice`.
//!
//! Reading order, each module before those that use it:
//!
//! - [`corpus`]: text files checked and read, the part held out for validation, token files, and
//!   which tokens a training step sees.
//! - [`tokenizer`]: text to token ids and back; how a vocabulary is chosen.
//! - [`stories`]: the built-in corpus, short stories from a grammar, and a parser for them.
//! - [`vocab`]: which tokens belong together, what words are made of, which n-grams are frequent.
#![forbid(unsafe_code)]

pub mod corpus;
mod digits;
mod file_tokens;
pub mod stories;
pub mod tokenizer;
pub mod vocab;

pub use digits::thousands;
pub use file_tokens::{FileTokensError, file_tokens};
