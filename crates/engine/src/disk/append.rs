//! Append-only files of JSON lines: metrics, samples and events of a run.
//!
//! A row is one line with a `step`. It is handed to the system before [`LineFile::append`] returns,
//! so a killed process loses none. After a sync before a step's checkpoint, every row up to that
//! step survives a power cut if the checkpoint does. Write the rows of a step before its
//! checkpoint: a run that resumes there drops later rows and writes them again, so that none is
//! missing and none is duplicated.

use super::error::SaveError;
use super::fs::{Fs, WriteFile, parent, write_all};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// An open file of JSON lines.
pub struct LineFile {
    path: PathBuf,
    file: Box<dyn WriteFile>,
    /// Length of the complete rows.
    bytes: u64,
    n_rows: u64,
    /// Whether an incomplete row may follow them.
    is_torn: bool,
}

/// Result of [`LineFile::resume`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Rows that were kept.
    pub n_rows: u64,
    /// Complete rows that were dropped because their step is repeated.
    pub n_dropped: u64,
    /// Bytes of an incomplete last row, also dropped.
    pub torn_bytes: u64,
}

/// The field of a row that is read here.
#[derive(Deserialize)]
struct Row {
    step: Option<u64>,
}

impl LineFile {
    /// Creates an empty file, which must not exist, and makes it durable in its folder.
    ///
    /// # Errors
    /// [`SaveError::Io`].
    pub fn create(fs: &dyn Fs, path: &Path) -> Result<LineFile, SaveError> {
        let file = fs.create(path).map_err(SaveError::io("make", path))?;
        fs.sync_dir(parent(path)).map_err(SaveError::io("sync", parent(path)))?;
        Ok(LineFile { path: path.to_owned(), file, bytes: 0, n_rows: 0, is_torn: false })
    }

    /// Opens a file to continue after `step`: drops the first row of a later step and everything
    /// after it, and an incomplete last row. Creates a missing file.
    ///
    /// # Errors
    /// [`SaveError::Io`].
    pub fn resume(fs: &dyn Fs, path: &Path, step: u64) -> Result<(LineFile, Resumed), SaveError> {
        if !fs.exists(path).map_err(SaveError::io("look for", path))? {
            return Ok((LineFile::create(fs, path)?, Resumed::default()));
        }
        let file = fs.open(path).map_err(SaveError::io("open", path))?;
        let (bytes, resumed) =
            rows_up_to(BufReader::new(file), step).map_err(SaveError::io("read", path))?;
        let mut file = fs.append(path).map_err(SaveError::io("open", path))?;
        if resumed.n_dropped > 0 || resumed.torn_bytes > 0 {
            // Synced, so that no power cut brings the dropped rows back among the new ones.
            file.set_len(bytes).map_err(SaveError::io("cut", path))?;
            file.sync().map_err(SaveError::io("sync", path))?;
        }
        let (path, n_rows) = (path.to_owned(), resumed.n_rows);
        Ok((LineFile { path, file, bytes, n_rows, is_torn: false }, resumed))
    }

    /// Appends a row, which has a field `step` unless it belongs to the row before it. NaN and
    /// infinity are written as `null`.
    ///
    /// # Errors
    /// [`SaveError::Io`]: the row is not in the file, and earlier rows are unchanged.
    /// [`SaveError::Invalid`] if the row has no JSON form.
    pub fn append(&mut self, row: &impl Serialize) -> Result<(), SaveError> {
        let mut line = serde_json::to_vec(row).map_err(|error| {
            let expected = "something that has a JSON form";
            SaveError::Invalid { field: "row", found: error.to_string(), expected }
        })?;
        line.push(b'\n');
        if self.is_torn {
            self.cut_torn_row()?;
        }
        self.is_torn = true;
        if let Err(error) = write_all(self.file.as_mut(), &line) {
            let _ = self.cut_torn_row(); // or by the next call, or by `resume`
            return Err(SaveError::io("append to", &self.path)(error));
        }
        self.is_torn = false;
        self.bytes += line.len() as u64;
        self.n_rows += 1;
        Ok(())
    }

    /// Makes every row so far durable.
    ///
    /// # Errors
    /// [`SaveError::Io`].
    pub fn sync(&mut self) -> Result<(), SaveError> {
        self.file.sync().map_err(SaveError::io("sync", &self.path))
    }

    /// Rows in the file.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    fn cut_torn_row(&mut self) -> Result<(), SaveError> {
        self.file.set_len(self.bytes).map_err(SaveError::io("cut", &self.path))?;
        self.is_torn = false;
        Ok(())
    }
}

/// Length of the rows up to `step`, and a summary of the rest.
///
/// An invalid line that is followed by rows up to `step` stays: only the end of a file can be torn.
fn rows_up_to(mut file: impl BufRead, step: u64) -> io::Result<(u64, Resumed)> {
    let (mut kept_bytes, mut seen_bytes) = (0, 0);
    let mut resumed = Resumed::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = file.read_until(b'\n', &mut line)? as u64;
        if n == 0 {
            return Ok((kept_bytes, resumed));
        }
        seen_bytes += n;
        let row = line.strip_suffix(b"\n").and_then(|json| serde_json::from_slice(json).ok());
        match row {
            Some(Row { step: row_step }) if resumed.n_dropped == 0 && row_step <= Some(step) => {
                resumed.n_rows += 1;
                resumed.torn_bytes = 0;
                kept_bytes = seen_bytes;
            }
            Some(_) => resumed.n_dropped += 1,
            None => resumed.torn_bytes += n,
        }
    }
}
