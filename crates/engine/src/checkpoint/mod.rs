//! Checkpoints: a Hugging Face model folder plus optimiser state, written by one commit protocol.
//!
//! ```text
//! RUN/
//!   run.lock                    one trainer at a time                        disk/lock
//!   metrics.jsonl ...           append-only rows                             disk/append
//!   checkpoints/
//!     step-00000123/            complete or absent                           disk/commit
//!       config.json, generation_config.json                                  formats/hf
//!       tokenizer.json, tokenizer_config.json
//!       model.safetensors, optimizer.safetensors                             formats/safetensors
//!       manifest.json           facts, state, every file's BLAKE3            manifest
//!     step-00000124.tmp-...     left by a crash; removed at the next start   disk/remove
//! ```
//!
//! The order of a run: take the `RunLock`; `ensure_dir` and `clean` the checkpoints' folder; continue
//! from [`newest`], with [`discard_after`] and `LineFile::resume`; at intervals sync the line files
//! and hand the state to the [`Saver`]. Tensors are not interpreted here: a checkpoint is a list of
//! files, and a file is bytes or tensors.

mod manifest;
mod open;
mod prune;
mod save;
mod saver;
mod scan;

pub use manifest::{CorpusFingerprint, Facts, MANIFEST_NAME, MANIFEST_VERSION, Manifest, RunState};
pub use prune::{Retention, discard_after, prune};
pub use save::{Checkpoint, Saved, commit_checkpoint, save_checkpoint};
pub use saver::{SaveMode, Saver, SaverOptions};
pub use scan::{
    Found, Listed, best, list, newest, newest_up_to, parse_step_name, read_manifest, step_name,
    verify,
};

/// Folder of the checkpoints, in a run's folder.
pub const CHECKPOINTS_NAME: &str = "checkpoints";
