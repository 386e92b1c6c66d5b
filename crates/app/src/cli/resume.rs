//! `crystalline resume`: continues a stopped run, with the result of an uninterrupted one.

use super::options::{parse_threads, threads};
use super::progress::Progress;
use super::quantity::{COUNT_MAX, whole};
use super::signals::Signals;
use super::train;
use anyhow::Result;
use engine::train::Run;
use std::path::PathBuf;
use std::process::ExitCode;

/// Continue a stopped run.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline resume runs/book\n  crystalline resume runs/book --threads 1"
)]
pub struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Stop cleanly after this step, as Ctrl-C would.
    #[arg(long, value_name = "STEP", value_parser = whole(1..=COUNT_MAX))]
    stop_at: Option<u64>,
    /// Resume even if a text file changed; the run uses the tokens it stored at the start.
    #[arg(long)]
    allow_changed_corpus: bool,
    /// Threads; their number does not change the result [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let signals = Signals::listen()?;
    let mut run = Run::open(&args.run, threads(args.threads)?)?;
    if !args.allow_changed_corpus {
        run.check_corpus()?;
    }
    let mut progress = Progress::new(signals.clone());
    progress.stop_at = args.stop_at;
    train::drive(&mut run, progress, &signals)
}
