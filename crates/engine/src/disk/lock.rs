//! Lock of a run, for one trainer at a time: it cannot outlive its holder.
//!
//! The system's advisory lock on `run.lock` ends with the process that took it, however it ends.
//! The file names the holder, for the error message of a second process. A name in it without a
//! lock is stale and shows that the last trainer ended abnormally.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the lock in the run's folder.
pub const LOCK_NAME: &str = "run.lock";

/// Largest lock file that is read; real ones have under 100 bytes.
const LOCK_BYTES_MAX: u64 = 4096;

/// A process on one boot of a machine: process ids mean nothing after a restart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Differs after every boot; empty if unknown.
    pub boot_id: String,
}

/// Exclusive right to train in a folder, released when dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    stale: Option<Owner>,
}

/// Error of taking the lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "{dir} is being trained by {owner}; stop that first, or train into another folder",
        dir = dir.display(), owner = Holder(owner)
    )]
    Held {
        /// The run's folder.
        dir: PathBuf,
        /// The holder, if the file names it.
        owner: Option<Owner>,
    },
    /// A file operation failed.
    #[error("cannot lock {path}: {source}", path = path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

impl LockError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            LockError::Held { .. } => "run-locked",
            LockError::Io { .. } => "file-unwritable",
        }
    }
}

struct Holder<'a>(&'a Option<Owner>);

impl std::fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(owner) => write!(f, "process {}", owner.pid),
            None => f.write_str("another process"),
        }
    }
}

impl Owner {
    /// This process.
    pub fn current() -> Owner {
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Owner { pid: std::process::id(), boot_id: boot_id.trim().to_string() }
    }

    /// Whether this process, or a later one with the same id, runs on this boot of this machine.
    fn may_be_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        self.boot_id == Owner::current().boot_id
            && pid.is_some_and(|pid| {
                // An error of permission means that the process exists.
                rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
            })
    }
}

impl RunLock {
    /// Takes the lock of the run in `dir`, which exists.
    ///
    /// # Errors
    /// [`LockError::Held`] with the process that holds it; [`LockError::Io`].
    pub fn take(dir: &Path) -> Result<RunLock, LockError> {
        let path = dir.join(LOCK_NAME);
        let io_error = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        let locked = file.try_lock();
        let owner = read_owner(&mut file);
        let held = |owner| Err(LockError::Held { dir: dir.to_owned(), owner });
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return held(owner),
            // Some network file systems have no locks: then only the entry in the file counts.
            Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                if owner.as_ref().is_some_and(Owner::may_be_alive) {
                    return held(owner);
                }
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        write_owner(&mut file, &Owner::current()).map_err(io_error)?;
        Ok(RunLock { file, stale: owner })
    }

    /// Whether `dir` is still the folder that is locked: not one that was put in its place, and not
    /// gone. Paths may lead elsewhere while a lock is held.
    pub fn is_of(&self, dir: &Path) -> bool {
        let there = std::fs::symlink_metadata(dir.join(LOCK_NAME));
        matches!((self.file.metadata(), there), (Ok(held), Ok(there)) if is_same(&held, &there))
    }

    /// The previous trainer, if it ended abnormally.
    pub fn stale(&self) -> Option<&Owner> {
        self.stale.as_ref()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The file stays: removing it would let two processes lock two files of the same name.
        let _ = self.file.set_len(0);
        // Closing is not enough: a child forked at this moment shares the lock until it calls exec.
        let _ = self.file.unlock();
    }
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Other systems do not let an open file's folder be moved.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

fn is_unsupported(error: &io::Error) -> bool {
    let errnos = [rustix::io::Errno::NOLCK, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP];
    error.kind() == io::ErrorKind::Unsupported
        || errnos.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The entry in the file; `None` if it is empty or invalid.
fn read_owner(file: &mut File) -> Option<Owner> {
    let mut text = String::new();
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_owner(file: &mut File, owner: &Owner) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", serde_json::json!(owner)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_trainer_is_refused_and_told_the_process_id() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path()).unwrap();
        assert_eq!(lock.stale(), None);
        for _ in 0..100 {
            let error = RunLock::take(dir.path()).unwrap_err();
            assert!(
                matches!(&error, LockError::Held { owner: Some(o), .. } if *o == Owner::current())
            );
            let message = error.to_string();
            assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        }
        drop(lock);
        assert_eq!(RunLock::take(dir.path()).unwrap().stale(), None, "it ended cleanly");
    }

    #[test]
    fn a_lock_of_a_dead_process_is_taken_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let dead = Owner { pid: 4_000_000, boot_id: "another boot".into() };
        let text = serde_json::to_string(&dead).unwrap();
        std::fs::write(dir.path().join(LOCK_NAME), text).unwrap();
        assert_eq!(RunLock::take(dir.path()).unwrap().stale(), Some(&dead));
    }

    #[test]
    fn garbage_in_the_file_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        for nonsense in [&b"\xff\xfe"[..], b"{", b"{\"pid\": -1}", &[b'9'; 10_000]] {
            std::fs::write(dir.path().join(LOCK_NAME), nonsense).unwrap();
            assert_eq!(RunLock::take(dir.path()).unwrap().stale(), None);
        }
    }

    #[test]
    fn a_folder_that_is_moved_replaced_or_gone_is_no_longer_the_locked_one() {
        let outer = tempfile::tempdir().unwrap();
        let [dir, moved] = ["run", "moved"].map(|name| outer.path().join(name));
        std::fs::create_dir(&dir).unwrap();
        let lock = RunLock::take(&dir).unwrap();
        assert!(lock.is_of(&dir));
        std::fs::rename(&dir, &moved).unwrap();
        assert!(!lock.is_of(&dir) && lock.is_of(&moved), "moved");
        std::fs::create_dir(&dir).unwrap();
        assert!(!lock.is_of(&dir), "an empty folder in its place");
        std::fs::write(dir.join(LOCK_NAME), "").unwrap();
        assert!(!lock.is_of(&dir), "another run in its place");
        std::fs::remove_dir_all(&moved).unwrap();
        assert!(!lock.is_of(&moved), "removed");
    }

    #[test]
    fn a_missing_folder_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunLock::take(&dir.path().join("missing")).unwrap_err();
        assert!(error.to_string().contains("missing/run.lock"), "{error}");
    }

    #[test]
    fn liveness_tells_this_process_from_others() {
        let own = Owner::current();
        assert!(own.may_be_alive());
        assert!(!Owner { boot_id: "another boot".into(), ..own.clone() }.may_be_alive());
        assert!(!Owner { pid: u32::MAX, ..own.clone() }.may_be_alive());
        assert!(!Owner { pid: 0, ..own }.may_be_alive());
    }
}
