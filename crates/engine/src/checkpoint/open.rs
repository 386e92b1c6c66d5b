//! Model folders by the path that a user gives: a run's folder, a checkpoint, or any model folder.

use super::CHECKPOINTS_NAME;
use super::scan::{Found, best};
use crate::disk::RealFs;
use crate::formats::{ModelFolder, ModelFolderError};
use std::path::Path;

impl ModelFolder {
    /// The model folder that `path` means: itself, or the best checkpoint of the run in it.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`]; [`ModelFolderError::Load`] if the run has no checkpoint that
    /// can be used, as [`best`].
    pub fn open(path: &Path) -> Result<ModelFolder, ModelFolderError> {
        let checkpoints = path.join(CHECKPOINTS_NAME);
        if !checkpoints.is_dir() {
            return ModelFolder::at(path);
        }
        let Found { path, rejected, .. } = best(&RealFs, &checkpoints)?;
        Ok(ModelFolder::of_checkpoint(path, rejected))
    }
}
