//! Token files: the ids of a tokenised text on disk, two or four bytes each, hashed and mapped.
//!
//! All numbers are little-endian.
//!
//! | bytes    | content                                                       |
//! |----------|---------------------------------------------------------------|
//! | 0..8     | `crystok` and a zero byte                                     |
//! | 8..12    | version of the format, 1                                      |
//! | 12..16   | bytes of a token: 2 for up to 65,536 ids, else 4              |
//! | 16..24   | ids of the vocabulary; every token is below it                |
//! | 24..32   | number of tokens                                              |
//! | 32..64   | hash of the tokenizer                                         |
//! | 64..96   | hash of the text                                              |
//! | 96..128  | BLAKE3 of the tokens, from byte 160 to the end of the file    |
//! | 128..160 | BLAKE3 of bytes 0..128                                        |

use super::token_source::TokenSource;
use super::{Error, TokenFileWriter};
use kernels::MappedFile;
use std::path::Path;

pub(super) const HEADER_BYTES: usize = 160;
const HASHED_HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"crystok\0";
const VERSION: u32 = 1;

/// Ids up to here fit in two bytes.
const NARROW_VOCAB_MAX: u64 = 1 << 16;

/// Largest vocabulary: larger ids would collide with [`kernels::cross_entropy::IGNORE`].
const VOCAB_MAX: u64 = u32::MAX as u64;

/// Origin of the tokens of a file: tokeniser and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOrigin {
    /// Number of ids in the vocabulary; at most 2^32 - 1.
    pub vocab_size: u64,
    /// Hash of the tokenizer's definition.
    pub tokenizer_hash: [u8; 32],
    /// Hash of the text: [`super::Corpus::hash`].
    pub text_hash: [u8; 32],
}

impl TokenOrigin {
    /// Bytes of each token.
    pub(super) fn width(&self) -> usize {
        if self.vocab_size <= NARROW_VOCAB_MAX { 2 } else { 4 }
    }
}

/// A token file, mapped and verified.
#[derive(Debug)]
pub struct TokenFile {
    map: MappedFile,
    n_tokens: usize,
    origin: TokenOrigin,
}

impl TokenFile {
    /// Begins a token file at `path`; see [`TokenFileWriter`].
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    ///
    /// # Panics
    /// If the vocabulary is empty or has more than 2^32 - 1 ids.
    pub fn create(path: &Path, origin: TokenOrigin) -> Result<TokenFileWriter, Error> {
        assert!(
            (1..=VOCAB_MAX).contains(&origin.vocab_size),
            "TokenFile: vocab_size is {}",
            origin.vocab_size
        );
        TokenFileWriter::create(path, origin)
    }

    /// Maps the file at `path` and verifies all of it: sizes, both hashes, every id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unreadable`], or [`Error::TokenFile`] naming the wrong field.
    pub fn open(path: &Path) -> Result<TokenFile, Error> {
        let map = MappedFile::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
            _ => Error::Unreadable { path: path.to_owned(), source },
        })?;
        let (origin, n_tokens) = verify(&map).map_err(|wrong| Error::TokenFile {
            path: path.to_owned(),
            field: wrong.field,
            found: wrong.found,
            expected: wrong.expected,
        })?;
        Ok(TokenFile { map, n_tokens, origin })
    }

    /// Tokeniser and text of the tokens.
    pub fn origin(&self) -> &TokenOrigin {
        &self.origin
    }
}

impl TokenSource for TokenFile {
    fn len(&self) -> usize {
        self.n_tokens
    }

    fn read(&self, start: usize, out: &mut [u32]) {
        let width = self.origin.width();
        let tokens = &self.map[HEADER_BYTES..][start * width..(start + out.len()) * width];
        decode(tokens, width, out);
    }
}

/// Fills `out` from tokens of `width` bytes.
fn decode(tokens: &[u8], width: usize, out: &mut [u32]) {
    if width == 2 {
        let words = tokens.as_chunks::<2>().0;
        out.iter_mut().zip(words).for_each(|(o, w)| *o = u16::from_le_bytes(*w).into());
    } else {
        let words = tokens.as_chunks::<4>().0;
        out.iter_mut().zip(words).for_each(|(o, w)| *o = u32::from_le_bytes(*w));
    }
}

/// The header of a file with these tokens.
pub(super) fn encode_header(
    origin: &TokenOrigin,
    n_tokens: u64,
    tokens_hash: &[u8; 32],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(origin.width() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&origin.vocab_size.to_le_bytes());
    header[24..32].copy_from_slice(&n_tokens.to_le_bytes());
    header[32..64].copy_from_slice(&origin.tokenizer_hash);
    header[64..96].copy_from_slice(&origin.text_hash);
    header[96..128].copy_from_slice(tokens_hash);
    let hash = blake3::hash(&header[..HASHED_HEADER_BYTES]);
    header[HASHED_HEADER_BYTES..].copy_from_slice(hash.as_bytes());
    header
}

/// A field with an unexpected value.
struct Wrong {
    field: &'static str,
    found: String,
    expected: String,
}

fn check(
    is_right: bool,
    field: &'static str,
    found: impl ToString,
    expected: impl ToString,
) -> Result<(), Wrong> {
    if is_right {
        return Ok(());
    }
    Err(Wrong { field, found: found.to_string(), expected: expected.to_string() })
}

/// Reads the header of `file` and checks it and everything after it.
fn verify(file: &[u8]) -> Result<(TokenOrigin, usize), Wrong> {
    let size = file.len();
    let Some((header, tokens)) = file.split_at_checked(HEADER_BYTES) else {
        let expected = format!("at least {HEADER_BYTES} bytes, the size of a header");
        return check(false, "file size", size, expected).map(|()| unreachable!());
    };
    let array = |start: usize| -> [u8; 32] { std::array::from_fn(|i| header[start + i]) };
    let number = |start: usize, len: usize| {
        header[start..start + len].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b))
    };
    check(header.starts_with(MAGIC), "first bytes", "other bytes", "those of a token file")?;
    check(number(8, 4) == u64::from(VERSION), "format version", number(8, 4), VERSION)?;
    let header_hash = *blake3::hash(&header[..HASHED_HEADER_BYTES]).as_bytes();
    check(header_hash == array(128), "header hash", "a damaged header", "an intact one")?;

    let vocab_size = number(16, 8);
    let is_vocab = (1..=VOCAB_MAX).contains(&vocab_size);
    check(is_vocab, "vocabulary size", vocab_size, format!("1 to {VOCAB_MAX}"))?;
    let (tokenizer_hash, text_hash) = (array(32), array(64));
    let origin = TokenOrigin { vocab_size, tokenizer_hash, text_hash };
    let width = origin.width();
    check(number(12, 4) == width as u64, "token width", number(12, 4), width)?;

    let n_tokens = number(24, 8);
    let expected =
        n_tokens.checked_mul(width as u64).and_then(|n| n.checked_add(HEADER_BYTES as u64));
    let is_size = expected == Some(size as u64);
    let shown = expected.map_or("more than any file has".into(), |n| n.to_string());
    check(is_size, "file size", size, format!("{shown} for {n_tokens} tokens"))?;
    check_tokens(tokens, &origin, &array(96))?;
    Ok((origin, tokens.len() / width))
}

/// Checks the hash and every id, block by block to stay in the cache.
fn check_tokens(tokens: &[u8], origin: &TokenOrigin, hash: &[u8; 32]) -> Result<(), Wrong> {
    const BLOCK_TOKENS: usize = 1 << 14;
    let width = origin.width();
    let mut hasher = blake3::Hasher::new();
    let mut max = 0;
    let mut ids = vec![0; BLOCK_TOKENS];
    for block in tokens.chunks(BLOCK_TOKENS * width) {
        hasher.update(block);
        let ids = &mut ids[..block.len() / width];
        decode(block, width, ids);
        max = ids.iter().fold(max, |max, id| max.max(*id));
    }
    check(hasher.finalize() == *hash, "hash of the tokens", "damaged tokens", "intact ones")?;
    let is_inside = tokens.is_empty() || u64::from(max) < origin.vocab_size;
    check(is_inside, "largest token", max, format!("below {}", origin.vocab_size))
}

#[cfg(test)]
#[path = "token_file_tests.rs"]
mod tests;
