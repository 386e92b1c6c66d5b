//! Own folder: file system of a run that writes nothing once another folder is at the run's path.
//!
//! A save takes a while, and its paths may lead elsewhere meanwhile. So each operation that makes or
//! renames something asks first whether the locked folder is still there.

use crate::disk::{Entry, Fs, ReadFile, RealFs, RunLock, WriteFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// [`RealFs`] while `lock` is the lock of `dir`.
#[derive(Debug)]
pub(super) struct OwnFolder {
    pub dir: PathBuf,
    pub lock: Arc<RunLock>,
}

impl OwnFolder {
    fn own(&self) -> io::Result<RealFs> {
        if self.lock.is_of(&self.dir) {
            return Ok(RealFs);
        }
        Err(io::Error::other("the run's folder was moved, removed or replaced"))
    }
}

impl Fs for OwnFolder {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.own()?.create_dir(dir)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.own()?.create(file)
    }

    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.own()?.append(file)
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>> {
        RealFs.open(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.own()?.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealFs.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFs.exists(path)
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        self.own()?.remove_file(file)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.own()?.remove_dir(dir)
    }

    fn lock_out_readers(&self, dir: &Path) -> Option<Box<dyn Send>> {
        RealFs.lock_out_readers(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealFs.free_bytes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_renamed_or_removed_in_a_folder_that_took_the_place_of_the_run_s() {
        let outer = tempfile::tempdir().unwrap();
        let [dir, moved] = ["run", "moved"].map(|name| outer.path().join(name));
        std::fs::create_dir(&dir).unwrap();
        let lock = Arc::new(RunLock::take(&dir).unwrap());
        let fs = OwnFolder { dir: dir.clone(), lock };
        fs.create_dir(&dir.join("checkpoints")).unwrap();
        std::fs::rename(&dir, &moved).unwrap();
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("notes"), "mine").unwrap();
        let (old, new) = (dir.join("notes"), dir.join("new"));
        assert!(fs.create_dir(&new).is_err());
        assert!(fs.create(&new).is_err());
        assert!(fs.append(&old).is_err());
        assert!(fs.rename(&old, &new).is_err());
        assert!(fs.remove_file(&old).is_err());
        assert_eq!(fs.list(&dir).unwrap().len(), 1);
        assert!(fs.exists(&old).unwrap());
    }
}
