//! Removal of folders, atomic even across a crash, and of leftovers of a crash.

use super::commit::{is_temp_name, random_hex};
use super::error::SaveError;
use super::fs::{Fs, remove_tree};
use std::path::{Path, PathBuf};

/// Prefix of the name of a folder being removed.
const DELETED: &str = ".del-";

/// Removes leftovers of a crash in `dir`: temporary names, and unfinished removals. Returns the
/// removed paths. Call while holding the run's lock, so that none is in use.
///
/// # Errors
/// [`SaveError::Io`]. Some may then be removed and others not.
pub fn clean(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, SaveError> {
    let mut removed = Vec::new();
    for entry in fs.list(dir).map_err(SaveError::io("list", dir))? {
        let is_deleted = entry.is_dir && entry.name.starts_with(DELETED);
        if !(is_deleted || is_temp_name(&entry.name)) {
            continue;
        }
        let path = dir.join(&entry.name);
        let result = if entry.is_dir { remove_tree(fs, &path) } else { fs.remove_file(&path) };
        result.map_err(SaveError::io("remove", &path))?;
        removed.push(path);
    }
    Ok(removed)
}

/// Removes those of the folders that nobody is reading, as [`remove_folders`]; returns them.
///
/// # Errors
/// As [`remove_folders`].
pub fn remove_unread(
    fs: &dyn Fs,
    dir: &Path,
    mut folders: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, SaveError> {
    let mut locks = Vec::with_capacity(folders.len());
    folders.retain(|folder| match fs.lock_out_readers(folder) {
        Some(lock) => {
            locks.push(lock);
            true
        }
        None => false,
    });
    remove_folders(fs, dir, &folders)?;
    Ok(folders)
}

/// Removes folders of `dir` in the given order. They are renamed first, durably, so that a crash
/// leaves no partial folder under its original name.
///
/// # Errors
/// [`SaveError::Io`]. Some may then be removed and others not.
pub fn remove_folders(fs: &dyn Fs, dir: &Path, folders: &[PathBuf]) -> Result<(), SaveError> {
    let mut renamed = Vec::with_capacity(folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let deleted = dir.join(format!("{DELETED}{name}-{}", random_hex()));
        fs.rename(folder, &deleted).map_err(SaveError::io("rename", folder))?;
        renamed.push(deleted);
    }
    if !renamed.is_empty() {
        fs.sync_dir(dir).map_err(SaveError::io("sync", dir))?;
    }
    for folder in renamed {
        remove_tree(fs, &folder).map_err(SaveError::io("remove", &folder))?;
    }
    Ok(())
}
