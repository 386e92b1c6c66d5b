//! `crystalline demo`: watch a model learn to write, in about a minute.
use anyhow::Result;
use std::process::ExitCode;

/// Watch a model learn to write, in about a minute.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
