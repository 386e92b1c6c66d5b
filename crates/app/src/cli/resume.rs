//! `crystalline resume`: go on where a run was stopped, to the same end.

use super::progress::Progress;
use super::signals::Signals;
use super::{threads, train};
use anyhow::Result;
use engine::train::Run;
use std::path::PathBuf;
use std::process::ExitCode;

/// Go on with a run that was stopped.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline resume runs/book\n  crystalline resume runs/book --threads 1"
)]
pub struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Threads; changes the speed, never the result.
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let signals = Signals::listen()?;
    let mut run = Run::open(&args.run, threads(args.threads))?;
    train::drive(&mut run, Progress::new(signals.clone()), &signals)
}
