//! Model folders by path; prints a line for each checkpoint that was skipped.

use super::say::say;
use anyhow::Result;
use engine::formats::{LoadedModel, ModelFolder};
use kernels::{Pool, Precision};
use std::path::Path;

/// `--allow-nonfinite`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct NonFinite {
    /// Use a model even if it holds NaN or infinity, to look at it.
    #[arg(long)]
    allow_nonfinite: bool,
}

/// Opens the model folder of `path`: a run's folder or a model folder.
pub fn folder(path: &Path) -> Result<ModelFolder> {
    let folder = ModelFolder::open(path)?;
    for one in folder.rejected() {
        say!("skipped checkpoint {}: {}", one.path.display(), one.why);
    }
    Ok(folder)
}

/// Loads the model of `path` into memory, whatever its numbers if that is allowed.
pub fn open_any(
    path: &Path,
    precision: Precision,
    pool: &mut Pool,
    allowed: NonFinite,
) -> Result<LoadedModel> {
    Ok(folder(path)?.allow_nonfinite(allowed.allow_nonfinite).load(precision, pool)?)
}

/// Loads the model of `path` into memory.
pub fn open(path: &Path, precision: Precision, pool: &mut Pool) -> Result<LoadedModel> {
    Ok(folder(path)?.load(precision, pool)?)
}
