//! Tokens of a text file.

use crate::corpus::{
    self, Corpus, Excerpt, Input, Split, TextRules, TextSpan, TokenSource, hide, hold_out,
};
use crate::tokenizer::{Control, EncodedText, TextError, Tokenizer, documents};
use std::path::Path;

/// Error: a file has no tokens.
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

/// How a text is read and cut into documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentRules {
    /// Bytes that are not UTF-8, line ends, and decomposed characters.
    pub text: TextRules,
    /// What stands between documents in a file.
    pub separator: Option<String>,
    /// Whether names of special tokens in the text stand for these tokens.
    pub reads_specials: bool,
}

/// The tokens of a text, as a run has them that is trained on it.
///
/// # Errors
/// [`FileTokensError`] if the input cannot be read as text, or is empty.
pub fn input_tokens(
    input: Input,
    tokenizer: &Tokenizer,
    rules: &DocumentRules,
    threads: usize,
) -> Result<EncodedText, FileTokensError> {
    let path = input.name().to_owned();
    let text = input.text(rules.text)?.text;
    if text.is_empty() {
        return Err(corpus::Error::Empty { path }.into());
    }
    encode(&[Excerpt { text, ends: true }], tokenizer, rules, threads)
}

/// The tokens of a file in two parts, of which the second is `fraction` of it, held out as in a run.
///
/// # Errors
/// [`FileTokensError`] if the file cannot be read as text, or is too short.
pub fn split_file_tokens(
    path: &Path,
    tokenizer: &Tokenizer,
    rules: &DocumentRules,
    fraction: f64,
    threads: usize,
) -> Result<(EncodedText, EncodedText), FileTokensError> {
    let corpus = Corpus::open(&[path.to_owned()], rules.text)?;
    let Split { train, held_out } = hold_out(&corpus, fraction, rules.separator.as_deref())?;
    let tokens = |spans: &[TextSpan]| tokens_of(&corpus, spans, tokenizer, rules, threads);
    Ok((tokens(&train)?, tokens(&held_out)?))
}

fn tokens_of(
    corpus: &Corpus,
    spans: &[TextSpan],
    tokenizer: &Tokenizer,
    rules: &DocumentRules,
    threads: usize,
) -> Result<EncodedText, FileTokensError> {
    encode(&corpus.excerpts(spans)?, tokenizer, rules, threads)
}

fn encode(
    excerpts: &[Excerpt],
    tokenizer: &Tokenizer,
    rules: &DocumentRules,
    threads: usize,
) -> Result<EncodedText, FileTokensError> {
    let documents = documents(excerpts, rules.separator.as_deref());
    let control = &mut Control::threads(threads);
    Ok(tokenizer.encode_all(&documents, rules.reads_specials, control)?)
}

impl TokenSource for EncodedText {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn read(&self, start: usize, out: &mut [u32]) {
        self.ids[..].read(start, out);
    }

    fn hide_beginnings(&self, start: usize, targets: &mut [u32]) {
        hide(&self.beginnings, start, targets);
    }
}
