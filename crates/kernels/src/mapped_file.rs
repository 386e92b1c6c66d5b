//! `MappedFile`: a whole file as a read-only memory map, paged in by the system on access.

use memmap2::Mmap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ops::Deref;
use std::path::Path;

/// A read-only, private mapping of a regular file; its length is fixed when it is opened.
///
/// The file may meanwhile be deleted, renamed over, or appended to: the mapping keeps the old
/// contents. It must not be truncated or written in place: a read beyond the new end kills the
/// process (`SIGBUS`), and changed bytes may or may not be visible. So map only files that are
/// replaced by renaming, as this program writes all of its own. A user's text, which an editor may
/// truncate, is read as a stream instead.
#[derive(Debug)]
pub struct MappedFile {
    /// `None` for an empty file: some systems cannot map one.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps the whole file at `path`.
    ///
    /// # Errors
    /// Errors of opening or mapping it; `InvalidInput` if it is not a regular file, `FileTooLarge` if
    /// it exceeds the address space.
    pub fn open(path: &Path) -> Result<MappedFile> {
        // Checked before opening, since opening a named pipe would wait for a writer.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        if isize::try_from(metadata.len()).is_err() {
            return Err(Error::from(ErrorKind::FileTooLarge));
        }
        if metadata.len() == 0 {
            return Ok(MappedFile { map: None });
        }
        // SAFETY: the mapping is read-only and private, and lives as long as `Mmap`, which this
        // type never gives away. That nobody truncates or rewrites the file in place cannot be
        // enforced on any system; it is the documented condition of this type, and the files it
        // is used for are only ever replaced whole, by rename.
        let map = unsafe { Mmap::map(&file)? };
        Ok(MappedFile { map: Some(map) })
    }
}

impl Deref for MappedFile {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn shows_the_bytes_of_a_file_even_after_it_was_replaced() {
        let folder = std::env::temp_dir().join(format!("mapped_file_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("some file");
        std::fs::write(&path, b"first").unwrap();
        let map = MappedFile::open(&path).unwrap();
        std::fs::write(folder.join("next"), b"second").unwrap();
        std::fs::rename(folder.join("next"), &path).unwrap();
        assert_eq!(&*map, b"first");
        assert_eq!(&*MappedFile::open(&path).unwrap(), b"second");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(&*MappedFile::open(&path).unwrap(), b"");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(MappedFile::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(MappedFile::open(&folder).unwrap_err().kind(), ErrorKind::InvalidInput);
        std::fs::remove_dir(&folder).unwrap();
    }
}
