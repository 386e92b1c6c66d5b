//! `crystalline demo`: trains a model on built-in stories in about a minute.

use super::options::{PrecisionArg, fresh_seed, parse_threads, threads};
use super::progress::Progress;
use super::quantity::{parse_seed, parse_time};
use super::say::{out, say};
use super::signals::Signals;
use super::{chat, data, model, train};
use anyhow::Result;
use engine::generate::{Request, Sampling, grade_stories};
use engine::train::run::{Budget, Claim, Place, STORIES_NAME, prepare_in};
use engine::train::settings::Settings;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use text::corpus::{Input, TextRules};

/// Train a model on built-in stories for a minute, then give it prompts.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline demo\n  crystalline demo --time 5m      longer training writes better"
)]
pub struct Args {
    /// Training time, such as 60s or 5m [default: 1m, or longer on a slow machine].
    #[arg(long, value_parser = parse_time)]
    time: Option<Duration>,
    /// Seed for the stories, the weights and the samples.
    #[arg(long, default_value_t = 1, value_parser = parse_seed)]
    seed: u64,
    /// Folder of the run [default: runs/demo, with a number if that is taken].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

/// Size of the demo text; a minute of training is about three epochs.
const CORPUS_BYTES: u64 = 8_000_000;

const DEFAULT_TIME: Duration = Duration::from_secs(60);

/// Fewest steps after which sentences are grammatical (docs/log.md): three million tokens.
const LEAST_STEPS: u64 = 780;

/// The blank line that separates stories.
const BETWEEN_STORIES: &str = "\n\n";

pub fn run(args: Args) -> Result<ExitCode> {
    let began = Instant::now();
    let signals = Signals::listen()?;
    let threads = threads(args.threads)?;
    let claim = Claim::new(match &args.out {
        Some(dir) => Place::At(dir),
        None => Place::New { parent: Path::new(train::RUNS), name: "demo" },
    })?;
    let dir = claim.dir().to_owned();
    let corpus = dir.join(STORIES_NAME);
    if !data::write_stories(&corpus, CORPUS_BYTES, args.seed, threads, &signals)? {
        return Ok(signals.exit_code());
    }
    let mut progress = Progress::new(signals.clone());
    let budget = match args.time {
        Some(time) => Budget::Time(began, time),
        None => Budget::TimeAndSteps(began, DEFAULT_TIME, LEAST_STEPS),
    };
    let settings = settings(corpus.clone(), args.seed);
    let prepared = prepare_in(claim, &settings, budget, threads, &mut progress);
    let Some(mut run) = train::open(prepared, threads, &signals)? else {
        return Ok(signals.exit_code());
    };
    run.sample(&mut progress)?;
    if !train::finish(&mut run, progress)? {
        return Ok(signals.exit_code());
    }
    drop(run);
    signals.end_at_once();

    let mut pool = kernels::Pool::new(threads);
    let precision = PrecisionArg::Auto.resolve();
    let opened = model::open(&dir, precision, &mut pool)?;
    let text = Input::open(&corpus)?.text(TextRules::default())?.text;
    let grade = grade_stories(&opened.model, &opened.tokenizer, &text, args.seed, &mut pool)?;
    say!("{grade}");
    writeln!(out(), "{}", dir.display())?;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        // A story ends at a blank line.
        let sampling = Sampling { seed: fresh_seed(), ..Sampling::default() };
        let stop = vec![BETWEEN_STORIES.to_string()];
        let ends = opened.text_ends.clone();
        let request = Request { sampling, max_tokens: 200, stop, ends, ..Request::default() };
        return chat::talk(&opened, request, &mut pool);
    }
    say!("to generate text: `crystalline generate {} \"Everyone in\"`", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// A model of a million parameters.
fn settings(corpus: PathBuf, seed: u64) -> Settings {
    let mut settings = Settings::default();
    settings.data.files = Some(vec![corpus]);
    settings.data.holdout = Some(0.02);
    settings.model.model_dim = Some(128);
    settings.model.n_layers = Some(4);
    settings.model.seq_len = Some(128);
    settings.train.seed = Some(seed);
    settings
}
