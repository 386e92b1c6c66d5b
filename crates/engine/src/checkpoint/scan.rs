//! Choice of a checkpoint by the contents of the folders, never by a stored pointer.

use super::manifest::{MANIFEST_BYTES_MAX, MANIFEST_NAME, Manifest};
use crate::disk::{FileRecord, Fs, LoadError, Rejected, hash_file, is_plain_name, read_file};
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

/// A checkpoint whose files were all read and match the checksums of its manifest.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Preferred checkpoints that cannot be used; to be reported to the user.
    pub rejected: Vec<Rejected>,
}

/// A folder with the name of a checkpoint, and its manifest if that is sound and the files have
/// their sizes.
#[derive(Debug)]
pub struct Listed {
    /// The folder.
    pub path: PathBuf,
    /// The step in its name.
    pub step: u64,
    /// Its manifest, or the error.
    pub manifest: Result<Manifest, LoadError>,
}

/// Folder name of the checkpoint of a step.
pub fn step_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Step of a folder named by [`step_name`].
pub fn parse_step_name(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (step_name(step) == name).then_some(step)
}

/// Every checkpoint in `dir`, newest first. Manifests and sizes are checked, contents are not.
///
/// # Errors
/// [`LoadError::Io`] if `dir` cannot be listed.
pub fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<Listed>, LoadError> {
    let entries = fs.list(dir).map_err(LoadError::io("list", dir))?;
    let steps = entries.iter().filter(|e| e.is_dir).filter_map(|e| parse_step_name(&e.name));
    let mut listed: Vec<Listed> = steps
        .map(|step| {
            let path = dir.join(step_name(step));
            let manifest =
                read_manifest(fs, &path).and_then(|manifest| match manifest.facts.step {
                    found if found == step => Ok(manifest),
                    found => {
                        let path = path.join(MANIFEST_NAME);
                        Err(LoadError::mismatch(
                            &path,
                            "step",
                            found,
                            format!("{step} by its folder"),
                        ))
                    }
                });
            Listed { path, step, manifest }
        })
        .collect();
    listed.sort_by_key(|listed| Reverse(listed.step));
    Ok(listed)
}

/// The newest checkpoint in `dir` that verifies.
///
/// # Errors
/// [`LoadError::NoCheckpoint`] with all checkpoints found and their errors. If falling back to an
/// older one would throw away work, that error instead: [`LoadError::NewerVersion`], or
/// [`LoadError::Io`] such as a missing permission.
pub fn newest(fs: &dyn Fs, dir: &Path) -> Result<Found, LoadError> {
    first_verified(fs, dir, list(fs, dir)?)
}

/// The newest checkpoint in `dir` that verifies and is not of a later step.
///
/// # Errors
/// As [`newest`].
pub fn newest_up_to(fs: &dyn Fs, dir: &Path, step: u64) -> Result<Found, LoadError> {
    let mut listed = list(fs, dir)?;
    listed.retain(|listed| listed.step <= step);
    first_verified(fs, dir, listed)
}

/// The checkpoint in `dir` that verifies and has the lowest recorded held-out loss; on a tie the
/// earlier one, and the newest if none has a recorded loss.
///
/// # Errors
/// As [`newest`].
pub fn best(fs: &dyn Fs, dir: &Path) -> Result<Found, LoadError> {
    let mut listed = list(fs, dir)?;
    // The sort is stable and the list is newest first: those without a loss stay last, in that
    // order.
    listed.sort_by(|a, b| match (val_loss(a), val_loss(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then(a.step.cmp(&b.step)),
        (x, y) => x.is_none().cmp(&y.is_none()),
    });
    first_verified(fs, dir, listed)
}

/// Recorded held-out loss, unless it is NaN or the manifest is bad.
pub(super) fn val_loss(listed: &Listed) -> Option<f64> {
    listed.manifest.as_ref().ok()?.facts.val_loss_nats.filter(|loss| !loss.is_nan())
}

fn first_verified(fs: &dyn Fs, dir: &Path, listed: Vec<Listed>) -> Result<Found, LoadError> {
    let mut rejected = Vec::new();
    for Listed { path, manifest, .. } in listed {
        let verified = manifest.and_then(|m| verify_files(fs, &path, &m).map(|()| m));
        match verified {
            Ok(manifest) => return Ok(Found { path, manifest, rejected }),
            Err(why) if why.blames_files() => rejected.push(Rejected { path, why }),
            Err(why) => return Err(why),
        }
    }
    Err(LoadError::NoCheckpoint { dir: dir.to_owned(), rejected })
}

/// Reads every byte of a checkpoint and compares it with its manifest.
///
/// # Errors
/// [`LoadError`] with the first file that is missing, damaged or of a newer version.
pub fn verify(fs: &dyn Fs, folder: &Path) -> Result<Manifest, LoadError> {
    let manifest = read_manifest(fs, folder)?;
    verify_files(fs, folder, &manifest)?;
    Ok(manifest)
}

/// Reads the manifest of a checkpoint and checks the sizes of its files.
///
/// # Errors
/// [`LoadError`] with the first file that is missing, damaged or of a newer version.
pub fn read_manifest(fs: &dyn Fs, folder: &Path) -> Result<Manifest, LoadError> {
    let path = folder.join(MANIFEST_NAME);
    let bytes = read_file(fs, &path, MANIFEST_BYTES_MAX)?;
    let manifest = Manifest::from_bytes(&bytes, &path)?;
    let mut names = FxHashSet::default();
    for file in &manifest.files {
        if !is_plain_name(&file.name) || !names.insert(&file.name) {
            let expected = "plain names, each once";
            return Err(LoadError::damaged(&path, "file name", &file.name, expected));
        }
        let path = folder.join(&file.name);
        let mut open = fs.open(&path).map_err(LoadError::io("open", &path))?;
        let bytes = open.seek(SeekFrom::End(0)).map_err(LoadError::io("measure", &path))?;
        if bytes != file.bytes {
            return Err(LoadError::damaged(&path, "size", bytes, file.bytes));
        }
    }
    Ok(manifest)
}

/// Compares the content of every file with its checksum.
fn verify_files(fs: &dyn Fs, folder: &Path, manifest: &Manifest) -> Result<(), LoadError> {
    manifest.files.iter().try_for_each(|file| verify_file(fs, folder, file))
}

fn verify_file(fs: &dyn Fs, folder: &Path, file: &FileRecord) -> Result<(), LoadError> {
    let path = folder.join(&file.name);
    let found = hash_file(fs, &path)?.1.to_hex();
    if found.as_str() != file.blake3 {
        return Err(LoadError::damaged(&path, "BLAKE3", found, &file.blake3));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_from_step_name_are_names_of_checkpoints() {
        for step in [0, 1, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(parse_step_name(&step_name(step)), Some(step));
        }
        for other in ["step-1", "step-+0000001", "step-", "step-000000001", "step-00000001.tmp-1-0"]
        {
            assert_eq!(parse_step_name(other), None, "{other}");
        }
    }
}
