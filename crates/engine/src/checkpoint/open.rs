//! Model folders by user path: a run's folder, a checkpoint, or any model folder.

use super::CHECKPOINTS_NAME;
use super::scan::{Found, best};
use crate::disk::{LoadError, Reading, RealFs, Rejected};
use crate::formats::{ModelFolder, ModelFolderError};
use std::path::Path;

/// Times that the choice is made anew because a training removed a checkpoint in the meantime.
const TRIES_MAX: u32 = 1_000;

fn is_gone(rejected: &Rejected) -> bool {
    !rejected.path.exists()
}

impl ModelFolder {
    /// Opens the model folder at `path`: the folder itself, or the best checkpoint of the run in
    /// it. That checkpoint stays until the result is dropped, even if a training goes on in the run.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`]; [`ModelFolderError::Load`] as [`best`], if the run has no
    /// usable checkpoint.
    pub fn open(path: &Path) -> Result<ModelFolder, ModelFolderError> {
        let checkpoints = path.join(CHECKPOINTS_NAME);
        if !checkpoints.is_dir() {
            return ModelFolder::at(path);
        }
        for _ in 0..TRIES_MAX {
            match best(&RealFs, &checkpoints) {
                Ok(found) if found.rejected.iter().any(is_gone) => {}
                Ok(Found { path, rejected, .. }) => {
                    if let Some(reading) = Reading::of(&path) {
                        return Ok(ModelFolder::of_checkpoint(path, rejected, Some(reading)));
                    }
                }
                Err(LoadError::NoCheckpoint { rejected, .. }) if rejected.iter().any(is_gone) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Found { path, rejected, .. } = best(&RealFs, &checkpoints)?;
        Ok(ModelFolder::of_checkpoint(path, rejected, None))
    }
}
