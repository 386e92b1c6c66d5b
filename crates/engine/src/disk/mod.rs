//! Crash-safe files: one commit protocol, append-only files of lines, and a lock.
//!
//! Everything durable reaches the disk through [`Fs`], in one of these ways:
//!
//! - [`commit_file`] and [`commit_folder`] write a file or a folder completely or not at all;
//! - [`LineFile`] appends rows to a file of JSON lines;
//! - [`remove_folders`] removes folders; [`clean`] removes the leftovers of a crash.
//!
//! Contents are not interpreted here. The error types serve all files that the engine reads and
//! writes, such as models and checkpoints.

mod append;
mod commit;
mod error;
mod fs;
mod lock;
mod reading;
mod remove;

pub use append::{LineFile, Resumed};
pub(crate) use commit::is_plain_name;
pub use commit::{FileRecord, LastFile, NewFile, commit_file, commit_folder, replace_folder};
pub use error::{LoadError, Rejected, SaveError};
pub use fs::{
    Entry, Fs, ReadFile, RealFs, WriteFile, ensure_dir, hash_file, read_file, remove_tree,
    write_all,
};
pub use lock::{LOCK_NAME, LockError, Owner, RunLock};
pub use reading::Reading;
pub use remove::{clean, remove_folders, remove_unread};
