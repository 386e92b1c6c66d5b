//! Fuzzing of every parser of foreign files, with a stable compiler and no tool beside it.
//!
//! A target is a function of bytes. Its valid files in `seeds/` are mutated in ways that suit JSON
//! and binary headers, checksums are made right again, and each result is parsed. A panic, an input
//! that takes longer than a second, or one that takes hundreds of megabytes is a failure; whether
//! the parser accepts or refuses is not. Inputs are a function of a seed, so a failure comes again.
//!
//! `./check fuzz` runs all targets for a minute.
#![forbid(unsafe_code)]

mod mutate;
mod run;
mod targets;

pub use mutate::{Random, mutate};
pub use run::{Counts, Failure, Limits, run, valid_files};
pub use targets::{Parse, TARGETS, Target};
