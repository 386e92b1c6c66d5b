//! Files of a run beside its checkpoints: their checksums, kept in each checkpoint.
//!
//! What a run computes depends on these files, so a run that resumes compares them with the
//! checkpoint that it resumes from. The configuration is compared by its values (`save.rs`), and the
//! files of lines by their numbers of rows.

use super::corpus::CORPUS_NAME;
use super::{TOKENIZER_NAME, TRAIN_NAME, VALID_NAME};
use crate::disk::{FileRecord, Fs, LoadError, RealFs, hash_file};
use std::path::Path;
use text::vocab::{CODES_NAME, NGRAMS_NAME};

/// Files that a run is computed from; some runs lack some of them.
const NAMES: [&str; 6] =
    [TOKENIZER_NAME, CODES_NAME, NGRAMS_NAME, CORPUS_NAME, TRAIN_NAME, VALID_NAME];

/// Size and checksum of each file that the run in `dir` is computed from.
///
/// # Errors
/// [`LoadError::Io`].
pub(super) fn record(dir: &Path) -> Result<Vec<FileRecord>, LoadError> {
    let mut records = Vec::new();
    for name in NAMES {
        let path = dir.join(name);
        if RealFs.exists(&path).map_err(LoadError::io("look for", &path))? {
            let (bytes, hash) = hash_file(&RealFs, &path)?;
            let blake3 = hash.to_hex().to_string();
            records.push(FileRecord { name: name.to_string(), bytes, blake3 });
        }
    }
    Ok(records)
}

/// Compares the files of the run in `dir` with those that a checkpoint was computed from. A
/// checkpoint older than such records has none.
///
/// # Errors
/// [`LoadError::Damaged`] with the first file that is missing, differs or was added.
pub(super) fn check(
    dir: &Path,
    stored: &[FileRecord],
    now: &[FileRecord],
) -> Result<(), LoadError> {
    if stored.is_empty() {
        return Ok(());
    }
    let of = |records: &[FileRecord], name: &str| {
        records.iter().find(|record| record.name == name).cloned()
    };
    NAMES.into_iter().try_for_each(|name| {
        let path = dir.join(name);
        let damaged = |field: &str, found: String, expected: String| {
            let expected = format!("{expected}, as when the run began");
            Err(LoadError::damaged(&path, field, found, expected))
        };
        match (of(stored, name), of(now, name)) {
            (Some(_), None) => damaged("the file", "missing".into(), "it to be there".into()),
            (None, Some(_)) => damaged("the file", "new".into(), "none".into()),
            (Some(then), Some(now)) if then.bytes != now.bytes => {
                damaged("size", now.bytes.to_string(), then.bytes.to_string())
            }
            (Some(then), Some(now)) if then.blake3 != now.blake3 => {
                damaged("BLAKE3", now.blake3, then.blake3)
            }
            _ => Ok(()),
        }
    })
}
