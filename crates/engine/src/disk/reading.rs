//! Reading of a folder that another process may remove: a shared lock keeps it until it was read.
//!
//! The lock is advisory and on the folder itself, so nothing is written. Where the system has no such
//! locks, a folder can be removed while it is read.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

/// A folder that stays until this is dropped.
#[derive(Debug)]
pub struct Reading {
    /// `None` where the system has no such locks.
    _lock: Option<File>,
}

impl Reading {
    /// Begins to read `dir`; `None` if it is gone or being removed.
    pub fn of(dir: &Path) -> Option<Reading> {
        let file = match File::open(dir) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(_) => return Some(Reading { _lock: None }),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Error(_)) => return Some(Reading { _lock: None }),
        }
        // It may have been renamed between its opening and its locking.
        is_at(&file, dir).then_some(Reading { _lock: Some(file) })
    }
}

/// Keeps readers out of `dir` until the result is dropped; `None` if one is reading it.
pub(super) fn lock_out(dir: &Path) -> Option<Box<dyn Send>> {
    let Ok(file) = File::open(dir) else { return Some(Box::new(())) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Ok(()) | Err(TryLockError::Error(_)) => Some(Box::new(file)),
    }
}

#[cfg(unix)]
fn is_at(file: &File, dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(id), std::fs::metadata(dir).map(id)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(not(unix))]
fn is_at(_: &File, dir: &Path) -> bool {
    dir.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_and_a_removal_exclude_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let readers = [Reading::of(dir.path()), Reading::of(dir.path())];
        assert!(readers.iter().all(Option::is_some));
        assert!(lock_out(dir.path()).is_none(), "it is being read");
        drop(readers);
        let removal = lock_out(dir.path());
        assert!(removal.is_some() && Reading::of(dir.path()).is_none(), "it is being removed");
        drop(removal);
        assert!(Reading::of(dir.path()).is_some());
        assert!(Reading::of(&dir.path().join("gone")).is_none());
    }
}
