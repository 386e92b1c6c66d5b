//! Checkpoints: a Hugging Face model folder plus optimiser state, written by one commit protocol.
//!
//! ```text
//! RUN/
//!   run.lock                    one trainer at a time                        lock
//!   metrics.jsonl ...           rows that only grow                          append
//!   checkpoints/
//!     step-00000123/            complete, or not there at all                commit
//!       config.json, generation_config.json                                  hf_folder
//!       tokenizer.json, tokenizer_config.json
//!       model.safetensors, optimizer.safetensors                             tensors
//!       manifest.json           facts, state, every file's BLAKE3            manifest
//!     step-00000124.tmp-...     what a crash left: removed at the next start prune
//! ```
//!
//! The order of a run: take the [`RunLock`]; [`ensure_dir`] and [`clean`] the checkpoints' folder;
//! go on from [`newest`], with [`discard_after`] and [`LineFile::resume`]; at intervals sync the line
//! files and hand the state to the [`Saver`]. Nothing here knows what a model is: a checkpoint is a
//! list of files, and a file is bytes or tensors.

mod append;
mod commit;
mod error;
mod fs;
mod hf_folder;
mod lock;
mod manifest;
mod prune;
mod save;
mod saver;
mod scan;
mod tensors;

pub use append::{LineFile, Resumed};
pub use commit::{FileContents, FileEntry, commit_file, commit_folder};
pub use error::{LoadError, Rejected, SaveError};
pub use fs::{Entry, Fs, ReadFile, RealFs, WriteFile, ensure_dir, remove_tree, write_all};
pub use hf_folder::{
    CONFIG_BYTES_MAX, HfConfig, config_json, generation_config_json, parse_config,
};
pub use lock::{LOCK_NAME, LockError, Owner, RunLock};
pub use manifest::{
    Facts, FileRecord, Fingerprint, MANIFEST_NAME, MANIFEST_VERSION, Manifest, RunState,
};
pub use prune::{Retention, clean, discard_after, prune};
pub use save::{Checkpoint, Saved, save_checkpoint};
pub use saver::{SaveMode, Saver, SaverOptions};
pub use scan::{
    Found, Listed, best, list, newest, parse_step_name, read_file, read_manifest, step_name, verify,
};
pub use tensors::{
    TensorFile, TensorInfo, TensorLimits, TensorRef, tensors_file_len, write_tensors,
};
