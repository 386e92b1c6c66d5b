//! Vocabulary structure: classes and orders of tokens, parts of words, word spans, n-grams.

pub mod classes;
mod code_file;
pub mod compose;
pub mod morphemes;
mod ngram_file;
pub mod ngrams;
pub mod order;
mod parts;
mod prime_codes;
pub mod word_spans;

pub use code_file::{
    CODES_NAME, CodeFileError, codes_json, learn_codes, read_codes, read_composer,
};
pub use ngram_file::{NGRAMS_NAME, NgramFileError, ngrams_bytes, read_ngrams};
pub use parts::{Parts, all_shown, shown};
pub use prime_codes::{PathCodes, PrimeCodes, TokenPath};
