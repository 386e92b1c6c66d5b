//! The file operations of everything durable, behind a trait so that tests can make each one fail.
//!
//! Saving, pruning, exporting and appending reach the disk through [`Fs`] alone. [`RealFs`] is the
//! disk; the tests have a simulated one that counts operations, fails or stops at any of them, and
//! forgets what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::Path;

/// Interrupted system calls that a write puts up with in a row before it gives up.
const INTERRUPTIONS_MAX: u32 = 100;

/// The operations that durable code needs, each one system call as far as possible.
pub trait Fs: Send + Sync {
    /// Makes a folder, which must not exist.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes an empty file, which must not exist.
    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for writing at its end, making it if it is missing.
    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for reading.
    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Gives a file or folder another name in one step, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable: what was made, renamed or removed in it.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// What a folder holds, in order of name; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Whether a file or folder of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Removes a file.
    fn remove_file(&self, file: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that may still be written to the disk that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// A file open for writing.
pub trait WriteFile: Send {
    /// Writes some of `bytes` at the end and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the file to `len` bytes; the next write goes there.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Makes the content durable. If this fails, what was written may be lost for good even if a
    /// second call succeeds: the file has to be given up.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading.
pub trait ReadFile: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadFile for T {}

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder (a link to one is not).
    pub is_dir: bool,
}

/// Writes all of `bytes`, however few at a time the system takes.
pub fn write_all(file: &mut dyn WriteFile, mut bytes: &[u8]) -> io::Result<()> {
    let mut interruptions = 0;
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).ok_or(io::ErrorKind::InvalidData)?;
                interruptions = 0;
            }
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted
                    && interruptions < INTERRUPTIONS_MAX =>
            {
                interruptions += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes `dir` and the folders above it where they are missing, each durable in the one above.
pub fn ensure_dir(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !fs.exists(dir).unwrap_or(false))
        .collect();
    for dir in missing.into_iter().rev() {
        match fs.create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result?,
        }
        fs.sync_dir(parent(dir))?;
    }
    Ok(())
}

/// Removes a folder and everything in it; `first` (if there) before all else.
pub fn remove_tree(fs: &dyn Fs, dir: &Path, first: &str) -> io::Result<()> {
    let mut entries = fs.list(dir)?;
    entries.sort_by_key(|entry| entry.name != first);
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir { remove_tree(fs, &path, first)? } else { fs.remove_file(&path)? }
    }
    fs.remove_dir(dir)
}

/// The folder that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The disk itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

impl Fs for RealFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(file)?;
        Ok(Box::new(RealFile(file)))
    }

    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().append(true).create(true).open(file)?)))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(File::open(file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        sync(&File::open(dir)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            entries.extend(entry.file_name().into_string().ok().map(|name| Entry { name, is_dir }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// A file of [`RealFs`], opened for appending.
struct RealFile(File);

impl WriteFile for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.0, bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        sync(&self.0)
    }
}

/// One call, so that a failed one is seen: the standard library repeats an interrupted one.
#[cfg(target_os = "linux")]
fn sync(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// Elsewhere the standard library knows what makes data durable, such as `F_FULLFSYNC`.
#[cfg(not(target_os = "linux"))]
fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}
