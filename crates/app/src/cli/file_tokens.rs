//! A text file as the tokens of a model.

use anyhow::Result;
use std::ops::ControlFlow;
use std::path::PathBuf;
use text::corpus::{Corpus, Piece};
use text::tokenizer::{Control, Tokenizer};

/// The tokens of a file, after an end of text where there is such a token: so the first of the
/// file's own is predicted, too.
pub fn tokens(path: &PathBuf, tokenizer: &Tokenizer, threads: usize) -> Result<Vec<u32>> {
    let corpus = Corpus::open(std::slice::from_ref(path), Default::default())?;
    let mut text = String::new();
    corpus.read(corpus.all(), |piece| {
        if let Piece::Text(piece) = piece {
            text.push_str(piece);
        }
        ControlFlow::Continue(())
    })?;
    let mut tokens = tokenizer.encode_parallel(&text, &mut Control::threads(threads))?;
    if let Some(end) = tokenizer.text_end() {
        tokens.insert(0, end);
    }
    Ok(tokens)
}
