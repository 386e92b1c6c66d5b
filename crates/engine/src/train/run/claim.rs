//! Claim of a folder for a new run: a new or empty one, so that nothing of anybody else is in it.
//!
//! The claim puts a mark into the folder, takes the run's lock, and removes all of it if there is no
//! run in the end. A folder with the mark is an attempt that was killed: the next one takes it over.

use super::corpus::CORPUS_NAME;
use super::error::RunError;
use super::{CONFIG_NAME, STORIES_NAME, TOKENIZER_NAME, TRAIN_NAME, VALID_NAME};
use crate::checkpoint::CHECKPOINTS_NAME;
use crate::disk::{LOCK_NAME, RealFs, RunLock, ensure_dir};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use text::vocab::{CODES_NAME, NGRAMS_NAME};

/// Where a run is to be.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In this folder, which is made if it is not there, and otherwise is empty.
    At(&'a Path),
    /// In a new folder of `parent`: `name`, with a number if that is taken.
    New {
        /// The folder around it, which is made if it is not there.
        parent: &'a Path,
        /// Its name.
        name: &'a str,
    },
}

/// Mark of a folder in which a run is being prepared.
const MARK_NAME: &str = "run.preparing";

/// Files that are made before a run is complete, each also under a temporary name.
const OWN_NAMES: [&str; 10] = [
    LOCK_NAME,
    STORIES_NAME,
    TOKENIZER_NAME,
    TRAIN_NAME,
    VALID_NAME,
    CODES_NAME,
    NGRAMS_NAME,
    CORPUS_NAME,
    CONFIG_NAME,
    MARK_NAME,
];

/// A locked folder without a run. What was made in it is removed if it is dropped before
/// [`Claim::keep`].
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    /// Folders that the claim made, the innermost first.
    made: Vec<PathBuf>,
    is_kept: bool,
    _lock: RunLock,
}

impl Claim {
    /// Makes the folder if needed, and locks and marks it.
    ///
    /// # Errors
    /// [`RunError::Exists`] if it holds a run, [`RunError::NotEmpty`] if it holds anything else,
    /// [`RunError::Lock`] if another process is creating a run in it, [`RunError::Io`].
    pub fn new(place: Place<'_>) -> Result<Claim, RunError> {
        let (dir, made) = match place {
            Place::At(dir) => {
                check_free(dir)?;
                let made = missing(dir);
                ensure_dir(&RealFs, dir).map_err(RunError::io("make", dir))?;
                (dir.to_owned(), made)
            }
            Place::New { parent, name } => {
                let mut made = missing(parent);
                let dir = new_dir(parent, name)?;
                made.insert(0, dir.clone());
                (dir, made)
            }
        };
        let lock = RunLock::take(&dir)?;
        // Another process may have been faster.
        check_free(&dir)?;
        let mark = dir.join(MARK_NAME);
        std::fs::write(&mark, "").map_err(RunError::io("make", &mark))?;
        let claim = Claim { dir, made, is_kept: false, _lock: lock };
        let what = "remove what an earlier attempt left in";
        remove_own(&claim.dir, &[LOCK_NAME, MARK_NAME]).map_err(RunError::io(what, &claim.dir))?;
        let checkpoints = claim.dir.join(CHECKPOINTS_NAME);
        ensure_dir(&RealFs, &checkpoints).map_err(RunError::io("make", &checkpoints))?;
        Ok(claim)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Unlocks the folder, which now holds a run, and returns it.
    pub(super) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        // A mark that stays beside a complete run has no effect.
        let _ = std::fs::remove_file(self.dir.join(MARK_NAME));
        std::mem::take(&mut self.dir)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // Best effort: what cannot be removed is marked, and removed by the next attempt. The lock
        // ends after it is gone.
        let _ = std::fs::remove_dir(self.dir.join(CHECKPOINTS_NAME));
        if remove_own(&self.dir, &[MARK_NAME]).is_ok() {
            let _ = std::fs::remove_file(self.dir.join(MARK_NAME));
            // Fails, as it should, where somebody else put something into the folder.
            let _ = self.made.iter().try_for_each(std::fs::remove_dir);
        }
    }
}

/// The missing folders of a path, the innermost first.
fn missing(dir: &Path) -> Vec<PathBuf> {
    let ancestors = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
    ancestors.take_while(|dir| !dir.exists()).map(Path::to_owned).collect()
}

/// Makes the folder `parent`/`name`, with a number if that is taken. A folder that is there is
/// taken, even without a run: another process may be preparing one in it. A name that leads
/// elsewhere, such as `..`, is replaced.
fn new_dir(parent: &Path, name: &str) -> Result<PathBuf, RunError> {
    ensure_dir(&RealFs, parent).map_err(RunError::io("make", parent))?;
    let mut parts = Path::new(name).components();
    let is_plain = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(part)), None) if part == OsStr::new(name)
    );
    let name = if is_plain { name } else { "run" };
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

/// Checks that a run can begin in `dir`: it is missing, empty, or what a killed attempt left.
///
/// # Errors
/// [`RunError::Exists`], [`RunError::NotEmpty`], [`RunError::Io`].
pub(super) fn check_free(dir: &Path) -> Result<(), RunError> {
    let not_empty = |found: String| Err(RunError::NotEmpty { dir: dir.to_owned(), found });
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // Such as a file among the parents, which is refused when the folder is made.
        Err(_) => return Ok(()),
        Ok(_) if !dir.exists() => return not_empty("is a link to nothing".to_owned()),
        Ok(_) if !dir.is_dir() => return not_empty("is not a folder".to_owned()),
        Ok(_) => {}
    }
    let is_marked = dir.join(MARK_NAME).exists();
    if dir.join(CONFIG_NAME).exists() {
        return Err(RunError::Exists { dir: dir.to_owned() });
    }
    for entry in std::fs::read_dir(dir).map_err(RunError::io("list", dir))? {
        let name = entry.map_err(RunError::io("list", dir))?.file_name();
        let is_own = is_marked && (is_own(&name) || name == CHECKPOINTS_NAME);
        if !is_own && name != LOCK_NAME {
            return not_empty(format!("contains {}", Path::new(&name).display()));
        }
    }
    Ok(())
}

/// Whether a file of this name is made before a run is complete.
fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is = |own: &&str| -> bool {
        name.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with(".tmp-"))
    };
    OWN_NAMES.iter().any(is)
}

/// Removes the own files of a claimed folder, but those of the names `kept`.
fn remove_own(dir: &Path, kept: &[&str]) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        if is_own(&name) && !kept.iter().any(|kept| name == *kept) {
            std::fs::remove_file(dir.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
