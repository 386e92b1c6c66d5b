//! `crystalline convert`: turns a model with a factored output layer into a plain Llama.

use super::model;
use super::options::{PrecisionArg, parse_threads, threads};
use super::output::Force;
use super::progress::duration;
use super::quantity::{COUNT_MAX, parse_time, perplexity, whole};
use super::say::{out, say};
use anyhow::{Context, Result, bail};
use engine::convert::{self, ConvertEvent, FitBudget, FitProgress, HELD_OUT, Stage};
use engine::formats::{LoadedModel, ModelFolder};
use engine::model::OwnedModel;
use engine::train::run::{TRAIN_NAME, VALID_NAME, rules_of_run};
use kernels::Pool;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use text::corpus::{TokenFile, TokenSource};
use text::tokenizer::EncodedText;
use text::vocab::read_codes;
use text::{split_file_tokens, thousands};

/// Convert a model with a factored output layer to a plain Llama, which other programs can read.
///
/// Fits an output matrix to the factored layer's predictions on the training text, then trains the
/// whole model on that text. Prints the losses of both models on held-out text.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline convert runs/book --out book-llama\n  crystalline convert runs/book/checkpoints/step-00001000 --text book.txt --out book-llama"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// Output layer of the result.
    #[arg(long, value_name = "HEAD", default_value = "full")]
    head: HeadArg,
    /// Folder of the result, which must not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Text to fit to; part of it is held out [default: the tokens of the run].
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Fitting time, such as 90s or 5m.
    #[arg(long, value_parser = parse_time, default_value = "5m", conflicts_with = "steps")]
    time: Duration,
    /// Number of fitting steps, instead of a time.
    #[arg(long, value_parser = whole(1..=COUNT_MAX))]
    steps: Option<u64>,
    /// Number format of matrix products.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    precision: PrecisionArg,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

/// `--head`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum HeadArg {
    Full,
}

/// Tokens of a run's folder or of a text.
enum Tokens {
    File(TokenFile),
    Memory(EncodedText),
}

impl TokenSource for Tokens {
    fn len(&self) -> usize {
        match self {
            Tokens::File(file) => file.len(),
            Tokens::Memory(tokens) => tokens.len(),
        }
    }

    fn read(&self, start: usize, out: &mut [u32]) {
        match self {
            Tokens::File(file) => file.read(start, out),
            Tokens::Memory(tokens) => tokens.read(start, out),
        }
    }

    fn hide_beginnings(&self, start: usize, targets: &mut [u32]) {
        match self {
            Tokens::File(file) => file.hide_beginnings(start, targets),
            Tokens::Memory(tokens) => tokens.hide_beginnings(start, targets),
        }
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let HeadArg::Full = args.head;
    Force::default().check(&args.out)?;
    let mut pool = Pool::new(threads(args.threads)?);
    let opened = model::open(&args.model, args.precision.resolve(), &mut pool)?;
    if opened.model.layout().config.head.is_plain() {
        bail!(
            "{}: its output layer is full already; other programs can read it as it is",
            opened.folder.display()
        );
    }
    let layout = opened.model.layout();
    let added = [(layout.inputs.parts, "parts of words"), (layout.inputs.ngrams, "n-grams")];
    if let Some((_, what)) = added.iter().find(|(rows, _)| rows.is_some()) {
        bail!(
            "{}: its input vectors have rows of {what}, which no plain model has",
            opened.folder.display()
        );
    }
    let (train, valid) = tokens(&args, &opened)?;
    let budget = args.steps.map_or(FitBudget::Time(args.time), FitBudget::Steps);
    let result = fit(&opened, &train, &valid, budget, &mut pool)?;
    if let Some(parent) = args.out.parent() {
        let made = std::fs::create_dir_all(parent);
        made.with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let codes = read_codes(&opened.folder, &opened.tokenizer)?;
    ModelFolder::write(&args.out, result.model(), &opened.tokenizer, codes.as_ref())?;
    say!("written; to generate text: `crystalline generate {} \"...\"`", args.out.display());
    writeln!(out(), "{}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The tokens to fit to and the held-out tokens, of the named text or of the run.
fn tokens(args: &Args, opened: &LoadedModel) -> Result<(Tokens, Tokens)> {
    if let Some(path) = &args.text {
        let (tokenizer, rules) = (&opened.tokenizer, rules_of_run(&args.model)?);
        let threads = threads(args.threads)?;
        let (train, valid) = split_file_tokens(path, tokenizer, &rules, HELD_OUT, threads)?;
        return Ok((Tokens::Memory(train), Tokens::Memory(valid)));
    }
    let [train, valid] = [TRAIN_NAME, VALID_NAME].map(|name| args.model.join(name));
    if !train.exists() {
        bail!(
            "{}: this folder has no training tokens; name the run's folder, or a text with --text FILE",
            args.model.display()
        );
    }
    let train = TokenFile::open(&train)?;
    if valid.exists() {
        return Ok((Tokens::File(train), Tokens::File(TokenFile::open(&valid)?)));
    }
    let mut ids = vec![0; train.len()];
    train.read(0, &mut ids);
    let all = EncodedText { ids, beginnings: train.beginnings().to_vec() };
    let (train, valid) = all.hold_out(HELD_OUT);
    Ok((Tokens::Memory(train), Tokens::Memory(valid)))
}

/// Fits a full output layer and prints the loss at each stage.
fn fit(
    opened: &LoadedModel,
    train: &Tokens,
    valid: &Tokens,
    budget: FitBudget,
    pool: &mut Pool,
) -> Result<OwnedModel> {
    let (mut lines, mut factored) = (Lines::new(), f64::NAN);
    let mut report = |event: ConvertEvent| {
        match event {
            ConvertEvent::Measured(Stage::Factored, loss) => {
                factored = loss;
                say!("factored  held-out loss {loss:.4} nats, perplexity {}", perplexity(loss));
            }
            ConvertEvent::Measured(stage, loss) => {
                let (perplexity, above) = (perplexity(loss), loss - factored);
                say!(
                    "{:<9} held-out loss {loss:.4} nats, perplexity {perplexity}, {above:+.4} nats",
                    name(stage)
                );
                lines = Lines::new();
            }
            ConvertEvent::Fitted(p) => lines.report(p, "nats above the factored layer"),
            ConvertEvent::Tuned(p) => lines.report(p, "nats"),
        }
        true
    };
    Ok(convert::run(&opened.model, train, valid, budget, pool, &mut report)?)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Factored => "factored",
        Stage::Start => "start",
        Stage::Fitted => "fitted",
        Stage::Full => "full",
    }
}

/// Seconds between lines.
const LINE_SECONDS: u64 = 10;

/// Progress lines of a stage of fitting.
struct Lines {
    began: Instant,
    last: Instant,
    nats: Vec<f64>,
}

impl Lines {
    fn new() -> Lines {
        Lines { began: Instant::now(), last: Instant::now(), nats: Vec::new() }
    }

    /// Records a step, and prints a line if one is due; `unit` says what the nats measure.
    fn report(&mut self, progress: FitProgress, unit: &str) {
        let FitProgress { step, share, nats, n_tok } = progress;
        self.nats.push(nats);
        if self.last.elapsed().as_secs() < LINE_SECONDS {
            return;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let left = seconds * (1.0 - share) / share.max(1e-6);
        say!(
            "step {step}  training loss {:.4} {unit}  {} tokens/s  {} left",
            self.nats.iter().sum::<f64>() / self.nats.len() as f64,
            thousands((n_tok as f64 / seconds) as usize),
            duration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
        );
        self.nats.clear();
        self.last = Instant::now();
    }
}
