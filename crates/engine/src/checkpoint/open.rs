//! Model folders by user path: a run's folder, a checkpoint, or any model folder.

use super::CHECKPOINTS_NAME;
use super::manifest::{MANIFEST_BYTES_MAX, MANIFEST_NAME, is_foreign};
use super::scan::{Found, best, list, verify};
use crate::disk::{LoadError, Reading, RealFs, Rejected, read_file};
use crate::formats::{ModelFolder, ModelFolderError, TOKENIZER_NAME};
use std::path::Path;
use text::tokenizer::Tokenizer;

/// Times that the choice is made anew because a training removed a checkpoint in the meantime.
const TRIES_MAX: u32 = 1_000;

fn is_gone(rejected: &Rejected) -> bool {
    !rejected.path.exists()
}

impl ModelFolder {
    /// Opens the model folder at `path`: the folder itself, or the best checkpoint of the run in
    /// it. A folder with a manifest is compared with it first. It stays until the result is dropped,
    /// even if a training goes on in the run.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`]; [`ModelFolderError::Load`] as [`best`], if the run has no
    /// usable checkpoint, or as [`verify`], if the folder does not match its manifest.
    pub fn open(path: &Path) -> Result<ModelFolder, ModelFolderError> {
        let checkpoints = path.join(CHECKPOINTS_NAME);
        if checkpoints.is_dir() {
            return open_best(&checkpoints);
        }
        let reading = Reading::of(path);
        if is_checkpoint(path)? {
            verify(&RealFs, path)?;
        }
        ModelFolder::of_verified(path, Vec::new(), reading)
    }

    /// The tokeniser at `path`: a tokenizer.json, or that of a run's folder or a model folder. That
    /// of a run is compared with its checkpoints, without reading these.
    ///
    /// # Errors
    /// [`ModelFolderError`] if there is none, or it is damaged.
    pub fn tokenizer_at(path: &Path) -> Result<Tokenizer, ModelFolderError> {
        if !path.is_dir() {
            return Ok(Tokenizer::load(path)?);
        }
        let file = path.join(TOKENIZER_NAME);
        if !file.is_file() || is_checkpoint(path)? {
            return Ok(ModelFolder::open(path)?.tokenizer()?);
        }
        let tokenizer = Tokenizer::load(&file)?;
        let checkpoints = path.join(CHECKPOINTS_NAME);
        let listed = if checkpoints.is_dir() { list(&RealFs, &checkpoints)? } else { Vec::new() };
        let found = tokenizer.hash().to_hex();
        let mut sound = listed.iter().filter_map(|listed| listed.manifest.as_ref().ok());
        match sound.find(|manifest| manifest.facts.tokenizer_blake3 != found.as_str()) {
            Some(manifest) => {
                let expected =
                    format!("{}, as in the checkpoints", manifest.facts.tokenizer_blake3);
                Err(LoadError::damaged(&file, "BLAKE3", found, expected).into())
            }
            None => Ok(tokenizer),
        }
    }
}

/// Opens the best checkpoint. Choosing and locking it are two steps; one that is removed between them
/// is chosen anew.
fn open_best(checkpoints: &Path) -> Result<ModelFolder, ModelFolderError> {
    for _ in 0..TRIES_MAX {
        match best(&RealFs, checkpoints) {
            Ok(found) if found.rejected.iter().any(is_gone) => {}
            Ok(Found { path, rejected, .. }) => {
                if let Some(reading) = Reading::of(&path) {
                    return ModelFolder::of_verified(&path, rejected, Some(reading));
                }
            }
            Err(LoadError::NoCheckpoint { rejected, .. }) if rejected.iter().any(is_gone) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Found { path, rejected, .. } = best(&RealFs, checkpoints)?;
    ModelFolder::of_verified(&path, rejected, None)
}

/// Whether `folder` has a manifest of this program, sound or damaged.
fn is_checkpoint(folder: &Path) -> Result<bool, LoadError> {
    let path = folder.join(MANIFEST_NAME);
    if !path.exists() {
        return Ok(false);
    }
    Ok(!is_foreign(&read_file(&RealFs, &path, MANIFEST_BYTES_MAX)?))
}
