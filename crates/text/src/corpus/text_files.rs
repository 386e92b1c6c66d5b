//! Text files of a corpus: checked, measured and fingerprinted once, then read repeatedly.

use super::input::{open_regular, refused};
use super::text_reader::{NormalForm, TextChanges, TextReader, TextRules};
use super::{Error, STANDARD_INPUT, TextPosition, TextSpan};
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

impl FileFingerprint {
    /// That of the file at `path`, whatever it contains.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Folder`], [`Error::NotRegular`], [`Error::Unreadable`].
    pub fn of(path: &Path) -> Result<FileFingerprint, Error> {
        let file = open_regular(path).map_err(|source| refused(path, source))?;
        let mut hasher = blake3::Hasher::new();
        let hashed = hasher.update_reader(file);
        hashed.map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        Ok(FileFingerprint {
            bytes: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Checks that the file at `path` still is the one with this fingerprint.
    ///
    /// # Errors
    /// [`Error::Changed`], or as [`FileFingerprint::of`].
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        let found = FileFingerprint::of(path)?;
        if found == *self {
            return Ok(());
        }
        let (expected, found) = (self.to_string(), found.to_string());
        Err(Error::Changed { path: path.to_owned(), expected, found })
    }
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
    /// Number of line ends that became line feeds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_line_ends: u64,
    /// Number of characters that became composed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_composed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(n: &u64) -> bool {
    *n == 0
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
    empty: Vec<PathBuf>,
    rules: TextRules,
}

impl Corpus {
    /// Reads all of `paths` once, to check and fingerprint them. Empty files are left out.
    ///
    /// # Errors
    /// [`Error::NoFiles`], [`Error::Empty`] if all are empty, or the error of the first unusable
    /// file: missing, a folder, not a regular file, unreadable, in another encoding, or (unless
    /// `rules` replace a few of them) with bytes that are zero or not UTF-8.
    pub fn open(paths: &[PathBuf], rules: TextRules) -> Result<Corpus, Error> {
        if paths.is_empty() {
            return Err(Error::NoFiles);
        }
        let (mut files, mut empty) = (Vec::new(), Vec::new());
        for path in paths {
            match examine(path, rules)? {
                Some(report) => files.push(report),
                None => empty.push(path.clone()),
            }
        }
        if files.is_empty() {
            return Err(Error::Empty { path: empty.swap_remove(0) });
        }
        Ok(Corpus { files, empty, rules })
    }

    /// The files that were left out, since there is no text in them.
    pub fn empty(&self) -> &[PathBuf] {
        &self.empty
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
        // Hashes of older corpora know no form.
        if self.rules.normal_form != NormalForm::Keep {
            hasher.update(&[self.rules.normal_form as u8]);
        }
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

/// Reads the file at `path` to its end, checking and counting; `None` if it has no text.
fn examine(path: &Path, rules: TextRules) -> Result<Option<FileReport>, Error> {
    if path.as_os_str() == STANDARD_INPUT && !path.exists() {
        // A corpus is read more than once.
        return Err(Error::NotRegular { path: "standard input".into() });
    }
    let file = open_regular(path).map_err(|source| refused(path, source))?;
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let before = file.metadata().map_err(unreadable)?.len();
    let mut reader = TextReader::of(path, Box::new(file), rules);
    let mut hasher = blake3::Hasher::new();
    let (mut n_lines, mut n_text_bytes) = (0, 0);
    while let Some(text) = reader.next_piece(&mut |raw| {
        hasher.update(raw);
    })? {
        n_lines += text.bytes().filter(|b| *b == b'\n').count() as u64;
        n_text_bytes += text.len() as u64;
    }
    let bytes = hasher.count();
    match (before, bytes == before) {
        (0, false) => return Err(Error::Generated { path: path.to_owned() }),
        (before, false) => {
            let path = path.to_owned();
            return Err(Error::ChangedInReading { path, before, after: bytes });
        }
        _ if n_text_bytes == 0 => return Ok(None),
        _ => reader.check_share()?,
    }
    let fingerprint = FileFingerprint { bytes, blake3: hasher.finalize().to_hex().to_string() };
    let TextChanges { n_replaced, n_line_ends, n_composed } = reader.changes;
    let path = path.to_owned();
    Ok(Some(FileReport { path, fingerprint, n_lines, n_replaced, n_line_ends, n_composed }))
}

fn check_size(file: &FileReport) -> Result<(), Error> {
    let open = open_regular(&file.path).and_then(|opened| opened.metadata());
    let metadata = open.map_err(|source| refused(&file.path, source))?;
    let (expected, found) = (file.fingerprint.bytes, metadata.len());
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
