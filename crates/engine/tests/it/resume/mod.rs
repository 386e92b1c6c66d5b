//! A run that was stopped and goes on ends as the run that never stopped: byte for byte.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod config;
mod corpus;
mod evaluations;
mod every_step;
mod orders;
mod planted;
mod scene;
