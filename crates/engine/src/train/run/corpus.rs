//! Corpus record of a run: sizes and hashes of its text files, to detect later changes.

use super::error::RunError;
use crate::checkpoint::CorpusFingerprint;
use crate::disk::{RealFs, commit_file, read_file};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};
use text::corpus::{Corpus, FileReport, TokenFile};

/// Name in the run's folder of the file with the size and hash of each text file.
pub(super) const CORPUS_NAME: &str = "corpus.json";

/// Largest record that is read: a few hundred bytes per file of a large corpus.
const CORPUS_BYTES_MAX: u64 = 256 << 20;

/// Sizes and hashes of the text files when they were tokenised.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct CorpusRecord {
    /// Files to train on.
    train: Vec<TextRecord>,
    /// The validation file, unless part of the training files is held out.
    valid: Vec<TextRecord>,
}

/// A text file, and where it was. The paths are left out by older programs, and where they are not
/// UTF-8.
#[derive(Debug, Deserialize, Serialize)]
struct TextRecord {
    #[serde(flatten)]
    report: FileReport,
    /// Its path from the run's folder, which finds it if both were moved together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_from_run: Option<PathBuf>,
    /// Its absolute path, which finds it wherever the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absolute_path: Option<PathBuf>,
}

impl TextRecord {
    fn new(report: FileReport, dir: &Path) -> TextRecord {
        let is_utf8 = |path: &PathBuf| path.to_str().is_some();
        let absolute = report.path.canonicalize().ok().filter(is_utf8);
        let dir = dir.canonicalize().ok();
        let from_run = dir.zip(absolute.as_ref()).and_then(|(dir, path)| path_from(&dir, path));
        let path_from_run = from_run.filter(is_utf8);
        TextRecord { report, path_from_run, absolute_path: absolute }
    }

    /// Where the file is, for a run in `dir`; never looked for in the current folder if its place was
    /// recorded.
    fn find(&self, dir: &Path) -> Option<PathBuf> {
        let dir = dir.canonicalize().ok();
        let from_run = dir.zip(self.path_from_run.as_ref()).map(|(dir, path)| dir.join(path));
        // Without its ups and downs, for messages.
        let from_run = from_run.and_then(|path| path.canonicalize().ok());
        let is_recorded = self.path_from_run.is_some() || self.absolute_path.is_some();
        let as_given = (!is_recorded).then(|| self.report.path.clone());
        let mut places = from_run.into_iter().chain(self.absolute_path.clone()).chain(as_given);
        places.find(|path| path.exists())
    }
}

/// The path that leads from the folder `from` to `to`, both absolute and without links.
fn path_from(from: &Path, to: &Path) -> Option<PathBuf> {
    let n_same = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    if n_same == 0 {
        return None;
    }
    let up = from.components().skip(n_same).map(|_| Component::ParentDir);
    Some(up.chain(to.components().skip(n_same)).collect())
}

impl CorpusRecord {
    /// The record of a run in `dir`, which exists.
    pub fn new(train: &Corpus, valid: Option<&Corpus>, dir: &Path) -> CorpusRecord {
        let record = |report: &FileReport| TextRecord::new(report.clone(), dir);
        let files = |corpus: &Corpus| corpus.files().iter().map(record).collect();
        CorpusRecord { train: files(train), valid: valid.map(files).unwrap_or_default() }
    }

    pub fn write(&self, dir: &Path) -> Result<(), RunError> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| invalid(dir, error))?;
        Ok(commit_file(&RealFs, &dir.join(CORPUS_NAME), &json)?)
    }

    pub fn read(dir: &Path) -> Result<CorpusRecord, RunError> {
        let json = read_file(&RealFs, &dir.join(CORPUS_NAME), CORPUS_BYTES_MAX)?;
        serde_json::from_slice(&json).map_err(|error| invalid(dir, error))
    }

    /// Identity of the text in a checkpoint: its size, and the hash that its tokens carry.
    pub fn fingerprint(&self, tokens: &TokenFile) -> CorpusFingerprint {
        let hash = tokens.origin().text_hash;
        CorpusFingerprint {
            bytes: self.train.iter().map(|file| file.report.fingerprint.bytes).sum(),
            blake3: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Checks that every text file that still exists is unchanged.
    ///
    /// A run continues from its tokens and does not need its text. A missing file is therefore
    /// accepted; a changed file is not, because the user may expect training on the new text.
    pub fn check(&self, dir: &Path) -> Result<(), RunError> {
        for file in self.train.iter().chain(&self.valid) {
            let Some(path) = file.find(dir) else { continue };
            let checked = file.report.fingerprint.check(&path);
            checked.map_err(|source| RunError::CorpusChanged { source })?;
        }
        Ok(())
    }

    /// Files that are not found, by their paths when the run began.
    pub fn missing(&self, dir: &Path) -> Vec<PathBuf> {
        let files = self.train.iter().chain(&self.valid);
        let missing = files.filter(|file| file.find(dir).is_none());
        missing.map(|file| file.absolute_path.clone().unwrap_or(file.report.path.clone())).collect()
    }
}

fn invalid(dir: &Path, error: serde_json::Error) -> RunError {
    RunError::ConfigFile { path: dir.join(CORPUS_NAME), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_between_two_places_goes_up_and_down_again() {
        for (from, to, expected) in [
            ("/a/runs/book", "/a/book.txt", "../../book.txt"),
            ("/a/run", "/a/run/book.txt", "book.txt"),
            ("/a/run", "/b/book.txt", "../../b/book.txt"),
        ] {
            assert_eq!(path_from(Path::new(from), Path::new(to)), Some(expected.into()));
        }
    }
}
