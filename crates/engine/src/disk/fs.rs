//! File operations of durable code, behind a trait so that tests can make each one fail.
//!
//! Saving, pruning, exporting and appending reach the disk through [`Fs`] alone. [`RealFs`] is the
//! disk; the tests have a simulated one that counts operations, fails or stops at any of them, and
//! loses unsynced data.

use super::error::LoadError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::Path;
use text::corpus::open_regular;

/// Consecutive interrupted system calls after which a write gives up.
const INTERRUPTIONS_MAX: u32 = 100;

/// The operations that durable code needs, each one system call as far as possible.
pub trait Fs: Send + Sync {
    /// Creates a folder, which must not exist.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates an empty file, which must not exist.
    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for appending; creates it if missing.
    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a regular file for reading; anything else is refused before it is opened.
    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Renames a file or folder atomically, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Entries of a folder, sorted by name; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Whether a file or folder of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Removes a file.
    fn remove_file(&self, file: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Keeps readers out of a folder until the result is dropped; `None` if one is reading it
    /// ([`Reading`](super::Reading)).
    fn lock_out_readers(&self, _dir: &Path) -> Option<Box<dyn Send>> {
        Some(Box::new(()))
    }
    /// Free space for this user on the disk that holds `path`, in bytes.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// A file open for writing.
pub trait WriteFile: Send {
    /// Writes a prefix of `bytes` at the end; returns its length.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Truncates the file to `len` bytes; the next write goes there.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Makes the content durable. After a failure, written data may be lost for good even if a
    /// second call succeeds; the file must be abandoned.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading.
pub trait ReadFile: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadFile for T {}

/// Entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder (a link to one is not).
    pub is_dir: bool,
}

/// Writes all of `bytes`, in as many calls as the system needs.
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

/// Content of a file of at most `bytes_max` bytes.
///
/// # Errors
/// [`LoadError::TooLarge`], [`LoadError::Io`].
pub fn read_file(fs: &dyn Fs, path: &Path, bytes_max: u64) -> Result<Vec<u8>, LoadError> {
    let file = fs.open(path).map_err(LoadError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(LoadError::io("read", path))?;
    if bytes.len() as u64 > bytes_max {
        let (path, field) = (path.to_owned(), "size".to_string());
        return Err(LoadError::TooLarge {
            path,
            field,
            found: bytes.len() as u64,
            limit: bytes_max,
        });
    }
    Ok(bytes)
}

/// Files are hashed in pieces of this many bytes.
const HASH_BYTES: usize = 128 << 10;

/// Size and BLAKE3 of a file.
///
/// # Errors
/// [`LoadError::Io`].
pub fn hash_file(fs: &dyn Fs, path: &Path) -> Result<(u64, blake3::Hash), LoadError> {
    let mut file = fs.open(path).map_err(LoadError::io("open", path))?;
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; HASH_BYTES]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((hasher.count(), hasher.finalize())),
            Ok(n) => hasher.update(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(LoadError::io("read", path)(error)),
        };
    }
}

/// Creates `dir` and its missing parents, each made durable in its own parent.
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

/// Removes a folder and everything in it.
pub fn remove_tree(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    for entry in fs.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir { remove_tree(fs, &path)? } else { fs.remove_file(&path)? }
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

/// The real disk.
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
        Ok(Box::new(open_regular(file)?))
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

    fn lock_out_readers(&self, dir: &Path) -> Option<Box<dyn Send>> {
        super::reading::lock_out(dir)
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

/// A single call, so that a failure is noticed: the standard library retries an interrupted one.
#[cfg(target_os = "linux")]
fn sync(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// On other systems the standard library makes data durable correctly, for example by
/// `F_FULLFSYNC`.
#[cfg(not(target_os = "linux"))]
fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts a byte at a time, with interruptions in between as in a signal storm.
    struct Reluctant {
        taken: Vec<u8>,
        interruptions: u32,
        left: u32,
    }

    impl WriteFile for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left > 0 {
                self.left -= 1;
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.left = self.interruptions;
            self.taken.push(bytes[0]);
            Ok(1)
        }

        fn set_len(&mut self, _len: u64) -> io::Result<()> {
            unreachable!()
        }

        fn sync(&mut self) -> io::Result<()> {
            unreachable!()
        }
    }

    #[test]
    fn everything_is_written_despite_interruptions() {
        for interruptions in [0, 1, INTERRUPTIONS_MAX] {
            let mut file = Reluctant { taken: Vec::new(), interruptions, left: interruptions };
            write_all(&mut file, b"abc").unwrap();
            assert_eq!(file.taken, b"abc");
        }
        let left = INTERRUPTIONS_MAX + 1;
        let mut file = Reluctant { taken: Vec::new(), interruptions: 0, left };
        assert_eq!(write_all(&mut file, b"abc").unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    /// A file that claims to have written nothing, or more than it was given.
    struct Wrong(usize);

    impl WriteFile for Wrong {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Ok(self.0)
        }

        fn set_len(&mut self, _len: u64) -> io::Result<()> {
            unreachable!()
        }

        fn sync(&mut self) -> io::Result<()> {
            unreachable!()
        }
    }

    #[test]
    fn a_write_of_nothing_or_too_much_is_an_error() {
        for (n, kind) in [(0, io::ErrorKind::WriteZero), (4, io::ErrorKind::InvalidData)] {
            assert_eq!(write_all(&mut Wrong(n), b"abc").unwrap_err().kind(), kind);
        }
    }
}
