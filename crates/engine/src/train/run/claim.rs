//! Claim of a folder for a new run: takes the run's lock and removes leftovers of earlier attempts.

use super::error::RunError;
use super::{CONFIG_NAME, TRAIN_NAME, VALID_NAME};
use crate::checkpoint::CHECKPOINTS_NAME;
use crate::disk::{RealFs, RunLock, clean, ensure_dir, remove_tree};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use text::vocab::{CODES_NAME, NGRAMS_NAME};

/// Where a run is to be.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In this folder, which is made if it is not there.
    At(&'a Path),
    /// In a new folder of `parent`: `name`, with a number if that is taken.
    New {
        /// The folder around it, which is made if it is not there.
        parent: &'a Path,
        /// Its name.
        name: &'a str,
    },
}

/// A locked folder without a run. A new one is removed if it is dropped before [`Claim::keep`].
pub(super) struct Claim {
    dir: PathBuf,
    is_new: bool,
    _lock: RunLock,
}

impl Claim {
    /// Makes the folder if needed and locks it.
    ///
    /// # Errors
    /// [`RunError::Exists`] if it holds a run, [`RunError::Lock`] if another process is creating
    /// one, [`RunError::Io`].
    pub fn new(place: Place<'_>) -> Result<Claim, RunError> {
        let (dir, is_new) = match place {
            Place::At(dir) => (dir.to_owned(), false),
            Place::New { parent, name } => (new_dir(parent, name)?, true),
        };
        ensure_dir(&RealFs, &dir.join(CHECKPOINTS_NAME)).map_err(RunError::io("make", &dir))?;
        let claim = Claim { _lock: RunLock::take(&dir)?, dir, is_new };
        let dir = claim.dir();
        refuse_run(dir)?;
        clean(&RealFs, dir)?;
        let what = "remove what an earlier attempt left in";
        remove_leftovers(dir).map_err(RunError::io(what, dir))?;
        Ok(claim)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Unlocks the folder, which now holds a run, and returns it.
    pub fn keep(mut self) -> PathBuf {
        self.is_new = false;
        std::mem::take(&mut self.dir)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_new {
            // Nobody knows of this folder yet. The lock ends after it is gone.
            let _ = remove_tree(&RealFs, &self.dir);
        }
    }
}

/// Makes the folder `parent`/`name`, with a number if that is taken. A folder that is there is
/// taken, even without a run: another process may be preparing one in it.
///
/// # Errors
/// [`RunError::Io`].
pub fn new_dir(parent: &Path, name: &str) -> Result<PathBuf, RunError> {
    ensure_dir(&RealFs, parent).map_err(RunError::io("make", parent))?;
    let mut dir = parent.join(name);
    for number in 2u64.. {
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                dir = parent.join(format!("{name}-{number}"));
            }
            made => {
                made.map_err(RunError::io("make", &dir))?;
                break;
            }
        }
    }
    Ok(dir)
}

/// # Errors
/// [`RunError::Exists`] if there is a run in `dir`.
pub(super) fn refuse_run(dir: &Path) -> Result<(), RunError> {
    if dir.join(CONFIG_NAME).exists() {
        return Err(RunError::Exists { dir: dir.to_owned() });
    }
    Ok(())
}

/// Removes optional files of a run, complete or partial: this run may not want held-out tokens or
/// codes of words.
fn remove_leftovers(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_file = |of: &str| name == of || name.starts_with(&format!("{of}.tmp-"));
        if [TRAIN_NAME, VALID_NAME, CODES_NAME, NGRAMS_NAME].into_iter().any(is_file) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::thread;

    #[test]
    fn runs_that_begin_together_get_folders_of_their_own() {
        let parent = tempfile::tempdir().unwrap();
        let dirs: BTreeSet<PathBuf> = thread::scope(|scope| {
            let new = || new_dir(parent.path(), "book").unwrap();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(new)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(dirs.len(), 16);
        assert!(["book", "book-16"].iter().all(|name| dirs.contains(&parent.path().join(name))));
        assert!(new_dir(&parent.path().join("book/x"), "y").is_ok());
        std::fs::write(parent.path().join("file"), "").unwrap();
        assert!(new_dir(&parent.path().join("file"), "y").is_err());
    }

    #[test]
    fn a_new_folder_stays_only_with_a_run() {
        let parent = tempfile::tempdir().unwrap();
        let claim = || Claim::new(Place::New { parent: parent.path(), name: "book" }).unwrap();
        let dropped = claim();
        let dir = dropped.dir().to_owned();
        assert!(dir.exists());
        drop(dropped);
        assert!(!dir.exists());
        assert_eq!(claim().keep(), dir);
        assert!(dir.exists());
        drop(Claim::new(Place::At(&dir)).unwrap());
        assert!(dir.exists(), "it was there before");
    }
}
