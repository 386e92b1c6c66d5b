//! Files that survive crashes: one commit protocol, files of lines that only grow, and a lock.
//!
//! Everything durable reaches the disk through [`Fs`], in one of these ways:
//!
//! - [`commit_file`] and [`commit_folder`] write a file or a folder completely or not at all;
//! - [`LineFile`] appends rows to a file of JSON lines;
//! - [`remove_folders`] removes folders, [`clean`] what a crash left of any of these.
//!
//! Nothing here knows what the files mean. The errors are those of all files that the engine reads
//! and writes, models and checkpoints among them.

mod append;
mod commit;
mod error;
mod fs;
mod lock;
mod remove;

pub use append::{LineFile, Resumed};
pub(crate) use commit::is_plain_name;
pub use commit::{FileRecord, LastFile, NewFile, commit_file, commit_folder};
pub use error::{LoadError, Rejected, SaveError};
pub use fs::{
    Entry, Fs, ReadFile, RealFs, WriteFile, ensure_dir, read_file, remove_tree, write_all,
};
pub use lock::{LOCK_NAME, LockError, Owner, RunLock};
pub use remove::{clean, remove_folders};
