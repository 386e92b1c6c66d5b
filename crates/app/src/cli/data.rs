//! `crystalline data`: text to train on, without a download.
use anyhow::Result;
use std::process::ExitCode;

/// Make text to train on.
#[derive(Debug, clap::Subcommand)]
pub enum Command {}

pub fn run(command: Command) -> Result<ExitCode> {
    match command {}
}
