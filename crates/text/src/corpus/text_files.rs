//! The user's text files: checked, measured and fingerprinted once, then read as often as needed.

use super::text_reader::TextReader;
pub use super::text_reader::{InvalidBytes, LineEnds, TextRules};
use super::{Error, Place, Span};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Size and hash of a file's bytes: what a run stores to recognise its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of all bytes, in lower-case hexadecimal.
    pub blake3: String,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, BLAKE3 {}", self.bytes, self.blake3)
    }
}

/// What was found in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// The path as given.
    pub path: PathBuf,
    /// Of the bytes as they are in the file.
    pub fingerprint: Fingerprint,
    /// Line feeds.
    pub n_lines: u64,
    /// Invalid byte sequences, for each of which U+FFFD is read.
    pub n_replaced: u64,
}

/// A piece of a corpus, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Some text, about a mebibyte or less, cut where splitters into words cut too (see
    /// [`Corpus::read`]).
    Text(&'a str),
    /// The end of a file, or of the part of it that was asked for.
    EndOfFile,
}

/// One or more text files that were read and found good.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<FileReport>,
    rules: TextRules,
}

impl Corpus {
    /// Reads all of `paths` once, to check and fingerprint them.
    ///
    /// # Errors
    /// [`Error::NoFiles`], or what is wrong with the first file that cannot be used: missing, a
    /// folder, not a regular file, unreadable, empty, UTF-16, or (unless `rules` say to replace
    /// them) bytes that are not UTF-8 or zero.
    pub fn open(paths: &[PathBuf], rules: TextRules) -> Result<Corpus, Error> {
        if paths.is_empty() {
            return Err(Error::NoFiles);
        }
        let files = paths.iter().map(|p| examine(p, rules)).collect::<Result<_, _>>()?;
        Ok(Corpus { files, rules })
    }

    /// What was found in each file.
    pub fn files(&self) -> &[FileReport] {
        &self.files
    }

    /// Bytes of all files.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.fingerprint.bytes).sum()
    }

    /// A hash of every file's content, of their order, and of the rules: equal exactly where the
    /// text read is equal for the same reason.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.rules.invalid_bytes as u8, self.rules.line_ends as u8]);
        for file in &self.files {
            hasher.update(&file.fingerprint.bytes.to_le_bytes());
            hasher.update(file.fingerprint.blake3.as_bytes());
        }
        hasher.finalize().into()
    }

    /// All of the text.
    pub fn all(&self) -> Span {
        Span { start: Place { file: 0, byte: 0 }, end: Place { file: self.files.len(), byte: 0 } }
    }

    /// Hands the text of `span` to `each`, piece by piece, until it breaks or the text ends.
    ///
    /// A piece ends with its file, or after a single line feed or before a single space that
    /// stand between two other characters. Only text without any such place in 64 KiB is cut
    /// between two characters just anywhere.
    ///
    /// # Errors
    /// [`Error::Changed`] if a file has another size than before, [`Error::Unreadable`], or any
    /// error of [`Corpus::open`] that a change of the text causes.
    ///
    /// # Panics
    /// If a place of `span` is not in this corpus.
    pub fn read(
        &self,
        span: Span,
        mut each: impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for (f, file) in self.files.iter().enumerate() {
            let size = file.fingerprint.bytes;
            let clamp = |place: Place| match f.cmp(&place.file) {
                std::cmp::Ordering::Less => size,
                std::cmp::Ordering::Equal => place.byte,
                std::cmp::Ordering::Greater => 0,
            };
            let range = clamp(span.start)..clamp(span.end);
            assert!(range.end <= size, "Corpus::read: the span ends after file {f}");
            if range.is_empty() {
                continue;
            }
            check_size(file)?;
            let mut reader = TextReader::open(&file.path, range, self.rules)?;
            while let Some(text) = reader.next_piece(&mut |_| ())? {
                if each(Piece::Text(text)).is_break() {
                    return Ok(());
                }
            }
            if each(Piece::EndOfFile).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Checks that the files are those of an earlier run, by size and hash, in the same order.
    ///
    /// # Errors
    /// [`Error::Changed`] with the first file that differs, is missing, or was added.
    pub fn check_same(&self, earlier: &[Fingerprint]) -> Result<(), Error> {
        let changed = |path: &Path, expected: Option<&Fingerprint>, found: Option<&Fingerprint>| {
            let show = |f: Option<&Fingerprint>| f.map_or("no file".into(), |f| f.to_string());
            Error::Changed { path: path.to_owned(), expected: show(expected), found: show(found) }
        };
        for i in 0..self.files.len().max(earlier.len()) {
            let (found, expected) = (self.files.get(i), earlier.get(i));
            let fingerprint = found.map(|f| &f.fingerprint);
            if fingerprint != expected {
                let path = found.or(self.files.last()).map_or(Path::new(""), |f| &f.path);
                return Err(changed(path, expected, fingerprint));
            }
        }
        Ok(())
    }

    /// Reads all files again and checks that they still are what they were: to be called after
    /// work that took a while and whose result is recorded under this corpus's hash.
    ///
    /// # Errors
    /// As [`Corpus::open`] and [`Corpus::check_same`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        let paths: Vec<PathBuf> = self.files.iter().map(|f| f.path.clone()).collect();
        let earlier: Vec<Fingerprint> = self.files.iter().map(|f| f.fingerprint.clone()).collect();
        Corpus::open(&paths, self.rules)?.check_same(&earlier)
    }
}

/// The size of the regular file at `path`, or why there is none.
fn regular_file_size(path: &Path) -> Result<u64, Error> {
    let path_buf = || path.to_owned();
    // Asked before opening: to open a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path_buf() },
        _ => Error::Unreadable { path: path_buf(), source },
    })?;
    if metadata.is_dir() {
        return Err(Error::Folder { path: path_buf() });
    }
    if !metadata.is_file() {
        return Err(Error::NotRegular { path: path_buf() });
    }
    Ok(metadata.len())
}

/// Reads the file at `path` to its end, checking and counting.
fn examine(path: &Path, rules: TextRules) -> Result<FileReport, Error> {
    let bytes = regular_file_size(path)?;
    let mut reader = TextReader::open(path, 0..bytes, rules)?;
    let mut hasher = blake3::Hasher::new();
    let (mut n_lines, mut n_chars_bytes) = (0, 0);
    while let Some(text) = reader.next_piece(&mut |raw| {
        hasher.update(raw);
    })? {
        n_lines += text.bytes().filter(|b| *b == b'\n').count() as u64;
        n_chars_bytes += text.len() as u64;
    }
    if n_chars_bytes == 0 {
        return Err(Error::Empty { path: path.to_owned() });
    }
    let fingerprint = Fingerprint { bytes, blake3: hasher.finalize().to_hex().to_string() };
    Ok(FileReport { path: path.to_owned(), fingerprint, n_lines, n_replaced: reader.n_replaced })
}

fn check_size(file: &FileReport) -> Result<(), Error> {
    let (expected, found) = (file.fingerprint.bytes, regular_file_size(&file.path)?);
    if found == expected {
        return Ok(());
    }
    Err(Error::Changed {
        path: file.path.clone(),
        expected: format!("{expected} bytes"),
        found: format!("{found} bytes"),
    })
}

#[cfg(test)]
#[path = "text_files_tests.rs"]
mod tests;
