//! The text of a run: what its files were when the run began, and whether they still are.

use super::error::RunError;
use super::prepare::text_rules;
use crate::checkpoint::Fingerprint;
use crate::disk::{RealFs, commit_file, read_file};
use crate::train::settings::DataConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;
use text::corpus::{Corpus, FileReport, TokenFile};

/// Size and hash of each text file, in the run's folder.
const CORPUS_NAME: &str = "corpus.json";

/// The largest record that is read: some hundred bytes for each file of a large corpus.
const CORPUS_BYTES_MAX: u64 = 256 << 20;

/// What the files of a run were when their text became tokens.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct CorpusRecord {
    /// Files to train on.
    train: Vec<FileReport>,
    /// The file to validate with, unless part of the others is held out.
    valid: Vec<FileReport>,
}

impl CorpusRecord {
    pub fn new(train: &Corpus, valid: Option<&Corpus>) -> CorpusRecord {
        let files = |corpus: &Corpus| corpus.files().to_vec();
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

    /// What identifies the text in a checkpoint: its size, and the hash that its tokens carry.
    pub fn fingerprint(&self, tokens: &TokenFile) -> Fingerprint {
        let hash = tokens.origin().text_hash;
        Fingerprint {
            bytes: self.train.iter().map(|file| file.fingerprint.bytes).sum(),
            blake3: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Checks that every file that is still there is what it was.
    ///
    /// A run goes on without its text, from its tokens: a missing file says nothing about them,
    /// one that differs says that somebody may expect another text to be trained on.
    pub fn check(&self, data: &DataConfig) -> Result<(), RunError> {
        for file in self.train.iter().chain(&self.valid).filter(|file| file.path.exists()) {
            Corpus::open(std::slice::from_ref(&file.path), text_rules(data))
                .and_then(|now| now.check_same(std::slice::from_ref(&file.fingerprint)))
                .map_err(|source| RunError::CorpusChanged { source })?;
        }
        Ok(())
    }
}

fn invalid(dir: &Path, error: serde_json::Error) -> RunError {
    RunError::ConfigFile { path: dir.join(CORPUS_NAME), message: error.to_string() }
}
