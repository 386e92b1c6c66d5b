//! Code file `codes.json`: the codes of a tokeniser's words, next to `tokenizer.json`.
//!
//! The file contains the hash of its tokeniser, so codes of other tokens are never used by mistake.

use super::compose::Composer;
use super::morphemes::{Codes, MorphemeError, Token};
use super::word_spans::WordSpans;
use crate::corpus::open_regular;
use crate::tokenizer::{Control, Tokenizer};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Name of the file, next to `tokenizer.json`.
pub const CODES_NAME: &str = "codes.json";

/// Largest accepted file, in bytes; 33,278 words take 640,810.
const FILE_LEN_MAX: u64 = 1 << 28;

/// The field with the hash of the tokeniser.
const TOKENIZER_FIELD: &str = "tokenizer_blake3";

/// Errors of reading `codes.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is missing, and the model needs it.
    #[error("{}: no such file, and the model needs the parts of words that it lists; copy it \
         from where the model came", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The contents are invalid.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause and remedy.
        source: MorphemeError,
    },
}

impl CodeFileError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            CodeFileError::Read { .. } => "file-unreadable",
            CodeFileError::Missing { .. } => "file-missing",
            CodeFileError::Content { source, .. } => source.code(),
        }
    }
}

/// Learns the codes of a tokeniser's tokens.
///
/// `counts` (V) are the numbers of times that each token is a whole word of the training text
/// ([`Tokenizer::count_words`]); without them every token counts once. Takes 0.2 s for 33,000
/// words.
///
/// # Errors
/// [`MorphemeError::Cancelled`].
///
/// # Panics
/// If `counts` is not (V).
pub fn learn_codes(
    tokenizer: &Tokenizer,
    counts: Option<&[u64]>,
    control: &mut Control,
) -> Result<Codes, MorphemeError> {
    let n_tokens = tokenizer.vocab_size();
    assert!(counts.is_none_or(|c| c.len() == n_tokens), "learn_codes: a count for each token");
    let token = |id: u32| Token {
        bytes: tokenizer.token(id),
        count: counts.map_or(1, |counts| counts[id as usize]),
        is_special: tokenizer.is_special(id),
    };
    let tokens: Vec<Token> = (0..n_tokens as u32).map(token).collect();
    Codes::learn(&tokens, control)
}

/// The bytes of `codes.json`, deterministic.
pub fn codes_json(codes: &Codes, tokenizer: &Tokenizer) -> Vec<u8> {
    let mut json = codes.to_json();
    json[TOKENIZER_FIELD] = tokenizer.hash().to_hex().as_str().into();
    let mut bytes = json.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// Reads the `codes.json` in `folder`, if there is one: the codes of `tokenizer`.
///
/// # Errors
/// [`CodeFileError`], also if the codes belong to another tokeniser.
pub fn read_codes(folder: &Path, tokenizer: &Tokenizer) -> Result<Option<Codes>, CodeFileError> {
    let path = folder.join(CODES_NAME);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CodeFileError::Read { path, source }),
    };
    parse(&bytes, tokenizer).map(Some).map_err(|source| CodeFileError::Content { path, source })
}

/// The composer of a model with `n_parts` rows of parts, from the files in its folder; `None` if
/// `n_parts` is 0.
///
/// # Errors
/// [`CodeFileError`], also if the file is missing or has another number of parts.
pub fn read_composer(
    folder: &Path,
    tokenizer: &Tokenizer,
    n_parts: usize,
) -> Result<Option<Composer>, CodeFileError> {
    if n_parts == 0 {
        return Ok(None);
    }
    let path = folder.join(CODES_NAME);
    let Some(codes) = read_codes(folder, tokenizer)? else {
        return Err(CodeFileError::Missing { path });
    };
    let composer = Composer::new(codes, WordSpans::new(tokenizer)).and_then(|composer| {
        let expected = format!("{n_parts}, the number of rows in the model");
        let found = format!("{} that are parts", composer.n_parts());
        let is_same = composer.n_parts() == n_parts;
        if is_same { Ok(composer) } else { Err(MorphemeError::format("features", found, expected)) }
    });
    composer.map(Some).map_err(|source| CodeFileError::Content { path, source })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], tokenizer: &Tokenizer) -> Result<Codes, MorphemeError> {
    if bytes.len() as u64 > FILE_LEN_MAX {
        let expected = format!("at most {FILE_LEN_MAX} bytes");
        return Err(MorphemeError::format("the file", "more", expected));
    }
    let json: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| MorphemeError::format("the file", error, "JSON"))?;
    let hash = tokenizer.hash().to_hex();
    let found = json.get(TOKENIZER_FIELD).and_then(|found| found.as_str()).unwrap_or("nothing");
    if found != hash.as_str() {
        let expected = format!("{hash}, which is that of tokenizer.json");
        return Err(MorphemeError::format(TOKENIZER_FIELD, found, expected));
    }
    let codes = Codes::from_json(&json)?;
    if codes.n_tokens() != tokenizer.vocab_size() {
        let expected = format!("{}, one for each token", tokenizer.vocab_size());
        return Err(MorphemeError::format("codes", codes.n_tokens(), expected));
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerKind, TrainOptions};

    const TEXT: &str = "so walk walks walked walking talk talks talked talking jump jumps jumped \
                        jumping look looks looked looking play plays played playing";

    fn tokenizer(kind: TokenizerKind, text: &str) -> Tokenizer {
        let options = TrainOptions {
            vocab_size: 400,
            min_count: 1,
            n_pieces: Some(20),
            ..TrainOptions::new(kind)
        };
        Tokenizer::train(&options, &[text], &mut Control::threads(1)).unwrap()
    }

    fn codes(tokenizer: &Tokenizer) -> Codes {
        let mut control = Control::threads(1);
        let counts = tokenizer.count_words(&[TEXT], &mut control).unwrap();
        learn_codes(tokenizer, Some(&counts), &mut control).unwrap()
    }

    #[test]
    fn only_whole_words_are_counted() {
        let tokenizer = tokenizer(TokenizerKind::Word, TEXT);
        let counts = tokenizer.count_words(&[TEXT, " walk"], &mut Control::threads(1)).unwrap();
        let count = |text: &str| counts[tokenizer.id_of(text).unwrap() as usize];
        assert_eq!((count("so"), count(" walk"), count(" walks")), (1, 2, 1));
        let mut n_pieces = 0;
        for id in (0..).take(counts.len()).skip(1) {
            let text = tokenizer.token_text(id);
            let stands_alone = text.len() > 1 && format!("{TEXT} ").contains(&format!("{text} "));
            let is_word = text == "so" || text.starts_with(' ') && stands_alone;
            assert_eq!(counts[id as usize] > 0, is_word, "{text:?}");
            n_pieces += usize::from(!is_word && text.len() > 1);
        }
        assert!(n_pieces > 5);
    }

    #[test]
    fn codes_are_read_back_from_their_file() {
        for kind in [TokenizerKind::Word, TokenizerKind::Split] {
            let tokenizer = tokenizer(kind, TEXT);
            let codes = codes(&tokenizer);
            let folder = tempfile::tempdir().unwrap();
            assert!(read_codes(folder.path(), &tokenizer).unwrap().is_none());
            let bytes = codes_json(&codes, &tokenizer);
            std::fs::write(folder.path().join(CODES_NAME), &bytes).unwrap();
            let read = read_codes(folder.path(), &tokenizer).unwrap().unwrap();
            assert_eq!(codes_json(&read, &tokenizer), bytes);
        }
    }

    #[test]
    fn damaged_files_and_files_of_other_tokenisers_are_refused() {
        let mine = tokenizer(TokenizerKind::Split, TEXT);
        let other = tokenizer(TokenizerKind::Split, "other words");
        let bytes = codes_json(&codes(&mine), &mine);
        let folder = tempfile::tempdir().unwrap();
        let complaint = |bytes: &[u8], tokenizer: &Tokenizer| {
            std::fs::write(folder.path().join(CODES_NAME), bytes).unwrap();
            read_codes(folder.path(), tokenizer).unwrap_err().to_string()
        };
        let message = complaint(&bytes, &other);
        assert!(message.contains(CODES_NAME) && message.contains(TOKENIZER_FIELD), "{message}");
        assert!(complaint(&bytes[..100], &mine).contains("expected JSON"));
        assert!(complaint(b"{}", &mine).contains("found nothing"));
        let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        json["codes"].as_array_mut().unwrap().pop();
        assert!(complaint(json.to_string().as_bytes(), &mine).contains("one for each token"));
        std::fs::remove_file(folder.path().join(CODES_NAME)).unwrap();
        std::fs::create_dir(folder.path().join(CODES_NAME)).unwrap();
        assert!(read_codes(folder.path(), &mine).unwrap_err().to_string().contains("cannot read"));
    }
}
