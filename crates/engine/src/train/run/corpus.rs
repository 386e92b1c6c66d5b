//! Corpus record of a run: sizes and hashes of its text files, to detect later changes.

use super::error::RunError;
use super::texts::document_rules;
use crate::checkpoint::CorpusFingerprint;
use crate::disk::{RealFs, commit_file, read_file};
use crate::train::settings::DataConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;
use text::corpus::{Corpus, FileReport, TokenFile};

/// Name in the run's folder of the file with the size and hash of each text file.
pub(super) const CORPUS_NAME: &str = "corpus.json";

/// Largest record that is read: a few hundred bytes per file of a large corpus.
const CORPUS_BYTES_MAX: u64 = 256 << 20;

/// Sizes and hashes of the text files when they were tokenised.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct CorpusRecord {
    /// Files to train on.
    train: Vec<FileReport>,
    /// The validation file, unless part of the training files is held out.
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

    /// Identity of the text in a checkpoint: its size, and the hash that its tokens carry.
    pub fn fingerprint(&self, tokens: &TokenFile) -> CorpusFingerprint {
        let hash = tokens.origin().text_hash;
        CorpusFingerprint {
            bytes: self.train.iter().map(|file| file.fingerprint.bytes).sum(),
            blake3: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Checks that every text file that still exists is unchanged.
    ///
    /// A run continues from its tokens and does not need its text. A missing file is therefore
    /// accepted; a changed file is not, because the user may expect training on the new text.
    pub fn check(&self, data: &DataConfig) -> Result<(), RunError> {
        for file in self.train.iter().chain(&self.valid).filter(|file| file.path.exists()) {
            Corpus::open(std::slice::from_ref(&file.path), document_rules(data).text)
                .and_then(|now| now.check_same(std::slice::from_ref(&file.fingerprint)))
                .map_err(|source| RunError::CorpusChanged { source })?;
        }
        Ok(())
    }
}

fn invalid(dir: &Path, error: serde_json::Error) -> RunError {
    RunError::ConfigFile { path: dir.join(CORPUS_NAME), message: error.to_string() }
}
