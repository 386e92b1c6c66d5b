//! Run: a folder with text as tokens, a configuration, measurements and checkpoints.
//!
//! `prepare` makes the folder, `open` builds the machinery for a fresh or a resumed run, `drive`
//! takes the steps, `save` turns the state into checkpoint files and back.

mod check;
mod claim;
mod corpus;
mod drive;
mod error;
mod files;
mod needs;
mod ngrams;
mod open;
mod own_folder;
mod prepare;
mod rollback;
mod save;
mod texts;
mod tokenizer;
mod vocabulary;
mod watch;

pub use check::{LANES_MAX, check_settings};
pub use claim::{Claim, Place};
pub use error::RunError;
pub(super) use open::SNAPSHOT_BYTES_MAX;
pub use open::{CONFIG_BYTES_MAX, Run};
pub use prepare::{Budget, prepare, prepare_in};
pub use rollback::Accident;
pub use texts::{NEW_TEXT, prompt_rules, rules_of_run};
pub use watch::LossLimits;

/// File name of the resolved configuration in a run's folder.
pub const CONFIG_NAME: &str = "config.toml";
/// File name of the tokeniser in a run's folder.
pub const TOKENIZER_NAME: &str = "tokenizer.json";
/// Empty file in a run's folder, made when its first checkpoint was saved: a run without checkpoints
/// that has this file has lost them.
const SAVED_NAME: &str = "has-checkpoints";
/// File name of the training tokens in a run's folder.
pub const TRAIN_NAME: &str = "train.tokens";
/// File name of built-in stories in the folder of the run that is trained on them.
pub const STORIES_NAME: &str = "stories.txt";
/// File name of the held-out tokens in a run's folder.
pub const VALID_NAME: &str = "valid.tokens";
