//! Tokeniser of a run: given as a file, or trained on the run's text.

use super::error::RunError;
use super::prepare::with_control;
use crate::formats::ModelFolder;
use crate::train::events::Observer;
use crate::train::settings::{Settings, TokenizerConfig, TokenizerSettings};
use std::path::{Path, PathBuf};
use text::tokenizer::{Document, Tokenizer, TokenizerKind, TrainOptions};

/// Texts shorter than this many bytes have only single characters often enough for tokens.
const CHAR_BYTES: usize = 20_000;

/// Loads the tokeniser that the settings name, if they name one.
///
/// # Errors
/// [`RunError::Text`] or [`RunError::ModelFolder`] if it cannot be read; [`RunError::Setting`] if
/// another setting contradicts it.
pub(super) fn load(given: &TokenizerSettings) -> Result<Option<Tokenizer>, RunError> {
    let Some(path) = &given.file else {
        return match given.blake3 {
            Some(_) => refuse("tokenizer.blake3", "a hash", "tokenizer.file beside it"),
            None => Ok(None),
        };
    };
    let tokenizer = Tokenizer::load(&file_of(path)?)?;
    let (kind, vocab_size) = (tokenizer.kind(), tokenizer.vocab_size());
    if let Some(other) = given.kind.filter(|given| *given != kind) {
        return refuse("tokenizer.kind", other, &format!("{kind}, as the given tokeniser is"));
    }
    if let Some(other) = given.vocab_size.filter(|given| *given != vocab_size) {
        let expected = format!("{vocab_size}, as the given tokeniser has");
        return refuse("tokenizer.vocab_size", other, &expected);
    }
    if let Some(other) = given.min_count {
        let expected = "none: it is for training a tokeniser, and one is given";
        return refuse("tokenizer.min_count", other, expected);
    }
    let hash = tokenizer.hash().to_hex();
    if let Some(other) = given.blake3.as_ref().filter(|given| given.as_str() != hash.as_str()) {
        let expected = format!("{hash}, that of {}", path.display());
        return refuse("tokenizer.blake3", other, &expected);
    }
    Ok(Some(tokenizer))
}

fn refuse<T>(field: &'static str, found: impl ToString, expected: &str) -> Result<T, RunError> {
    Err(RunError::Setting { field, found: found.to_string(), expected: expected.to_string() })
}

/// The tokenizer.json at a path: the file itself, or that of a run's or model's folder.
fn file_of(path: &Path) -> Result<PathBuf, RunError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let of_run = path.join(super::TOKENIZER_NAME);
    if path.join(super::CONFIG_NAME).is_file() && of_run.is_file() {
        return Ok(of_run);
    }
    Ok(ModelFolder::open(path)?.path().join(super::TOKENIZER_NAME))
}

/// The given tokeniser, or one trained on the documents; and its entry in the configuration.
///
/// # Errors
/// [`RunError`].
pub(super) fn given_or_trained(
    settings: &Settings,
    loaded: Option<Tokenizer>,
    documents: &[Document],
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(Tokenizer, TokenizerConfig), RunError> {
    if let Some(tokenizer) = loaded {
        let config = TokenizerConfig {
            kind: tokenizer.kind(),
            vocab_size: tokenizer.vocab_size(),
            min_count: 0,
            file: settings.tokenizer.file.clone(),
            blake3: Some(tokenizer.hash().to_hex().to_string()),
        };
        return Ok((tokenizer, config));
    }
    let options = options(settings, documents.iter().map(|document| document.text.len()).sum());
    let texts: Vec<&str> = documents.iter().map(|document| document.text).collect();
    let tokenizer = with_control(threads, "learning the vocabulary", observer, |control| {
        Tokenizer::train(&options, &texts, control).map_err(RunError::from)
    })?;
    let TrainOptions { kind, vocab_size, min_count, .. } = options;
    Ok((tokenizer, TokenizerConfig { kind, vocab_size, min_count, file: None, blake3: None }))
}

/// Options of a tokeniser for a text of this size.
fn options(settings: &Settings, n_bytes: usize) -> TrainOptions {
    let given = &settings.tokenizer;
    let auto = if n_bytes < CHAR_BYTES { TokenizerKind::Char } else { TokenizerKind::Word };
    let kind = given.kind.unwrap_or(auto);
    let mut options = TrainOptions::new(kind);
    // Vocabulary grows with the square root of a text (Heaps' law), and embeddings should not
    // outgrow the text.
    let words = (((n_bytes as f64).sqrt() * 4.0) as usize).clamp(1_000, 16_384);
    match kind {
        TokenizerKind::Word => options.vocab_size = words.max(2_000),
        TokenizerKind::Bpe => options.vocab_size = words.min(8_192),
        TokenizerKind::Split | TokenizerKind::Char => {}
    }
    options.vocab_size = given.vocab_size.unwrap_or(options.vocab_size);
    options.min_count = given.min_count.unwrap_or(options.min_count);
    options
}
