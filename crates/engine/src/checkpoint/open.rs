//! Model folders by user path: a run's folder, a checkpoint, or any model folder.

use super::CHECKPOINTS_NAME;
use super::scan::{Found, best};
use crate::disk::RealFs;
use crate::formats::{ModelFolder, ModelFolderError};
use std::path::Path;

impl ModelFolder {
    /// Opens the model folder at `path`: the folder itself, or the best checkpoint of the run in
    /// it.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`]; [`ModelFolderError::Load`] as [`best`], if the run has no
    /// usable checkpoint.
    pub fn open(path: &Path) -> Result<ModelFolder, ModelFolderError> {
        let checkpoints = path.join(CHECKPOINTS_NAME);
        if !checkpoints.is_dir() {
            return ModelFolder::at(path);
        }
        let Found { path, rejected, .. } = best(&RealFs, &checkpoints)?;
        Ok(ModelFolder::of_checkpoint(path, rejected))
    }
}
