//! `crystalline train`: trains a model on text files.

use super::options::{parse_threads, threads};
use super::progress::Progress;
use super::quantity::{COUNT_MAX, parse_time, whole};
use super::say::{out, say};
use super::settings::{self, Flags, Setting};
use super::signals::Signals;
use anyhow::{Result, bail};
use engine::train::events::Outcome;
use engine::train::run::{Budget, Place, Run, RunError, prepare};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Train a model on your text.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Run",
    disable_help_flag = true,
    before_help = "Examples:\n  crystalline train book.txt\n  crystalline train a.txt b.txt --time 30m --tokenizer bpe --out runs/mine"
)]
pub struct Args {
    /// Text files, UTF-8.
    #[arg(value_name = "FILE", display_order = 0)]
    files: Vec<PathBuf>,
    /// Folder of the run [default: runs/ and the first file's name, numbered if taken].
    #[arg(long, value_name = "DIR", display_order = 1)]
    out: Option<PathBuf>,
    /// TOML file of settings (docs/settings.md); --set and flags override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, as in --set vocab.compose=true; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = settings::parse_setting)]
    set: Vec<Setting>,
    /// Training time, such as 90s, 10m or 2h [default: 10m].
    #[arg(long, value_parser = parse_time, conflicts_with = "steps")]
    time: Option<Duration>,
    /// Number of training steps, instead of a time.
    #[arg(long, value_name = "N", value_parser = whole(0..=COUNT_MAX))]
    steps: Option<u64>,
    /// Stop cleanly after this step, as Ctrl-C would; `resume` continues the run.
    #[arg(long, value_name = "STEP", value_parser = whole(1..=COUNT_MAX))]
    stop_at: Option<u64>,
    /// Print help.
    #[arg(short, long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    flags: Flags,
    /// Threads; their number does not change the result [default: one per core].
    #[arg(long, help_heading = "Machine", value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

/// Folder of the runs whose folder is not given.
pub const RUNS: &str = "runs";

/// Default training time.
const DEFAULT_TIME: Duration = Duration::from_secs(600);

pub fn run(args: Args) -> Result<ExitCode> {
    let began = Instant::now();
    let signals = Signals::listen()?;
    let threads = threads(args.threads)?;
    let mut settings = settings::read(args.config.as_deref(), &args.set, &args.files, &args.flags)?;
    if args.steps.is_some() || args.time.is_some() {
        settings.train.n_steps = args.steps;
    }
    let Some(first) = settings.data.files.as_ref().and_then(|files| files.first()) else {
        bail!("no text given; name one or more files, as in `crystalline train book.txt`");
    };
    let name = first.file_stem().map_or("run".into(), |stem| stem.to_string_lossy());
    let place = match &args.out {
        Some(dir) => Place::At(dir),
        None => Place::New { parent: Path::new(RUNS), name: &name },
    };
    let budget = match (args.steps, args.time) {
        (Some(steps), _) => Budget::Steps(steps),
        (None, time) => Budget::Time(began, time.unwrap_or(DEFAULT_TIME)),
    };
    let mut progress = Progress::new(signals.clone());
    progress.stop_at = args.stop_at;
    let prepared = prepare(place, &settings, budget, threads, &mut progress);
    match open(prepared, threads, &signals)? {
        Some(mut run) => drive(&mut run, progress, &signals),
        None => Ok(signals.exit_code()),
    }
}

/// Opens a run that was just made; if that was cancelled, prints so and returns `None`. Shared with
/// `demo`.
pub fn open(
    prepared: Result<PathBuf, RunError>,
    threads: usize,
    signals: &Signals,
) -> Result<Option<Run>> {
    let dir = match prepared {
        Err(error @ RunError::Cancelled) => {
            say!("{error}");
            return Ok(None);
        }
        dir => dir?,
    };
    if signals.came() {
        say!("stopped before the first step; begin with `crystalline resume {}`", dir.display());
        return Ok(None);
    }
    // The run is on disk, and opening it changes nothing.
    signals.end_at_once();
    Ok(Some(Run::open(&dir, threads)?))
}

/// Trains to the end and reports the outcome; shared with `resume`.
pub fn drive(run: &mut Run, progress: Progress, signals: &Signals) -> Result<ExitCode> {
    if !finish(run, progress)? {
        return Ok(signals.exit_code());
    }
    let dir = run.dir().display();
    say!("finished; to generate text: `crystalline generate {dir} \"...\"`");
    writeln!(out(), "{dir}")?;
    Ok(ExitCode::SUCCESS)
}

/// Drives a run until it finishes or is stopped, which prints a line. Returns whether it finished.
pub fn finish(run: &mut Run, mut progress: Progress) -> Result<bool> {
    let outcome = run.drive(&mut progress)?;
    drop(progress);
    if let Outcome::Stopped { step } = outcome {
        let saved = if step > 0 { ", saved" } else { "" };
        let dir = run.dir().display();
        say!("stopped at step {step}{saved}; continue with `crystalline resume {dir}`");
    }
    Ok(outcome == Outcome::Finished)
}
