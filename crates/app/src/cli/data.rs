//! `crystalline data`: text to train on that needs no download.

use super::options::threads;
use super::quantity::parse_size;
use super::say::say;
use super::signals::Signals;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::stories;

/// Make text to train on.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write short stories from the built-in grammar: of any size, the same for the same seed.
    Stories(StoriesArgs),
}

/// What to write.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline data stories --size 2KB\n  crystalline data stories --size 50MB --out stories.txt"
)]
pub struct StoriesArgs {
    /// How much text: bytes, or a number with KB, MB or GB. The last story is written to its end.
    #[arg(long, default_value = "1MB", value_parser = parse_size)]
    size: u64,
    /// Another seed writes other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file to write, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Threads; the text does not depend on them.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(command: Command) -> Result<ExitCode> {
    let Command::Stories(args) = command;
    let (signals, threads) = (Signals::listen()?, threads(args.threads));
    let is_complete = match &args.out {
        Some(path) => write_stories(path, args.size, args.seed, threads, &signals)?,
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            let mut go_on = |_| !signals.came();
            stories::write_corpus(args.size, args.seed, threads, &mut out, &mut go_on)?;
            out.flush()?;
            !signals.came()
        }
    };
    Ok(if is_complete { ExitCode::SUCCESS } else { signals.exit_code() })
}

/// Writes stories to `path`, whole or not at all; whether it came to the end.
pub fn write_stories(
    path: &Path,
    size: u64,
    seed: u64,
    threads: usize,
    signals: &Signals,
) -> Result<bool> {
    let bar = ProgressBar::new(size).with_style(
        ProgressStyle::with_template("writing stories  {bar:30.cyan} {bytes} of {total_bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut go_on = |written: u64| {
        bar.set_position(written.min(size));
        !signals.came()
    };
    let written = (|| {
        let mut out = BufWriter::new(std::fs::File::create(&partial)?);
        let written = stories::write_corpus(size, seed, threads, &mut out, &mut go_on)?;
        out.into_inner()?.sync_all()?;
        Ok::<u64, std::io::Error>(written)
    })();
    bar.finish_and_clear();
    let is_complete = written.as_ref().is_ok_and(|written| *written >= size);
    if !is_complete {
        // Best effort: half a file is of no use.
        let _ = std::fs::remove_file(&partial);
    }
    let written = written.with_context(|| format!("cannot write {}", path.display()))?;
    if !is_complete {
        say!("stopped; {} was not written", path.display());
        return Ok(false);
    }
    std::fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
    let megabytes = written as f64 / 1e6;
    say!("stories   {megabytes:.1} MB from the built-in grammar: {}", path.display());
    Ok(true)
}
