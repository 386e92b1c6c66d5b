//! Tokens of a text file.

use crate::corpus::{self, Corpus, Piece};
use crate::tokenizer::{Control, TextError, Tokenizer};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Why a file has no tokens.
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

/// The tokens of a file, after an end of text where there is such a token: so the first of the
/// file's own is predicted, too.
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
