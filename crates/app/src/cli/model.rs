//! Model of a path that a user gives, with a line for each checkpoint that was passed over.

use super::say::say;
use anyhow::Result;
use engine::formats::{LoadedModel, ModelFolder};
use kernels::{Pool, Precision};
use std::path::Path;

/// The model folder that `path` means.
pub fn folder(path: &Path) -> Result<ModelFolder> {
    let folder = ModelFolder::open(path)?;
    for one in folder.rejected() {
        say!("passed over {}: {}", one.path.display(), one.why);
    }
    Ok(folder)
}

/// The model that `path` means, read into memory.
pub fn open(path: &Path, precision: Precision, pool: &mut Pool) -> Result<LoadedModel> {
    Ok(folder(path)?.load(precision, pool)?)
}
