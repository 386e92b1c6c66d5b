//! Errors that keep a run from starting or continuing.

use crate::checkpoint::CHECKPOINTS_NAME;
use crate::disk::{LoadError, LockError, SaveError};
use crate::formats::ModelFolderError;
use crate::generate::SamplerError;
use crate::memory::MemoryError;
use crate::model::{ConfigError, SideFileError};
use std::path::{Path, PathBuf};
use text::tokenizer::TextError;
use text::vocab::CodeFileError;
use text::vocab::classes::ClassError;

/// Error of a run; everything on disk is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The text or a token file cannot be used.
    #[error(transparent)]
    Data(#[from] text::corpus::Error),
    /// The tokeniser cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text has changed since the run began.
    #[error("{source}")]
    CorpusChanged {
        /// The file, and its recorded size and hash.
        source: text::corpus::Error,
    },
    /// The classes of a factored output layer cannot be made.
    #[error(transparent)]
    Classes(#[from] ClassError),
    /// The codes of a vocabulary's words cannot be made or read.
    #[error(transparent)]
    Codes(#[from] CodeFileError),
    /// A file of the input layer cannot be used.
    #[error(transparent)]
    Inputs(#[from] SideFileError),
    /// The shape of the model is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A checkpoint or a row cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Another process is training the run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A sampling setting is invalid.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// A setting is invalid.
    #[error("{field} = {found}: expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// Description of valid values.
        expected: String,
    },
    /// The run does not fit into memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A configuration file cannot be read.
    #[error("{}: {message}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The problem, with line and column.
        message: String,
    },
    /// The folder already holds a run.
    #[error("{}: there is a run here already", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// A run can begin in a new or an empty folder only.
    #[error("{}: {found}; a run begins in a new or an empty folder, so that nothing is overwritten", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        found: String,
    },
    /// A tokeniser was to be taken from a folder that has no usable model.
    #[error(transparent)]
    ModelFolder(#[from] ModelFolderError),
    /// There is no run in the folder.
    #[error("{}: no run here ({CONFIG} is missing)", dir.display(), CONFIG = super::CONFIG_NAME)]
    NoRun {
        /// The folder.
        dir: PathBuf,
    },
    /// Training went wrong again after it went back as often as it may.
    #[error(
        "training diverged: at step {step} it went wrong again ({why}), although it went back \
         {n_rollbacks} times and halved the learning rate each time; the checkpoints from before stay"
    )]
    Diverged {
        /// Steps taken.
        step: u64,
        /// Times that it went back.
        n_rollbacks: u64,
        /// Fault of the last step.
        why: String,
    },
    /// The run took all of its steps and learnt nothing.
    #[error(
        "training failed: it ended with a loss of {loss:.3} nats per token, and guessing among all \
         tokens has {guessing:.3}; begin a new run with a lower learning rate"
    )]
    WorseThanGuessing {
        /// Mean loss, on held-out text if there is any.
        loss: f64,
        /// Logarithm of the vocabulary's size.
        guessing: f64,
    },
    /// The run's folder is not there any more, or another one is in its place.
    #[error(
        "{}: no longer the folder of this run, which was moved, removed or replaced during training; \
         nothing was written here; resume the run where its folder is now", dir.display()
    )]
    Moved {
        /// The path of the folder.
        dir: PathBuf,
    },
    /// The run has saved checkpoints, and all of them are gone.
    #[error(
        "{}: all checkpoints of this run are gone; put them back, or remove {} to begin again from the \
         first step", dir.join(CHECKPOINTS_NAME).display(), dir.join(super::SAVED_NAME).display()
    )]
    CheckpointsGone {
        /// The run's folder.
        dir: PathBuf,
    },
    /// The run was told to stop before its first step.
    #[error("stopped before the first step; nothing to save")]
    Cancelled,
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl RunError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            RunError::Data(error) => error.code(),
            RunError::Text(error) => error.code(),
            RunError::CorpusChanged { .. } => "corpus-changed",
            RunError::Classes(error) => error.code(),
            RunError::Codes(error) => error.code(),
            RunError::Inputs(error) => error.code(),
            RunError::Config(error) => error.code(),
            RunError::Load(error) => error.code(),
            RunError::Save(error) => error.code(),
            RunError::Lock(error) => error.code(),
            RunError::Sampler(error) => error.code(),
            RunError::Setting { .. } => "setting-refused",
            RunError::Memory(error) => error.code(),
            RunError::ConfigFile { .. } => "settings-unreadable",
            RunError::Exists { .. } => "run-exists",
            RunError::NotEmpty { .. } => "folder-not-empty",
            RunError::ModelFolder(error) => error.code(),
            RunError::NoRun { .. } => "no-run",
            RunError::Diverged { .. } => "diverged",
            RunError::WorseThanGuessing { .. } => "worse-than-guessing",
            RunError::Moved { .. } => "run-moved",
            RunError::CheckpointsGone { .. } => "checkpoints-gone",
            RunError::Cancelled => "cancelled",
            RunError::Io { source, .. } if text::is_disk_full(source) => "disk-full",
            RunError::Io { .. } => "file-refused",
        }
    }

    /// Function that wraps a system error about `path`.
    pub(super) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> RunError + use<'a> {
        move |source| RunError::Io { what, path: path.to_owned(), source }
    }
}
