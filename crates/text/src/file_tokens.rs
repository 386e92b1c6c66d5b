//! Tokens of a text file.

use crate::corpus::{self, Corpus, Piece};
use crate::tokenizer::{Control, TextError, Tokenizer};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Error of reading the tokens of a file.
#[derive(Debug, thiserror::Error)]
pub enum FileTokensError {
    /// The file.
    #[error(transparent)]
    File(#[from] corpus::Error),
    /// Its text.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl FileTokensError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            FileTokensError::File(error) => error.code(),
            FileTokensError::Text(error) => error.code(),
        }
    }
}

/// The tokens of a file, after an end-of-text token if the tokeniser has one, so that the first
/// token of the file is predicted too.
///
/// # Errors
/// [`FileTokensError`] if the file cannot be read as text.
pub fn file_tokens(
    path: &PathBuf,
    tokenizer: &Tokenizer,
    threads: usize,
) -> Result<Vec<u32>, FileTokensError> {
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
