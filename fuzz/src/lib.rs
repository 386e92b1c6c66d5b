//! Fuzzing of all parsers of foreign files, with the stable compiler and no other tool.
//!
//! A target is a function of bytes. Its valid files in `seeds/` are mutated in ways that suit JSON
//! and binary headers, checksums are repaired, and each result is parsed. A panic, an input that takes
//! more than a second, or one that takes hundreds of megabytes is a failure; the parser may accept or
//! refuse it. Inputs are determined by a seed, so every failure can be reproduced.
//!
//! `./check fuzz` runs all targets for a minute.
#![forbid(unsafe_code)]

mod mutate;
mod run;
mod targets;

pub use mutate::{MutationRng, mutate};
pub use run::{Counts, Failure, RunLimits, run, valid_files};
pub use targets::{Parse, TARGETS, Target};
