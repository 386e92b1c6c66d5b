//! Resumed runs: they end with the same bytes as a run that never stopped.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod bit_rot;
mod config;
mod corpus;
mod evaluations;
mod every_step;
mod interrupted;
mod orders;
mod planted;
mod rollback;
mod scene;
