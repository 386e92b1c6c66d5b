//! Program tests: the binary as a process that is killed, interrupted, started twice, given bad input.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod compose;
mod convert;
mod disk;
mod flags;
mod heads;
mod held_out;
mod instructions;
mod kill;
mod lock;
mod models;
mod ngrams;
mod old_runs;
mod old_settings;
mod process;
mod scene;
mod settings;
mod signals;
mod texts;
mod vocabulary;
mod went_wrong;
