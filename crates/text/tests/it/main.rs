//! Integration tests of the text crate, in one binary.

mod tokenizers;
mod word_classes;
