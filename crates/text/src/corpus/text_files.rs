//! Text files of a corpus: checked, measured and fingerprinted once, then read repeatedly.

use super::text_reader::TextReader;
pub use super::text_reader::{InvalidBytes, LineEnds, TextRules};
use super::{Error, TextPosition, TextSpan};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Size and hash of a file's bytes. A run stores them to recognise its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFingerprint {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of all bytes, in lower-case hexadecimal.
    pub blake3: String,
}

impl std::fmt::Display for FileFingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, BLAKE3 {}", self.bytes, self.blake3)
    }
}

/// Report on one checked file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// The path as given.
    pub path: PathBuf,
    /// Fingerprint of the raw bytes.
    pub fingerprint: FileFingerprint,
    /// Number of line feeds.
    pub n_lines: u64,
    /// Number of invalid byte sequences, each replaced by U+FFFD.
    pub n_replaced: u64,
}

/// A piece of a corpus, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text of about a mebibyte or less, cut where word splitters cut too (see [`Corpus::read`]).
    Text(&'a str),
    /// The end of the requested part of a file.
    End {
        /// Whether the file ends there.
        of_file: bool,
    },
}

/// One or more checked text files.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<FileReport>,
    rules: TextRules,
}

impl Corpus {
    /// Reads all of `paths` once, to check and fingerprint them.
    ///
    /// # Errors
    /// [`Error::NoFiles`], or the error of the first unusable file: missing, a folder, not a
    /// regular file, unreadable, empty, UTF-16, or (unless `rules` replace them) with bytes that
    /// are zero or not UTF-8.
    pub fn open(paths: &[PathBuf], rules: TextRules) -> Result<Corpus, Error> {
        if paths.is_empty() {
            return Err(Error::NoFiles);
        }
        let files = paths.iter().map(|p| examine(p, rules)).collect::<Result<_, _>>()?;
        Ok(Corpus { files, rules })
    }

    /// Reports on the files.
    pub fn files(&self) -> &[FileReport] {
        &self.files
    }

    /// Total number of bytes of the files.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.fingerprint.bytes).sum()
    }

    /// A hash of the contents and order of the files, and of the rules. Paths do not matter.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.rules.invalid_bytes as u8, self.rules.line_ends as u8]);
        for file in &self.files {
            hasher.update(&file.fingerprint.bytes.to_le_bytes());
            hasher.update(file.fingerprint.blake3.as_bytes());
        }
        hasher.finalize().into()
    }

    /// The span of the whole text.
    pub fn all(&self) -> TextSpan {
        TextSpan {
            start: TextPosition { file: 0, byte: 0 },
            end: TextPosition { file: self.files.len(), byte: 0 },
        }
    }

    /// Passes the text of `span` to `each`, piece by piece, until it breaks or the text ends.
    ///
    /// A piece ends with its file, or after a single line feed or before a single space between two
    /// other characters. Only text without any such position in 64 KiB is cut between two arbitrary
    /// characters.
    ///
    /// # Errors
    /// [`Error::Changed`] if the size of a file has changed, [`Error::Unreadable`], or any error of
    /// [`Corpus::open`] that a change of the text causes.
    ///
    /// # Panics
    /// If a position of `span` is outside this corpus.
    pub fn read(
        &self,
        span: TextSpan,
        mut each: impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for (f, file) in self.files.iter().enumerate() {
            let size = file.fingerprint.bytes;
            let clamp = |place: TextPosition| match f.cmp(&place.file) {
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
            let of_file = range.end == size;
            let mut reader = TextReader::open(&file.path, range, self.rules)?;
            while let Some(text) = reader.next_piece(&mut |_| ())? {
                if each(Piece::Text(text)).is_break() {
                    return Ok(());
                }
            }
            if each(Piece::End { of_file }).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Checks that the files are the same as in an earlier run, by size and hash, in order.
    ///
    /// # Errors
    /// [`Error::Changed`] with the first file that differs, is missing, or was added.
    pub fn check_same(&self, earlier: &[FileFingerprint]) -> Result<(), Error> {
        let changed = |path: &Path,
                       expected: Option<&FileFingerprint>,
                       found: Option<&FileFingerprint>| {
            let show = |f: Option<&FileFingerprint>| f.map_or("no file".into(), |f| f.to_string());
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

    /// Reads all files again and checks that they have not changed. To be called after long work
    /// whose result is recorded under this corpus's hash.
    ///
    /// # Errors
    /// As [`Corpus::open`] and [`Corpus::check_same`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        let paths: Vec<PathBuf> = self.files.iter().map(|f| f.path.clone()).collect();
        let earlier: Vec<FileFingerprint> =
            self.files.iter().map(|f| f.fingerprint.clone()).collect();
        Corpus::open(&paths, self.rules)?.check_same(&earlier)
    }
}

/// The size of the regular file at `path`, or why there is none.
fn regular_file_size(path: &Path) -> Result<u64, Error> {
    let path_buf = || path.to_owned();
    // Before opening: opening a named pipe would block until a writer comes.
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
    let fingerprint = FileFingerprint { bytes, blake3: hasher.finalize().to_hex().to_string() };
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
