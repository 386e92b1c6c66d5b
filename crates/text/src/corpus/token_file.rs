//! Token files: the ids of a tokenised text on disk, two or four bytes each, hashed.
//!
//! The file is read where it is needed and not mapped: whoever cuts it short while a run reads it
//! causes an error ([`TokenFile::check`]), not a signal that ends the process.
//!
//! All numbers are little-endian.
//!
//! | bytes    | content                                                       |
//! |----------|---------------------------------------------------------------|
//! | 0..8     | `crystok` and a zero byte                                     |
//! | 8..12    | version of the format, 2                                      |
//! | 12..16   | bytes of a token: 2 for up to 65,536 ids, else 4              |
//! | 16..24   | ids of the vocabulary; every token is below it                |
//! | 24..32   | number of tokens                                              |
//! | 32..64   | hash of the tokenizer                                         |
//! | 64..96   | hash of the text                                              |
//! | 96..128  | BLAKE3 of all bytes from 160 to the end of the file           |
//! | 128..160 | BLAKE3 of bytes 0..128                                        |
//! | 160..    | the tokens                                                    |
//! | then     | 8 bytes: number of beginnings of texts                        |
//! | then     | positions of the beginnings, 8 bytes each, ascending          |
//!
//! Version 1 ends with the tokens.

use super::input::{open_regular, refused};
use super::token_source::{TokenSource, hide};
use super::{Error, TokenFileWriter};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(super) const HEADER_BYTES: usize = 160;
const HASHED_HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"crystok\0";
const VERSION: u32 = 2;
/// Bytes of a position.
const POSITION_BYTES: usize = 8;

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

/// A token file, open and verified.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    file: File,
    n_tokens: usize,
    origin: TokenOrigin,
    /// Positions of the tokens that mark a beginning, ascending.
    beginnings: Vec<usize>,
    /// The first error of a read.
    failure: OnceLock<std::io::Error>,
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

    /// Opens the file at `path` and verifies all of it: sizes, both hashes, every id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Folder`], [`Error::NotRegular`], [`Error::Unreadable`], or
    /// [`Error::TokenFile`] naming the wrong field.
    pub fn open(path: &Path) -> Result<TokenFile, Error> {
        let unreadable = |source: std::io::Error| refused(path, source);
        let file = open_regular(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let Verified { origin, n_tokens, beginnings } =
            verify(&file, size).map_err(|wrong| match wrong {
                Wrong::Io(source) => unreadable(source),
                Wrong::Field { field, found, expected } => {
                    Error::TokenFile { path: path.to_owned(), field, found, expected }
                }
            })?;
        let (path, failure) = (path.to_owned(), OnceLock::new());
        Ok(TokenFile { path, file, n_tokens, origin, beginnings, failure })
    }

    /// Tokeniser and text of the tokens.
    pub fn origin(&self) -> &TokenOrigin {
        &self.origin
    }

    /// Positions of the tokens that mark a beginning, ascending.
    pub fn beginnings(&self) -> &[usize] {
        &self.beginnings
    }

    /// Whether all reads so far succeeded. To be asked after each use of tokens: a read that fails
    /// gives zeros.
    ///
    /// # Errors
    /// [`Error::Unreadable`] with the first failure.
    pub fn check(&self) -> Result<(), Error> {
        self.failure.get().map_or(Ok(()), |failure| {
            let source = std::io::Error::new(failure.kind(), failure.to_string());
            Err(Error::Unreadable { path: self.path.clone(), source })
        })
    }
}

impl TokenSource for TokenFile {
    fn len(&self) -> usize {
        self.n_tokens
    }

    fn read(&self, start: usize, out: &mut [u32]) {
        assert!(start + out.len() <= self.n_tokens, "TokenFile: read past the end");
        let width = self.origin.width();
        let mut bytes = [0; READ_BYTES];
        for (i, out) in out.chunks_mut(READ_BYTES / width).enumerate() {
            let bytes = &mut bytes[..out.len() * width];
            let first = start + i * (READ_BYTES / width);
            match read_exact_at(&self.file, bytes, (HEADER_BYTES + first * width) as u64) {
                Ok(()) => decode(bytes, width, out),
                Err(error) => {
                    let _ = self.failure.set(error);
                    out.fill(0);
                }
            }
        }
    }

    fn hide_beginnings(&self, start: usize, targets: &mut [u32]) {
        hide(&self.beginnings, start, targets);
    }
}

/// Bytes of one read; on the stack, since reading allocates nothing.
const READ_BYTES: usize = 8192;

/// Fills `bytes` from byte `at` of `file`, whose position does not matter.
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
    }
    #[cfg(windows)]
    {
        let (mut bytes, mut at) = (bytes, at);
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => (bytes, at) = (&mut bytes[n..], at + n as u64),
            }
        }
        Ok(())
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

/// Why a file is not a sound token file.
enum Wrong {
    /// A field with an unexpected value.
    Field { field: &'static str, found: String, expected: String },
    /// The file cannot be read.
    Io(std::io::Error),
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Wrong {
        Wrong::Io(error)
    }
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
    Err(Wrong::Field { field, found: found.to_string(), expected: expected.to_string() })
}

/// Contents of a sound file.
struct Verified {
    origin: TokenOrigin,
    n_tokens: usize,
    beginnings: Vec<usize>,
}

/// Reads the header of `file`, which has `size` bytes, and checks it and everything after it.
fn verify(file: &File, size: u64) -> Result<Verified, Wrong> {
    let at_least = format!("at least {HEADER_BYTES} bytes, the size of a header");
    check(size >= HEADER_BYTES as u64, "file size", size, at_least)?;
    let mut header = [0; HEADER_BYTES];
    read_exact_at(file, &mut header, 0)?;
    let array = |start: usize| -> [u8; 32] { std::array::from_fn(|i| header[start + i]) };
    let number = |start: usize, len: usize| {
        header[start..start + len].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b))
    };
    check(header.starts_with(MAGIC), "first bytes", "other bytes", "those of a token file")?;
    let version = number(8, 4);
    let is_known = (1..=u64::from(VERSION)).contains(&version);
    check(is_known, "format version", version, format!("1 to {VERSION}"))?;
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
    let count_bytes = if version == 1 { 0 } else { POSITION_BYTES as u64 };
    let tokens_end =
        n_tokens.checked_mul(width as u64).and_then(|n| n.checked_add(HEADER_BYTES as u64));
    let least = tokens_end.and_then(|end| end.checked_add(count_bytes));
    let n_beginnings = match tokens_end.filter(|_| least.is_some_and(|least| least <= size)) {
        Some(at) if version > 1 => {
            let mut count = [0; POSITION_BYTES];
            read_exact_at(file, &mut count, at)?;
            u64::from_le_bytes(count)
        }
        _ => 0,
    };
    let expected =
        n_beginnings.checked_mul(POSITION_BYTES as u64).and_then(|n| n.checked_add(least?));
    let shown = expected.map_or("more than any file has".into(), |n| n.to_string());
    check(expected == Some(size), "file size", size, format!("{shown} for {n_tokens} tokens"))?;
    let beginnings = check_contents(file, &origin, n_tokens, size, &array(96))?;
    Ok(Verified { origin, n_tokens: n_tokens as usize, beginnings })
}

/// Checks the hash, every id and every position of a file of `size` bytes; returns the positions.
fn check_contents(
    file: &File,
    origin: &TokenOrigin,
    n_tokens: u64,
    size: u64,
    hash: &[u8; 32],
) -> Result<Vec<usize>, Wrong> {
    let width = origin.width();
    let mut hasher = blake3::Hasher::new();
    let (mut max, mut ids) = (0, [0; READ_BYTES / 2]);
    let tokens_end = HEADER_BYTES as u64 + n_tokens * width as u64;
    each_block(file, HEADER_BYTES as u64..tokens_end, |block| {
        hasher.update(block);
        let ids = &mut ids[..block.len() / width];
        decode(block, width, ids);
        max = ids.iter().fold(max, |max, id| max.max(*id));
    })?;
    // The count and the positions.
    let mut numbers: Vec<usize> = Vec::new();
    each_block(file, tokens_end..size, |block| {
        hasher.update(block);
        numbers.extend(block.as_chunks().0.iter().map(|number| position(*number)));
    })?;
    let beginnings = numbers.split_off(numbers.len().min(1));
    check(hasher.finalize() == *hash, "hash of the tokens", "damaged tokens", "intact ones")?;
    let is_inside = n_tokens == 0 || u64::from(max) < origin.vocab_size;
    check(is_inside, "largest token", max, format!("below {}", origin.vocab_size))?;
    let is_ascending = beginnings.is_sorted_by(|a, b| a < b);
    let is_inside = beginnings.last().is_none_or(|last| (*last as u64) < n_tokens);
    let expected = "ascending positions of tokens";
    check(is_ascending && is_inside, "beginnings", "other numbers", expected)?;
    Ok(beginnings)
}

/// A position; too large where it would not fit.
fn position(bytes: [u8; POSITION_BYTES]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Passes the bytes of `range` to `each` in blocks.
fn each_block(
    file: &File,
    range: std::ops::Range<u64>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Wrong> {
    let (mut at, mut block) = (range.start, [0; READ_BYTES]);
    while at < range.end {
        let block = &mut block[..(range.end - at).min(READ_BYTES as u64) as usize];
        read_exact_at(file, block, at)?;
        each(block);
        at += block.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "token_file_tests.rs"]
mod tests;
