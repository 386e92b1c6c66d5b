//! Model folders by path; prints a line for each checkpoint that was skipped.

use super::say::say;
use anyhow::Result;
use engine::formats::{LoadedModel, ModelFolder};
use kernels::{Pool, Precision};
use std::path::Path;

/// Opens the model folder of `path`: a run's folder or a model folder.
pub fn folder(path: &Path) -> Result<ModelFolder> {
    let folder = ModelFolder::open(path)?;
    for one in folder.rejected() {
        say!("skipped checkpoint {}: {}", one.path.display(), one.why);
    }
    Ok(folder)
}

/// Loads the model of `path` into memory.
pub fn open(path: &Path, precision: Precision, pool: &mut Pool) -> Result<LoadedModel> {
    Ok(folder(path)?.load(precision, pool)?)
}
