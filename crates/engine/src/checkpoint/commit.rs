//! The one way anything durable is put on disk: completely under a temporary name, then renamed.
//!
//! A folder is written as `<name>.tmp-<pid>-<random>`: every file with its checksum, synced; the
//! manifest last, synced; the folder, synced. Then it is renamed, and the folder around it is
//! synced. Only then is it saved. A crash at any moment leaves the previous state, with at most a
//! temporary folder beside it for [`super::prune::clean`] to remove.
//!
//! A failed sync may have lost data that a second sync will not write, yet will report as written
//! (Rebello and others, "Can applications recover from fsync failures?", ATC 2020). So it fails the
//! whole attempt, whose files are given up; the next attempt makes new ones.

use super::error::SaveError;
use super::fs::{Fs, WriteFile, parent, remove_tree, write_all};
use super::manifest::{Facts, FileRecord, MANIFEST_NAME, Manifest};
use super::tensors::{TensorRef, tensors_file_len, write_tensors};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes are hashed and written in pieces of this many.
const PIECE_BYTES: usize = 1 << 20;

/// A file to be written.
#[derive(Clone, Debug)]
pub struct FileEntry<'a> {
    /// Its name in the folder: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it holds.
    pub contents: FileContents<'a>,
}

/// What a file is to hold.
#[derive(Clone, Debug)]
pub enum FileContents<'a> {
    /// These bytes; shared, so that a file that never changes is not copied for every save.
    Bytes(Arc<[u8]>),
    /// These tensors, as a safetensors file.
    Tensors(Vec<TensorRef<'a>>),
}

impl FileContents<'_> {
    /// Size of the file.
    ///
    /// # Errors
    /// As [`tensors_file_len`].
    pub fn file_len(&self) -> Result<u64, SaveError> {
        match self {
            FileContents::Bytes(bytes) => Ok(bytes.len() as u64),
            FileContents::Tensors(tensors) => tensors_file_len(tensors),
        }
    }
}

/// Writes a folder `target` with `files`, and with a manifest if there are `facts`, in full or not
/// at all. Returns its size in bytes.
///
/// # Errors
/// [`SaveError::Exists`] if `target` exists; [`SaveError::NoSpace`]; [`SaveError::NotFinite`];
/// [`SaveError::Io`]. There is then no `target`, and what was written has been removed as far as
/// the disk allowed.
pub fn commit_folder(
    fs: &dyn Fs,
    target: &Path,
    files: &[FileEntry<'_>],
    facts: Option<&Facts>,
) -> Result<u64, SaveError> {
    let temp = temp_path(target)?;
    if fs.exists(target).map_err(SaveError::io("look for", target))? {
        return Err(SaveError::Exists { path: target.to_owned() });
    }
    let mut needed_bytes = 0;
    for (i, file) in files.iter().enumerate() {
        check_name(&file.name, files[..i].iter().map(|f| f.name.as_str()))?;
        needed_bytes += file.contents.file_len()?;
    }
    let outcome = write_folder(fs, &temp, files, facts)
        .and_then(|bytes| publish(fs, &temp, target).map(|()| bytes));
    outcome.map_err(|error| {
        // Best effort: what stays is removed at the next start.
        let _ = remove_tree(fs, &temp, MANIFEST_NAME);
        explain_no_space(fs, error, target, needed_bytes)
    })
}

/// Writes or replaces the file `target`, in full or not at all.
///
/// # Errors
/// [`SaveError::NoSpace`], [`SaveError::Io`]. What was at `target` before is still there, unless
/// only making the replacement durable failed.
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

/// Writes the files, then the manifest, and makes all of it durable under its temporary name.
fn write_folder(
    fs: &dyn Fs,
    temp: &Path,
    files: &[FileEntry<'_>],
    facts: Option<&Facts>,
) -> Result<u64, SaveError> {
    fs.create_dir(temp).map_err(SaveError::io("make", temp))?;
    let mut records = Vec::with_capacity(files.len());
    for FileEntry { name, contents } in files {
        let path = temp.join(name);
        let (bytes, hash) = match contents {
            FileContents::Bytes(bytes) => write_bytes(fs, &path, bytes)?,
            FileContents::Tensors(tensors) => write_tensor_file(fs, &path, tensors)?,
        };
        records.push(FileRecord { name: name.clone(), bytes, blake3: hash.to_hex().to_string() });
    }
    let mut bytes = records.iter().map(|file| file.bytes).sum();
    if let Some(facts) = facts {
        let manifest = Manifest::new(facts.clone(), records).to_bytes();
        bytes += write_bytes(fs, &temp.join(MANIFEST_NAME), &manifest)?.0;
    }
    fs.sync_dir(temp).map_err(SaveError::io("sync", temp))?;
    Ok(bytes)
}

/// Gives a complete folder its name and makes the name durable.
fn publish(fs: &dyn Fs, temp: &Path, target: &Path) -> Result<(), SaveError> {
    fs.rename(temp, target).map_err(SaveError::io("rename", temp))?;
    let outer = parent(target);
    fs.sync_dir(outer).map_err(|error| {
        // The name may not survive a power cut, so nobody may rely on it: it is taken back.
        let _ = fs.rename(target, temp);
        SaveError::io("sync", outer)(error)
    })
}

fn write_bytes(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(u64, blake3::Hash), SaveError> {
    let mut file = HashingFile::create(fs, path)?;
    bytes
        .chunks(PIECE_BYTES)
        .try_for_each(|piece| file.write(piece))
        .map_err(SaveError::io("write", path))?;
    file.finish().map_err(SaveError::io("sync", path))
}

fn write_tensor_file(
    fs: &dyn Fs,
    path: &Path,
    tensors: &[TensorRef<'_>],
) -> Result<(u64, blake3::Hash), SaveError> {
    let mut file = HashingFile::create(fs, path)?;
    let io_error = |error| SaveError::io("write", path)(error);
    write_tensors(tensors, &mut |piece| file.write(piece), &io_error)?;
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

    fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        write_all(self.file.as_mut(), piece)?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Makes it durable; returns its size and hash.
    fn finish(mut self) -> std::io::Result<(u64, blake3::Hash)> {
        self.file.sync()?;
        Ok((self.bytes, self.hasher.finalize()))
    }
}

/// A full disk becomes [`SaveError::NoSpace`]; call it once the failed attempt is removed.
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

/// Names that mean the same on every system and cannot lead out of the folder.
fn check_name<'a>(name: &str, mut before: impl Iterator<Item = &'a str>) -> Result<(), SaveError> {
    let plain = is_plain_name(name) && name != MANIFEST_NAME;
    let expected = match plain {
        true if !before.any(|other| other == name) => return Ok(()),
        true => "a name that no other file of the folder has",
        false => "letters, digits, `.`, `_` and `-`, not starting with `.`, and no manifest",
    };
    Err(SaveError::Invalid { field: "file name", found: name.to_string(), expected })
}

/// Whether `name` is one that files of a checkpoint may have.
pub(super) fn is_plain_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(allowed)
}

/// A name beside `target` that nothing has: `<name>.tmp-<pid>-<random>`.
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

/// Whether `name` is one that [`temp_path`] gives out.
pub(super) fn is_temp_name(name: &str) -> bool {
    let Some((_, suffix)) = name.rsplit_once(".tmp-") else { return false };
    let Some((pid, random)) = suffix.split_once('-') else { return false };
    let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    digits && random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit())
}
