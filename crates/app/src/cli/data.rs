//! `crystalline data`: generates training text, without a download.

use super::options::{parse_threads, threads};
use super::output::Force;
use super::progress;
use super::quantity::{parse_seed, parse_size};
use super::say::{out, say};
use super::signals::Signals;
use anyhow::{Context, Result};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::stories;

/// Generate training text.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write short stories from the built-in grammar; the same seed gives the same text.
    Stories(StoriesArgs),
}

/// Flags of `data stories`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline data stories --size 2KB\n  crystalline data stories --size 50MB --out stories.txt"
)]
pub struct StoriesArgs {
    /// Size in bytes, or with KB, MB or GB; the last story is completed.
    #[arg(long, default_value = "1MB", value_parser = parse_size)]
    size: u64,
    /// Random seed.
    #[arg(long, default_value_t = 1, value_parser = parse_seed)]
    seed: u64,
    /// Output file [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    /// Threads; their number does not change the text [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

pub fn run(command: Command) -> Result<ExitCode> {
    let Command::Stories(args) = command;
    let signals = Signals::listen()?;
    let threads = threads(args.threads)?;
    let is_complete = match &args.out {
        Some(path) => {
            args.force.check(path)?;
            write_stories(path, args.size, args.seed, threads, &signals)?
        }
        None => {
            signals.ask_first();
            let mut out = BufWriter::new(out());
            let mut keep_going = |_| !signals.came();
            stories::write_corpus(args.size, args.seed, threads, &mut out, &mut keep_going)?;
            out.flush()?;
            !signals.came()
        }
    };
    Ok(if is_complete { ExitCode::SUCCESS } else { signals.exit_code() })
}

/// Writes stories to `path` atomically; false if a signal stopped it, and then there is no file.
pub fn write_stories(
    path: &Path,
    size: u64,
    seed: u64,
    threads: usize,
    signals: &Signals,
) -> Result<bool> {
    signals.ask_first();
    let bar = progress::bar(size, "writing stories  {bytes} of {total_bytes}");
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".tmp-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    let mut keep_going = |written: u64| {
        if let Some(bar) = &bar {
            bar.set_position(written.min(size));
        }
        !signals.came()
    };
    let written = (|| {
        let mut out = BufWriter::new(std::fs::File::create_new(&partial)?);
        let written = stories::write_corpus(size, seed, threads, &mut out, &mut keep_going)?;
        out.into_inner()?.sync_all()?;
        Ok::<u64, std::io::Error>(written)
    })();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let is_complete = written.as_ref().is_ok_and(|written| *written >= size);
    if !is_complete {
        // Best effort: the partial file is useless.
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
