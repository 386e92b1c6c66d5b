//! Errors of saving and loading, with the file, the value found and the remedy.

use super::commit::is_temp_name;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Error of saving. Earlier data on disk is intact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A file operation failed.
    #[error("cannot {doing} {path}: {source}", path = final_path(path).display())]
    Io {
        /// Operation, such as "write".
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The disk, or the user's quota of it, is full.
    #[error(
        "no space left for {path}: {needed} are needed and {free} free; make room on that disk",
        path = final_path(path).display(), needed = Size(*needed_bytes), free = Free(*free_bytes)
    )]
    NoSpace {
        /// File or folder being written.
        path: PathBuf,
        /// Total size to be written.
        needed_bytes: u64,
        /// Free space after removing the failed attempt, if known.
        free_bytes: Option<u64>,
    },
    /// A tensor holds NaN or infinity. Such a state is useless and never replaces a good one.
    #[error("tensor {tensor} holds {count} values of {len} that are not finite; it was not saved")]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
        /// Number of values that are NaN or infinite.
        count: usize,
        /// Number of values.
        len: usize,
    },
    /// The destination already exists.
    #[error("{path} exists already; choose another name or remove it", path = path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// A name or shape in the request is invalid: a mistake of the caller.
    #[error("{field} {found:?}: expected {expected}")]
    Invalid {
        /// Part of the request.
        field: &'static str,
        /// Its value.
        found: String,
        /// Description of valid values.
        expected: &'static str,
    },
    /// A checkpoint of the same step is there, and whether it is sound cannot be told.
    #[error("not saved, because the checkpoint of this step may be sound: {source}")]
    NotReplaced {
        /// Error of that checkpoint.
        source: LoadError,
    },
    /// The checkpoint to be kept does not verify, so nothing was removed.
    #[error("nothing was removed: {source}")]
    KeptUnverified {
        /// Error of that checkpoint.
        source: LoadError,
    },
    /// The thread that writes checkpoints has ended.
    #[error("the thread that writes checkpoints has stopped; resume the run")]
    WriterStopped,
}

/// `path` with the names that files and folders get when they are complete, in the place of the
/// temporary ones under which they are written.
fn final_path(path: &Path) -> PathBuf {
    let name = |part: std::path::Component<'_>| {
        let name = part.as_os_str().to_str().filter(|name| is_temp_name(name));
        let name = name.and_then(|name| name.rsplit_once(".tmp-"));
        name.map_or(part.as_os_str().to_owned(), |(name, _)| name.into())
    };
    path.components().map(name).collect()
}

impl SaveError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            _ if self.is_no_space() => "disk-full",
            SaveError::Io { .. } => "file-unwritable",
            SaveError::NoSpace { .. } => "disk-full",
            SaveError::NotFinite { .. } => "not-finite",
            SaveError::Exists { .. } => "file-exists",
            SaveError::Invalid { .. } => "save-refused",
            SaveError::NotReplaced { source } => source.code(),
            SaveError::KeptUnverified { .. } => "checkpoint-unverified",
            SaveError::WriterStopped => "writer-stopped",
        }
    }

    /// Wraps the error of an operation `doing` on `path` into a [`SaveError`].
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SaveError {
        let path = path.to_owned();
        move |source| SaveError::Io { doing, path, source }
    }

    /// Whether the disk or the quota was full: the caller may want to exit with code 28.
    pub fn is_no_space(&self) -> bool {
        match self {
            SaveError::NoSpace { .. } => true,
            SaveError::Io { source, .. } => text::is_disk_full(source),
            _ => false,
        }
    }
}

/// Reason for rejecting a file on disk. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file operation failed.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        /// Operation, such as "read".
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The file has changed since it was written, or breaks its format.
    #[error("{path} is damaged: {field} is {found}, expected {expected}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Part of the file, such as "size" or "tensor x: shape".
        field: String,
        /// Value found.
        found: String,
        /// Value expected.
        expected: String,
    },
    /// The file is sound, but not the one needed here.
    #[error("{path}: {field} is {found}, expected {expected}", path = path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Part of the file.
        field: String,
        /// Value found.
        found: String,
        /// Value needed.
        expected: String,
    },
    /// The file exceeds a limit; nothing was allocated for it.
    #[error("{path}: {field} is {found}; at most {limit} is accepted", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Part of the file.
        field: String,
        /// Value found.
        found: u64,
        /// Largest value accepted.
        limit: u64,
    },
    /// The file uses a feature that this program lacks.
    #[error("{path}: {field} {found} is not supported; supported: {supported}", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Part of the file.
        field: String,
        /// Value found.
        found: String,
        /// Values supported.
        supported: String,
    },
    /// A tensor of the file holds NaN or infinity, so that nothing computed from it means anything.
    #[error(
        "{path}: tensor {tensor} holds {count} values of {len} that are NaN or infinite{others}",
        path = path.display(), others = Others(*n_others)
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Number of values that are NaN or infinite.
        count: usize,
        /// Number of values.
        len: usize,
        /// Number of other tensors with such values.
        n_others: usize,
    },
    /// The file was written by a later version of this program.
    #[error(
        "{path} has format version {found}; this program reads versions up to {newest}: \
         use the program that wrote it, or a newer one", path = path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Newest version that this program reads.
        newest: u64,
    },
    /// No checkpoint in the folder is usable.
    #[error("no usable checkpoint in {dir}{rejected}", dir = dir.display(), rejected = RejectedList(rejected))]
    NoCheckpoint {
        /// The folder that was searched.
        dir: PathBuf,
        /// The checkpoints found, with the reason for rejecting each.
        rejected: Vec<Rejected>,
    },
}

impl LoadError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            LoadError::Io { .. } => "file-unreadable",
            LoadError::Damaged { .. } => "file-damaged",
            LoadError::Mismatch { .. } => "file-mismatch",
            LoadError::TooLarge { .. } => "file-too-large",
            LoadError::Unsupported { .. } => "file-unsupported",
            LoadError::NotFinite { .. } => "not-finite",
            LoadError::NewerVersion { .. } => "file-of-newer-version",
            LoadError::NoCheckpoint { .. } => "no-checkpoint",
        }
    }

    /// Wraps the error of an operation `doing` on `path` into a [`LoadError`].
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LoadError {
        let path = path.to_owned();
        move |source| LoadError::Io { doing, path, source }
    }

    /// Whether the files are at fault, so that an older checkpoint is the remedy. Otherwise the
    /// same files may be fine for a newer program, another user, or a moment later (a cable or a
    /// network that failed is an I/O error like any other), and falling back would throw away work.
    pub fn blames_files(&self) -> bool {
        match self {
            LoadError::Damaged { .. }
            | LoadError::Mismatch { .. }
            | LoadError::NotFinite { .. } => true,
            LoadError::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::UnexpectedEof
            ),
            _ => false,
        }
    }

    /// Makes a [`LoadError::Damaged`] from displayable values.
    pub(crate) fn damaged(
        path: &Path,
        field: impl Into<String>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> LoadError {
        LoadError::Damaged {
            path: path.to_owned(),
            field: field.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// Makes a [`LoadError::Mismatch`] from displayable values.
    pub(crate) fn mismatch(
        path: &Path,
        field: impl Into<String>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> LoadError {
        LoadError::Mismatch {
            path: path.to_owned(),
            field: field.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}

/// A checkpoint that was found but is unusable.
#[derive(Debug)]
pub struct Rejected {
    /// Its folder.
    pub path: PathBuf,
    /// Reason.
    pub why: LoadError,
}

struct Others(usize);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(", and so does 1 other tensor"),
            n => write!(f, ", and so do {n} other tensors"),
        }
    }
}

struct Free(Option<u64>);

/// Bytes, in a unit that leaves at most five digits.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_240 => write!(f, "{bytes} bytes"),
            bytes @ 10_240..10_485_760 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{} are", Size(bytes)),
            None => f.write_str("an unknown number of bytes are"),
        }
    }
}

struct RejectedList<'a>(&'a [Rejected]);

impl fmt::Display for RejectedList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(": it holds none");
        }
        self.0.iter().try_for_each(|rejected| write!(f, "; {}", rejected.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_saving_name_the_final_file() {
        let path = Path::new("run/step-00000001.tmp-12-00000000000000ab/model.safetensors");
        let said = SaveError::io("write", path)(io::Error::from_raw_os_error(27)).to_string();
        let expected = "cannot write run/step-00000001/model.safetensors: ";
        assert!(said.starts_with(expected), "{said}");
        for kept in ["run/x.tmp", "x.tmp-1-2", "/a/../b"] {
            assert_eq!(final_path(Path::new(kept)), Path::new(kept));
        }
    }
}
