//! A run that was stopped and goes on ends as the run that never stopped: byte for byte.

mod config;
mod corpus;
mod evaluations;
mod every_step;
mod planted;
mod scene;
