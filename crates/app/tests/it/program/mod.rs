//! Program tests: the binary as a process that is killed, interrupted, started twice, given bad input.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod compose;
mod convert;
mod disk;
mod doors;
mod examples;
mod flags;
mod heads;
mod held_out;
mod instructions;
mod kill;
mod limits;
mod lock;
mod models;
mod ngrams;
mod numbers;
mod old_runs;
mod old_settings;
mod places;
mod process;
mod prompts;
mod read_back;
mod scene;
mod settings;
mod signals;
mod terminal;
mod texts;
mod tokenizers;
mod vocabulary;
mod went_wrong;
