//! Tokeniser tests: against the Hugging Face libraries, on hostile text, and from hostile files.
//!
//! Some tests read corpora that are not in the repository: `CRYSTALLINE_TEST_DATA` names the
//! folder with `tinyshakespeare.txt` and `wikitext-2/{train,valid}.txt`. Without it they say
//! "skipped".

// A panic is how a test fails; clippy allows it only in functions marked as tests.
#![allow(clippy::unwrap_used)]

mod any_text;
mod corpora;
mod files;
mod golden;
mod hostile;
mod reordered;
mod speed;

use std::path::{Path, PathBuf};
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

/// A folder of this crate's test data.
fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizers")
}

/// The text on which the small tokenisers of these tests are trained.
fn training_text() -> String {
    std::fs::read_to_string(golden_folder().join("train.txt")).unwrap()
}

/// A small tokeniser of each kind: many words are outside its vocabulary.
fn small(kind: TokenizerKind) -> Tokenizer {
    let vocab_size = if kind == TokenizerKind::Split { 200 } else { 512 };
    let options = TrainOptions { vocab_size, ..TrainOptions::new(kind) };
    Tokenizer::train(&options, &[&training_text()], &mut Control::threads(1)).unwrap()
}

/// The same tokeniser in the `tokenizers` crate.
fn reference(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_json()).unwrap()
}

/// The ids that the `tokenizers` crate gives.
fn reference_ids(reference: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
    reference.encode_fast(text, false).unwrap().get_ids().to_vec()
}

/// A corpus, or `None` after saying that `test` was skipped.
fn corpus(test: &str, name: &str) -> Option<String> {
    let beside_workspace = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
        Some(workspace.parent()?.join("shared").join("data"))
    };
    let given = std::env::var_os("CRYSTALLINE_TEST_DATA").map(PathBuf::from);
    let path = given.or_else(beside_workspace)?.join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {test}: no {}; set CRYSTALLINE_TEST_DATA", path.display());
    }
    text
}
