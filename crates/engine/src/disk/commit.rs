//! Commit protocol for everything durable: written under a temporary name, then renamed.
//!
//! A folder is written as `<name>.tmp-<pid>-<random>`: every file, synced; the one that lists the
//! others' checksums last, synced; the folder, synced. Then it is renamed, and its parent folder is
//! synced. Only then is it saved. A crash at any moment leaves the previous state and at most a
//! temporary folder, which [`super::clean`] removes.
//!
//! A failed sync may have lost data that a second sync will not write, yet will report as written
//! (Rebello and others, "Can applications recover from fsync failures?", ATC 2020). Therefore it
//! fails the whole attempt, whose files are abandoned; the next attempt creates new ones.

use super::error::SaveError;
use super::fs::{Fs, WriteFile, parent, remove_tree, write_all};
use super::remove::remove_folders;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes are hashed and written in pieces of this many.
const PIECE_BYTES: usize = 1 << 20;

/// File to be written.
pub trait NewFile {
    /// Its name in the folder: letters, digits, `.`, `_` and `-`.
    fn name(&self) -> &str;

    /// Its size in bytes.
    ///
    /// # Errors
    /// [`SaveError`] if its content cannot be written anywhere.
    fn file_len(&self) -> Result<u64, SaveError>;

    /// Passes its content to `sink`, piece by piece.
    ///
    /// # Errors
    /// Errors of `sink`, through `io_error`; [`SaveError`] if the content must not be written.
    fn write(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        io_error: &dyn Fn(io::Error) -> SaveError,
    ) -> Result<(), SaveError>;
}

/// Size and hash of a file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name in its folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, as 64 hexadecimal digits.
    pub blake3: String,
}

/// File that is written after all others of its folder, from their records.
#[derive(Clone, Copy)]
pub struct LastFile<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its content.
    pub content: &'a dyn Fn(Vec<FileRecord>) -> Vec<u8>,
}

/// Writes a folder `target` with `files` and then the `last` one, if any, completely or not at all.
/// Returns its size in bytes.
///
/// # Errors
/// [`SaveError::Exists`] if `target` exists; [`SaveError::NoSpace`]; [`SaveError::Io`]; errors of
/// the files' contents. There is then no `target`, and partial files have been removed if the disk
/// allowed it.
pub fn commit_folder(
    fs: &dyn Fs,
    target: &Path,
    files: &[impl NewFile],
    last: Option<LastFile<'_>>,
) -> Result<u64, SaveError> {
    let temp = temp_path(target)?;
    if fs.exists(target).map_err(SaveError::io("look for", target))? {
        return Err(SaveError::Exists { path: target.to_owned() });
    }
    write_and_publish(fs, target, &temp, files, last, false)
}

/// As [`commit_folder`], but first removes a `target` that is there, once the new one is on disk. A
/// power cut between the two leaves neither.
///
/// # Errors
/// As [`commit_folder`] without [`SaveError::Exists`]; the old `target` is then mostly still there.
pub fn replace_folder(
    fs: &dyn Fs,
    target: &Path,
    files: &[impl NewFile],
    last: Option<LastFile<'_>>,
) -> Result<u64, SaveError> {
    write_and_publish(fs, target, &temp_path(target)?, files, last, true)
}

/// Writes `temp` and makes it `target`, if it `replaces` what may be there.
fn write_and_publish(
    fs: &dyn Fs,
    target: &Path,
    temp: &Path,
    files: &[impl NewFile],
    last: Option<LastFile<'_>>,
    replaces: bool,
) -> Result<u64, SaveError> {
    let mut needed_bytes = 0;
    for (i, file) in files.iter().enumerate() {
        let others = files[..i].iter().map(NewFile::name).chain(last.map(|last| last.name));
        check_name(file.name(), others)?;
        needed_bytes += file.file_len()?;
    }
    let outcome = write_folder(fs, temp, files, last).and_then(|bytes| {
        if replaces && fs.exists(target).map_err(SaveError::io("look for", target))? {
            remove_folders(fs, parent(target), &[target.to_owned()])?;
        }
        publish(fs, temp, target).map(|()| bytes)
    });
    outcome.map_err(|error| {
        // Best effort: leftovers are removed at the next start.
        let _ = remove_tree(fs, temp);
        explain_no_space(fs, error, target, needed_bytes)
    })
}

/// Writes or replaces the file `target`, completely or not at all.
///
/// # Errors
/// [`SaveError::NoSpace`], [`SaveError::Io`]. The old content of `target` is still there, unless
/// only the sync of the replacement failed.
pub fn commit_file(fs: &dyn Fs, target: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let temp = temp_path(target)?;
    let outcome = write_bytes(fs, &temp, bytes)
        .and_then(|_| fs.rename(&temp, target).map_err(SaveError::io("rename", &temp)));
    outcome.map_err(|error| {
        let _ = fs.remove_file(&temp);
        explain_no_space(fs, error, target, bytes.len() as u64)
    })?;
    fs.sync_dir(parent(target)).map_err(SaveError::io("sync", parent(target)))
}

/// Writes the files, then the last one, and makes all of it durable under its temporary name.
fn write_folder(
    fs: &dyn Fs,
    temp: &Path,
    files: &[impl NewFile],
    last: Option<LastFile<'_>>,
) -> Result<u64, SaveError> {
    fs.create_dir(temp).map_err(SaveError::io("make", temp))?;
    let mut records = Vec::with_capacity(files.len());
    for file in files {
        let (bytes, hash) = write_file(fs, &temp.join(file.name()), file)?;
        let (name, blake3) = (file.name().to_owned(), hash.to_hex().to_string());
        records.push(FileRecord { name, bytes, blake3 });
    }
    let mut bytes = records.iter().map(|file| file.bytes).sum();
    if let Some(LastFile { name, content }) = last {
        bytes += write_bytes(fs, &temp.join(name), &content(records))?.0;
    }
    fs.sync_dir(temp).map_err(SaveError::io("sync", temp))?;
    Ok(bytes)
}

/// Renames a complete folder to its final name and makes the name durable.
fn publish(fs: &dyn Fs, temp: &Path, target: &Path) -> Result<(), SaveError> {
    fs.rename(temp, target).map_err(SaveError::io("rename", temp))?;
    let outer = parent(target);
    fs.sync_dir(outer).map_err(|error| {
        // The name may not survive a power cut, so nobody may rely on it: it is reverted.
        let _ = fs.rename(target, temp);
        SaveError::io("sync", outer)(error)
    })
}

fn write_bytes(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(u64, blake3::Hash), SaveError> {
    let mut file = HashingFile::create(fs, path)?;
    file.write(bytes).map_err(SaveError::io("write", path))?;
    file.finish().map_err(SaveError::io("sync", path))
}

fn write_file(
    fs: &dyn Fs,
    path: &Path,
    new: &impl NewFile,
) -> Result<(u64, blake3::Hash), SaveError> {
    let mut file = HashingFile::create(fs, path)?;
    let io_error = |error| SaveError::io("write", path)(error);
    new.write(&mut |piece| file.write(piece), &io_error)?;
    file.finish().map_err(SaveError::io("sync", path))
}

/// A new file that counts and hashes what is written to it.
struct HashingFile {
    file: Box<dyn WriteFile>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl HashingFile {
    fn create(fs: &dyn Fs, path: &Path) -> Result<HashingFile, SaveError> {
        let file = fs.create(path).map_err(SaveError::io("make", path))?;
        Ok(HashingFile { file, hasher: blake3::Hasher::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            write_all(self.file.as_mut(), piece)?;
            self.hasher.update(piece);
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes the file durable; returns its size and hash.
    fn finish(mut self) -> io::Result<(u64, blake3::Hash)> {
        self.file.sync()?;
        Ok((self.bytes, self.hasher.finalize()))
    }
}

/// Turns a full disk into [`SaveError::NoSpace`]; call after removing the failed attempt.
fn explain_no_space(fs: &dyn Fs, error: SaveError, target: &Path, needed_bytes: u64) -> SaveError {
    match error {
        _ if !error.is_no_space() => error,
        SaveError::Io { path, .. } => SaveError::NoSpace {
            path,
            needed_bytes,
            free_bytes: fs.free_bytes(parent(target)).ok(),
        },
        other => other,
    }
}

/// Checks for names that mean the same on every system and cannot lead out of the folder.
fn check_name<'a>(name: &str, mut before: impl Iterator<Item = &'a str>) -> Result<(), SaveError> {
    let expected = if !is_plain_name(name) {
        "letters, digits, `.`, `_` and `-`, not starting with `.`"
    } else if before.any(|other| other == name) {
        "a name that no other file of the folder has"
    } else {
        return Ok(());
    };
    Err(SaveError::Invalid { field: "file name", found: name.to_string(), expected })
}

/// Whether a file of a committed folder may have this name.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(allowed)
}

/// Unused path in the folder of `target`: `<name>.tmp-<pid>-<random>`.
fn temp_path(target: &Path) -> Result<PathBuf, SaveError> {
    let Some(name) = target.file_name() else {
        let (found, expected) = (target.display().to_string(), "a path that ends in a name");
        return Err(SaveError::Invalid { field: "target", found, expected });
    };
    let mut name = name.to_owned();
    name.push(format!(".tmp-{}-{}", std::process::id(), random_hex()));
    Ok(target.with_file_name(name))
}

/// Sixteen hexadecimal digits that differ from call to call.
pub(super) fn random_hex() -> String {
    // Every `RandomState` has keys of its own, seeded by the system.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Whether [`temp_path`] produces such a name.
pub(super) fn is_temp_name(name: &str) -> bool {
    let Some((_, suffix)) = name.rsplit_once(".tmp-") else { return false };
    let Some((pid, random)) = suffix.split_once('-') else { return false };
    let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    digits && random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_or_are_taken_are_refused() {
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "a/b", "/a", "a\\b", "a b", "\0", "ü", ".hidden", &long] {
            assert!(check_name(bad, [].into_iter()).is_err(), "{bad:?}");
        }
        assert!(check_name("config.json", ["model.safetensors"].into_iter()).is_ok());
        for taken in ["config.json", "manifest.json"] {
            assert!(check_name(taken, ["config.json", "manifest.json"].into_iter()).is_err());
        }
    }

    #[test]
    fn temporary_names_are_new_each_time_and_recognised() {
        let target = Path::new("run/step-00000001");
        let (a, b) = (temp_path(target).unwrap(), temp_path(target).unwrap());
        assert_ne!(a, b);
        assert_eq!(a.parent(), target.parent());
        assert!(is_temp_name(&a.file_name().unwrap().to_string_lossy()));
        for other in [
            "x",
            "x.tmp",
            "x.tmp-1",
            "x.tmp-1-00",
            "x.tmp--00000000000000ab",
            "x.tmp-a-00000000000000ab",
        ] {
            assert!(!is_temp_name(other), "{other}");
        }
        assert!(temp_path(Path::new("/")).is_err());
    }
}
