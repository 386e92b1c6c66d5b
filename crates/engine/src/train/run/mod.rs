//! A whole run: a folder that holds its text as tokens, its configuration, rows and checkpoints.
//!
//! `prepare` makes the folder, `open` builds the machinery for a fresh or a resumed run, `drive`
//! takes the steps, `save` turns the state into checkpoint files and back.

mod check;
mod claim;
mod corpus;
mod drive;
mod error;
mod ngrams;
mod open;
mod prepare;
mod save;
mod vocabulary;

pub use check::check_settings;
pub use error::RunError;
pub use open::Run;
pub use prepare::{Budget, prepare};

/// The resolved configuration, in the run's folder.
pub const CONFIG_NAME: &str = "config.toml";
/// The tokeniser, in the run's folder.
pub const TOKENIZER_NAME: &str = "tokenizer.json";
/// Tokens to train on, in the run's folder.
pub const TRAIN_NAME: &str = "train.tokens";
/// Held-out tokens, in the run's folder.
pub const VALID_NAME: &str = "valid.tokens";
