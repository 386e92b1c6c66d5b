//! Claim of a folder for a new run: takes the run's lock and removes leftovers of earlier attempts.

use super::error::RunError;
use super::{CONFIG_NAME, TRAIN_NAME, VALID_NAME};
use crate::checkpoint::CHECKPOINTS_NAME;
use crate::disk::{RealFs, RunLock, clean, ensure_dir};
use std::path::Path;
use text::vocab::{CODES_NAME, NGRAMS_NAME};

/// Creates `dir` if needed and locks it; it belongs to the caller until the lock is dropped.
///
/// # Errors
/// [`RunError::Exists`] if it holds a run, [`RunError::Lock`] if another process is creating one,
/// [`RunError::Io`].
pub(super) fn claim(dir: &Path) -> Result<RunLock, RunError> {
    ensure_dir(&RealFs, &dir.join(CHECKPOINTS_NAME)).map_err(RunError::io("make", dir))?;
    let lock = RunLock::take(dir)?;
    refuse_run(dir)?;
    clean(&RealFs, dir)?;
    remove_leftovers(dir).map_err(RunError::io("remove what an earlier attempt left in", dir))?;
    Ok(lock)
}

/// # Errors
/// [`RunError::Exists`] if there is a run in `dir`.
pub(super) fn refuse_run(dir: &Path) -> Result<(), RunError> {
    if dir.join(CONFIG_NAME).exists() {
        return Err(RunError::Exists { dir: dir.to_owned() });
    }
    Ok(())
}

/// Removes optional files of a run, complete or partial: this run may not want held-out tokens or
/// codes of words.
fn remove_leftovers(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_file = |of: &str| name == of || name.starts_with(&format!("{of}.tmp-"));
        if [TRAIN_NAME, VALID_NAME, CODES_NAME, NGRAMS_NAME].into_iter().any(is_file) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
