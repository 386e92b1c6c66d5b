//! N-gram file `ngrams.bin`: the hashes of the n-grams that have rows, next to the model.
//!
//! Little-endian: 8 bytes `crysngr` and a zero byte, the version of the format (8 bytes, 1), the
//! number of hashes (8 bytes), the BLAKE3 of `tokenizer.json` (32 bytes), to whose ids the hashes
//! refer, the hashes (8 bytes each), ascending, and the BLAKE3 of everything before it (32 bytes).

use super::ngrams::{NgramTable, Ngrams};
use crate::corpus::open_regular;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Name of the file, next to `tokenizer.json`.
pub const NGRAMS_NAME: &str = "ngrams.bin";

const MAGIC: u64 = u64::from_le_bytes(*b"crysngr\0");
const VERSION: u64 = 1;

/// Number of bytes before the hashes, and after them.
const HEADER_BYTES: usize = 24 + blake3::OUT_LEN;
const CHECKSUM_BYTES: usize = blake3::OUT_LEN;

/// BLAKE3 of `tokenizer.json`.
type TokenizerHash = [u8; blake3::OUT_LEN];

/// Errors of reading `ngrams.bin`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NgramFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is missing, and the model needs it.
    #[error("{}: not there, and the model adds rows of the n-grams that it lists; copy it from where \
             the model came", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The contents are invalid.
    #[error("{}: {found}, expected {expected}; copy it again from where it came", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The value found.
        found: String,
        /// The accepted value.
        expected: &'static str,
    },
}

impl NgramFileError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            NgramFileError::Read { .. } => "file-unreadable",
            NgramFileError::Missing { .. } => "file-missing",
            NgramFileError::Content { .. } => "file-damaged",
        }
    }
}

/// The bytes of `ngrams.bin`, deterministic.
pub fn ngrams_bytes(ngrams: &Ngrams, of: &TokenizerHash) -> Vec<u8> {
    let known = ngrams.known();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 8 * known.len() + CHECKSUM_BYTES);
    for word in [MAGIC, VERSION, known.len() as u64] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(of);
    bytes.extend(known.iter().flat_map(|hash| hash.to_le_bytes()));
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

/// Reads the `ngrams.bin` in `folder` for a model with these tables and a tokeniser of this hash;
/// `None` if there are no tables.
///
/// # Errors
/// [`NgramFileError`].
pub fn read_ngrams(
    folder: &Path,
    tables: &[NgramTable],
    of: &TokenizerHash,
) -> Result<Option<Ngrams>, NgramFileError> {
    if tables.is_empty() {
        return Ok(None);
    }
    let path = folder.join(NGRAMS_NAME);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(NgramFileError::Missing { path });
        }
        Err(source) => return Err(NgramFileError::Read { path, source }),
    };
    match parse(&bytes, of) {
        Ok(known) => Ok(Some(Ngrams::new(tables, known.into_iter().collect()))),
        Err((found, expected)) => Err(NgramFileError::Content { path, found, expected }),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The hashes, or the found and the expected value.
fn parse(bytes: &[u8], of: &TokenizerHash) -> Result<Vec<u64>, (String, &'static str)> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err((format!("{} bytes", bytes.len()), "a file of n-grams"));
    };
    let word = |i: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[8 * i + byte]));
    let (magic, version, n) = (word(0), word(1), word(2));
    if magic != MAGIC {
        return Err(("another beginning".to_string(), "a file of n-grams"));
    }
    if version != VERSION {
        return Err((format!("version {version}"), "version 1"));
    }
    let (hashes, checksum) = rest.split_at(rest.len().saturating_sub(CHECKSUM_BYTES));
    let (hashes, torn) = hashes.as_chunks::<8>();
    if n != hashes.len() as u64 || !torn.is_empty() {
        return Err((format!("{} bytes for {n} hashes", bytes.len()), "8 bytes each, and 88"));
    }
    if blake3::hash(&bytes[..bytes.len() - checksum.len()]).as_bytes() != checksum {
        return Err(("another checksum".to_string(), "the checksum of the contents"));
    }
    if header[24..] != of[..] {
        return Err(("n-grams of another tokeniser's ids".to_string(), "those of tokenizer.json"));
    }
    let known: Vec<u64> = hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
    if known.is_sorted_by(|a, b| a < b) {
        Ok(known)
    } else {
        Err(("hashes out of order".to_string(), "ascending hashes, each once"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ngrams::ngram_tables;
    use super::*;

    #[test]
    fn ngrams_are_read_back_and_damaged_files_are_refused() {
        let tables = ngram_tables(100);
        let ngrams = Ngrams::learn(&tables, &[1, 2, 3, 1, 2, 3], 2);
        let bytes = ngrams_bytes(&ngrams, &[7; 32]);
        let folder = tempfile::tempdir().unwrap();
        let missing = read_ngrams(folder.path(), &tables, &[7; 32]).unwrap_err().to_string();
        assert!(missing.contains("not there") && missing.contains(NGRAMS_NAME), "{missing}");
        assert_eq!(read_ngrams(folder.path(), &[], &[7; 32]).unwrap(), None);
        let read = |bytes: &[u8]| {
            std::fs::write(folder.path().join(NGRAMS_NAME), bytes).unwrap();
            read_ngrams(folder.path(), &tables, &[7; 32])
        };
        let body = &bytes[..bytes.len() - CHECKSUM_BYTES];
        let (first, second) = (HEADER_BYTES, HEADER_BYTES + 8);
        let swapped = [&body[..first], &body[second..second + 8], &body[first..second]].concat();
        let swapped = [&swapped, &body[second + 8..]].concat();
        let swapped = [&swapped[..], blake3::hash(&swapped).as_bytes()].concat();
        let newer = [&bytes[..8], &[2], &bytes[9..]].concat();
        let other = [&b"x"[..], &bytes[1..]].concat();
        let mut flipped = bytes.clone();
        flipped[first] ^= 1;
        for (bad, part) in [
            (&b"crys"[..], "4 bytes"),
            (&[], "0 bytes"),
            (&other, "another beginning"),
            (&bytes[..first], "hashes"),
            (&bytes[..bytes.len() - 8], "hashes"),
            (&bytes[..bytes.len() - 1], "hashes"),
            (&flipped, "another checksum"),
            (&swapped, "out of order"),
            (&newer, "version 2"),
            (&ngrams_bytes(&ngrams, &[8; 32]), "another tokeniser"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(NGRAMS_NAME), "{error}");
        }
        assert_eq!(read(&bytes).unwrap(), Some(ngrams));
    }
}
