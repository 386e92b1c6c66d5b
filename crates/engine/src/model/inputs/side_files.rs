//! Side files of the input layer: its files in a model folder, apart from parameters.

use super::InputLayer;
use crate::model::layout::Layout;
use std::path::Path;
use text::corpus::TokenFile;
use text::tokenizer::Tokenizer;
use text::vocab::{
    CodeFileError, NGRAMS_NAME, NgramFileError, ngrams_bytes, read_composer, read_ngrams,
};

/// Error of a side file.
#[derive(Debug, thiserror::Error)]
pub enum SideFileError {
    /// The codes of words cannot be used.
    #[error(transparent)]
    Codes(#[from] CodeFileError),
    /// The hashes of n-grams cannot be used.
    #[error(transparent)]
    Ngrams(#[from] NgramFileError),
}

impl SideFileError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            SideFileError::Codes(error) => error.code(),
            SideFileError::Ngrams(error) => error.code(),
        }
    }
}

impl InputLayer {
    /// Opens the input layer of the model in `folder` (a run's or a model's), for the tokeniser
    /// with this hash.
    ///
    /// # Errors
    /// [`SideFileError`] if a file that the model needs is missing or damaged.
    pub fn open(
        folder: &Path,
        tokenizer: &Tokenizer,
        tokenizer_hash: &[u8; 32],
        layout: &Layout,
    ) -> Result<InputLayer, SideFileError> {
        let config = &layout.config;
        let composer = read_composer(folder, tokenizer, config.n_parts)?;
        let ngrams = read_ngrams(folder, &config.ngrams, tokenizer_hash)?;
        Ok(InputLayer::new(layout, composer, ngrams))
    }

    /// Prepares for all words of a text.
    pub fn add_words_of(&mut self, text: &TokenFile) {
        if let Some((_, composer)) = &mut self.composed {
            composer.add_words_of(text);
        }
    }

    /// Name and contents of the model's side file. The codes of words belong to the vocabulary and
    /// are not included.
    pub fn side_files(&self, tokenizer_hash: &[u8; 32]) -> Option<(&'static str, Vec<u8>)> {
        let (_, ngrams) = self.ngrams.as_ref()?;
        Some((NGRAMS_NAME, ngrams_bytes(ngrams, tokenizer_hash)))
    }
}
