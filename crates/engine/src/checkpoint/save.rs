//! Save of a checkpoint: commits it, then removes the checkpoints that are no longer kept.

use super::manifest::{Facts, MANIFEST_NAME, Manifest};
use super::prune::{Retention, prune};
use super::scan::{step_name, verify};
use crate::disk::{FileRecord, Fs, LastFile, SaveError, remove_folders, replace_folder};
use crate::formats::FileEntry;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// State to be saved.
#[derive(Clone, Debug)]
pub struct Checkpoint<'a> {
    /// Contents of the manifest except the list of files.
    pub facts: Facts,
    /// The files.
    pub files: Vec<FileEntry<'a>>,
}

/// Result of a successful save.
#[derive(Debug)]
pub struct Saved {
    /// Step of the checkpoint.
    pub step: u64,
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Size in bytes; 0 if the checkpoint already existed.
    pub bytes: u64,
    /// Whether a sound checkpoint of this step already existed, so that nothing was written.
    pub was_there: bool,
    /// Time from the start of writing until it was durable.
    pub elapsed: Duration,
    /// Checkpoints that were removed afterwards.
    pub removed: Vec<PathBuf>,
    /// Error of that removal: old checkpoints still take space, nothing else is wrong.
    pub prune_error: Option<SaveError>,
}

/// Saves `checkpoint` as `dir/step-…` and then removes the checkpoints that `retention` does not
/// keep.
///
/// A sound checkpoint of the same step is left alone, because the state at a step is always the
/// same; but one from before the work that was due at the step is replaced by one from after it. A
/// damaged one is replaced; one that cannot be read stays, because it may be sound.
///
/// # Errors
/// As [`commit_checkpoint`], and [`SaveError::NotReplaced`]: `checkpoint` is then not on disk, and
/// the older ones are unchanged.
pub fn save_checkpoint(
    fs: &dyn Fs,
    dir: &Path,
    checkpoint: &Checkpoint<'_>,
    retention: &Retention,
) -> Result<Saved, SaveError> {
    let start = Instant::now();
    let step = checkpoint.facts.step;
    let path = dir.join(step_name(step));
    let was_there = is_there(fs, dir, &path, checkpoint.facts.state.is_work_due)?;
    let bytes = if was_there { 0 } else { commit_checkpoint(fs, &path, checkpoint)? };
    let elapsed = start.elapsed();
    let (removed, prune_error) = match prune(fs, dir, retention) {
        Ok(removed) => (removed, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    Ok(Saved { step, path, bytes, was_there, elapsed, removed, prune_error })
}

/// Writes the folder `target` of a checkpoint, its manifest last, completely or not at all. Returns
/// its size in bytes.
///
/// # Errors
/// As [`replace_folder`]; [`SaveError::NotFinite`] if a tensor holds NaN or infinity.
pub fn commit_checkpoint(
    fs: &dyn Fs,
    target: &Path,
    checkpoint: &Checkpoint<'_>,
) -> Result<u64, SaveError> {
    let manifest =
        |files: Vec<FileRecord>| Manifest::new(checkpoint.facts.clone(), files).to_bytes();
    let last = LastFile { name: MANIFEST_NAME, content: &manifest };
    replace_folder(fs, target, &checkpoint.files, Some(last))
}

/// Whether a sound checkpoint exists at `path` that is as far as the new one; a damaged one is moved
/// out of the way.
fn is_there(fs: &dyn Fs, dir: &Path, path: &Path, is_work_due: bool) -> Result<bool, SaveError> {
    if !fs.exists(path).map_err(SaveError::io("look for", path))? {
        return Ok(false);
    }
    match verify(fs, path) {
        Ok(manifest) => Ok(is_work_due || !manifest.facts.state.is_work_due),
        Err(why) if why.blames_files() => {
            remove_folders(fs, dir, &[path.to_owned()]).map(|()| false)
        }
        Err(source) => Err(SaveError::NotReplaced { source }),
    }
}
