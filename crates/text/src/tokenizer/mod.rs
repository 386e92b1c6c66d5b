//! Tokenisers: words, pre-tokenised text, byte-level BPE, characters.
//!
//! Text is cut at special tokens (`specials`), split into pre-tokens by a hand-written scanner
//! (`pretokenize`, `unicode`), and each pre-token becomes ids: looked up, or merged from bytes
//! (`bpe`, `merge`). A kind is a split rule and a method of choosing the vocabulary:
//!
//! | kind    | split into               | vocabulary                        | file       |
//! |---------|--------------------------|-----------------------------------|------------|
//! | `word`  | words, numbers, marks    | frequent words, pieces, 256 bytes | `word`     |
//! | `split` | words between blanks     | all words, `<eos>`, `<unk>`       | `split`    |
//! | `bpe`   | by GPT-2's rule          | 256 bytes and merges of them      | `bpe_train`|
//! | `char`  | characters               | frequent characters, 256 bytes    | `chars`    |
//!
//! All are written as tokenizer.json (`json_write`, `json_read`, `format`). The Hugging Face
//! libraries should give the same ids; no test compares them yet.

mod any_kind;
mod beginnings;
mod bpe;
mod bpe_train;
mod bytes;
mod chars;
mod count;
mod documents;
mod error;
mod format;
mod json_read;
mod json_write;
mod merge;
mod options;
mod parallel;
mod pretokenize;
mod specials;
mod split;
mod stream;
pub(crate) mod unicode;
mod word;

pub use any_kind::Tokenizer;
pub use documents::{Document, EncodedText, documents};
pub use error::TextError;
pub use options::{TokenizerKind, TrainOptions, VOCAB_SIZE_MAX};
pub use parallel::Control;
pub use specials::{END_OF_LINE, END_OF_TEXT, UNKNOWN};
pub use stream::StreamDecoder;
