//! Model folders by user path: a run's folder, a checkpoint, or any model folder.

use super::CHECKPOINTS_NAME;
use super::manifest::{MANIFEST_BYTES_MAX, MANIFEST_NAME, is_foreign};
use super::scan::{Found, best, verify};
use crate::disk::{LoadError, RealFs, read_file};
use crate::formats::{ModelFolder, ModelFolderError};
use std::path::Path;

impl ModelFolder {
    /// Opens the model folder at `path`: the folder itself, or the best checkpoint of the run in
    /// it. A folder with a manifest is compared with it first.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`]; [`ModelFolderError::Load`] as [`best`], if the run has no
    /// usable checkpoint, or as [`verify`], if the folder does not match its manifest.
    pub fn open(path: &Path) -> Result<ModelFolder, ModelFolderError> {
        let checkpoints = path.join(CHECKPOINTS_NAME);
        if checkpoints.is_dir() {
            let Found { path, rejected, .. } = best(&RealFs, &checkpoints)?;
            return ModelFolder::of_verified(&path, rejected);
        }
        if is_checkpoint(path)? {
            verify(&RealFs, path)?;
        }
        ModelFolder::of_verified(path, Vec::new())
    }
}

/// Whether `folder` has a manifest of this program, sound or damaged.
fn is_checkpoint(folder: &Path) -> Result<bool, LoadError> {
    let path = folder.join(MANIFEST_NAME);
    if !path.exists() {
        return Ok(false);
    }
    Ok(!is_foreign(&read_file(&RealFs, &path, MANIFEST_BYTES_MAX)?))
}
