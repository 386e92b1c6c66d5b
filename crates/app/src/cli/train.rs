//! `crystalline train`: from text files to a model.

use super::progress::Progress;
use super::quantity::parse_time;
use super::say::say;
use super::signals::Signals;
use super::{parse_name, threads};
use anyhow::{Context, Result, bail};
use engine::head::HeadName;
use engine::train::IdleRows;
use engine::train::events::Outcome;
use engine::train::run::{Budget, Run, RunError, prepare};
use engine::train::settings::{PrecisionName, Settings};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use text::tokenizer::TokenizerKind;
use text::vocab::classes::ClassMethod;
use text::vocab::order::TokenOrder;

/// Train a model on your text.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline train book.txt\n  crystalline train a.txt b.txt --time 30m --tokenizer bpe --out runs/mine"
)]
pub struct Args {
    /// Text files, UTF-8.
    files: Vec<PathBuf>,
    /// Settings in a TOML file; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the run; by default runs/ and the name of the first file.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long to train, such as 90s, 10m or 2h.
    #[arg(long, value_parser = parse_time, conflicts_with = "steps")]
    time: Option<Duration>,
    /// How many steps to train.
    #[arg(long)]
    steps: Option<u64>,
    /// Stop in order after this step, as Ctrl-C would; `crystalline resume` goes on.
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..))]
    stop_at: Option<u64>,
    /// A file to validate with, instead of holding out part of the text.
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Share of the text to hold out.
    #[arg(long)]
    holdout: Option<f64>,
    /// Read bytes that are not UTF-8 as U+FFFD instead of refusing them.
    #[arg(long)]
    replace_invalid_utf8: bool,
    /// How text becomes tokens: word, split, bpe or char.
    #[arg(long, value_parser = parse_name::<TokenizerKind>)]
    tokenizer: Option<TokenizerKind>,
    /// Largest vocabulary.
    #[arg(long)]
    vocab: Option<usize>,
    /// Words and characters rarer than this get no token of their own.
    #[arg(long)]
    min_count: Option<u64>,
    /// Width of the model.
    #[arg(long)]
    dim: Option<usize>,
    /// Layers.
    #[arg(long)]
    layers: Option<usize>,
    /// Attention heads.
    #[arg(long)]
    heads: Option<usize>,
    /// Key/value heads.
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Tokens of a training sequence.
    #[arg(long)]
    seq_len: Option<usize>,
    /// Give the output layer a matrix of its own.
    #[arg(long)]
    untied: bool,
    /// The output layer: full (a softmax over all tokens), factor (over classes, then over the
    /// tokens of a class: much faster for large vocabularies), adaptive (over the most frequent
    /// tokens and clusters of rarer ones) or sampled (a full one, trained on some of the tokens); by
    /// default factor where that should be half as fast again at least, else full.
    #[arg(long, value_parser = parse_name::<HeadName>)]
    head: Option<HeadName>,
    /// Classes of a factored output layer; by default 1.4 times the square root of
    /// the vocabulary.
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// How classes are found: exchange, kmeans, frequency or random.
    #[arg(long, value_name = "METHOD", value_parser = parse_name::<ClassMethod>)]
    class_method: Option<ClassMethod>,
    /// Where the clusters of an adaptive output layer begin, such as 2000,10000: the numbers of
    /// tokens that are more frequent.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cutoffs: Option<Vec<u32>>,
    /// Tokens that a step's targets are compared with under --head sampled.
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// The order of token ids, and so of rows in memory: frequency, spiral, hilbert or random. By
    /// default the tokeniser's; with classes, frequency.
    #[arg(long, value_parser = parse_name::<TokenOrder>)]
    order: Option<TokenOrder>,
    /// Compose the input vectors of words: a row of their own and the mean of those of their parts.
    #[arg(long)]
    compose: bool,
    /// What becomes of the rows of a factored output layer's tables that a batch does not use: dense
    /// (each step writes them) or lazy (they are brought up to date when they are used again). By
    /// default lazy where tables are not tied or n-grams have rows.
    #[arg(long, value_name = "HOW", value_parser = parse_name::<IdleRows>)]
    idle_rows: Option<IdleRows>,
    /// Add rows of hashed bigrams and trigrams to input vectors, of those that the text has eight
    /// times or more often. Helps in one pass over a large text.
    #[arg(long)]
    ngram_embed: bool,
    /// How often the text must have an n-gram for it to have rows, instead of eight times; with 1 all
    /// of them have, and the text is learnt by heart. Implies --ngram-embed.
    #[arg(long, value_name = "N")]
    ngram_min_count: Option<usize>,
    /// Normalise queries and keys per head.
    #[arg(long)]
    qk_norm: bool,
    /// Sequences in a batch.
    #[arg(long)]
    batch: Option<usize>,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f32>,
    /// Residual dropout, from 0 to below 1.
    #[arg(long)]
    dropout: Option<f32>,
    /// Seed of weights, data order and dropout.
    #[arg(long)]
    seed: Option<u64>,
    /// Number format of matrix products: f32, bf16 or auto.
    #[arg(long, default_value = "auto")]
    precision: super::bench::PrecisionArg,
    /// Data-parallel lanes; part of the run, unlike --threads.
    #[arg(long)]
    lanes: Option<usize>,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
    /// Steps between evaluations.
    #[arg(long)]
    eval_every: Option<u64>,
    /// Steps between checkpoints.
    #[arg(long)]
    save_every: Option<u64>,
    /// Steps between samples.
    #[arg(long)]
    sample_every: Option<u64>,
    /// What samples continue.
    #[arg(long)]
    prompt: Option<String>,
}

/// The default length of a run.
const DEFAULT_TIME: Duration = Duration::from_secs(600);

pub fn run(args: Args) -> Result<ExitCode> {
    let began = Instant::now();
    let signals = Signals::listen()?;
    let threads = threads(args.threads);
    let settings = settings(&args)?;
    let Some(first) = settings.data.files.as_ref().and_then(|files| files.first()) else {
        bail!("no text given: name one or more files, as in `crystalline train book.txt`");
    };
    let dir = args.out.clone().unwrap_or_else(|| default_dir(first));
    let budget = match (args.steps, args.time) {
        (Some(steps), _) => Budget::Steps(steps),
        (None, time) => Budget::Time(began, time.unwrap_or(DEFAULT_TIME)),
    };
    let mut progress = Progress::new(signals.clone());
    progress.stop_at = args.stop_at;
    match begin(&dir, &settings, budget, threads, &mut progress)? {
        Some(mut run) => drive(&mut run, progress, &signals),
        None => Ok(signals.exit_code()),
    }
}

/// Makes a run and opens it; `None` if that was cancelled, which is said. Shared with `demo`.
pub fn begin(
    dir: &Path,
    settings: &Settings,
    budget: Budget,
    threads: usize,
    progress: &mut Progress,
) -> Result<Option<Run>> {
    match prepare(dir, settings, budget, threads, progress) {
        Err(error @ RunError::Cancelled) => {
            say!("{error}");
            Ok(None)
        }
        result => {
            result?;
            Ok(Some(Run::open(dir, threads)?))
        }
    }
}

/// Drives a run and says how it ended; shared with `resume`.
pub fn drive(run: &mut Run, progress: Progress, signals: &Signals) -> Result<ExitCode> {
    if !finish(run, progress)? {
        return Ok(signals.exit_code());
    }
    let dir = run.dir().display();
    say!("finished: let it write with `crystalline generate {dir} \"...\"`");
    writeln!(std::io::stdout(), "{dir}")?;
    Ok(ExitCode::SUCCESS)
}

/// Drives a run to its end, or until it is stopped, which is said: whether it came to the end.
pub fn finish(run: &mut Run, mut progress: Progress) -> Result<bool> {
    let outcome = run.drive(&mut progress)?;
    drop(progress);
    if let Outcome::Stopped { step } = outcome {
        let (saved, dir) = (if step > 0 { ", saved" } else { "" }, run.dir().display());
        say!("stopped at step {step}{saved}; go on with `crystalline resume {dir}`");
    }
    Ok(outcome == Outcome::Finished)
}

fn settings(args: &Args) -> Result<Settings> {
    let mut s = match &args.config {
        None => Settings::default(),
        Some(path) => read_settings(path)?,
    };
    fn set<T: Clone>(setting: &mut Option<T>, given: &Option<T>) {
        if given.is_some() {
            setting.clone_from(given);
        }
    }
    if !args.files.is_empty() {
        s.data.files = Some(args.files.clone());
    }
    set(&mut s.data.valid, &args.valid);
    set(&mut s.data.holdout, &args.holdout);
    set(&mut s.data.replace_invalid_utf8, &args.replace_invalid_utf8.then_some(true));
    set(&mut s.tokenizer.kind, &args.tokenizer);
    set(&mut s.tokenizer.vocab_size, &args.vocab);
    set(&mut s.tokenizer.min_count, &args.min_count);
    set(&mut s.model.model_dim, &args.dim);
    set(&mut s.model.n_layers, &args.layers);
    set(&mut s.model.n_heads, &args.heads);
    set(&mut s.model.n_kv_heads, &args.kv_heads);
    set(&mut s.model.seq_len, &args.seq_len);
    set(&mut s.model.tie_embeddings, &args.untied.then_some(false));
    set(&mut s.vocab.head, &args.head);
    set(&mut s.vocab.n_classes, &args.classes);
    set(&mut s.vocab.classes, &args.class_method);
    set(&mut s.vocab.cutoffs, &args.cutoffs);
    set(&mut s.vocab.n_samples, &args.samples);
    set(&mut s.vocab.order, &args.order);
    set(&mut s.vocab.compose, &args.compose.then_some(true));
    if let Some(idle_rows) = args.idle_rows {
        s.train.optimizer.get_or_insert_default().idle_rows = idle_rows;
    }
    set(&mut s.vocab.ngram_embed, &args.ngram_embed.then_some(true));
    set(&mut s.vocab.ngram_min_count, &args.ngram_min_count);
    set(&mut s.model.qk_norm, &args.qk_norm.then_some(true));
    set(&mut s.train.batch_seqs, &args.batch);
    set(&mut s.train.lr, &args.lr);
    set(&mut s.train.dropout, &args.dropout);
    set(&mut s.train.seed, &args.seed);
    set(&mut s.train.n_lanes, &args.lanes);
    set(&mut s.train.eval_every, &args.eval_every);
    set(&mut s.train.save_every, &args.save_every);
    set(&mut s.train.sample_every, &args.sample_every);
    set(&mut s.train.sample_prompt, &args.prompt);
    if args.steps.is_some() || args.time.is_some() {
        s.train.n_steps = args.steps;
    }
    use super::bench::PrecisionArg;
    match args.precision {
        PrecisionArg::F32 => s.train.precision = Some(PrecisionName::F32),
        PrecisionArg::Bf16 => s.train.precision = Some(PrecisionName::Bf16),
        PrecisionArg::Auto => {}
    }
    Ok(s)
}

fn read_settings(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let (path, message) = (path.to_owned(), error.to_string());
        RunError::ConfigFile { path, message }.into()
    })
}

/// runs/ and the file's name without its ending, with a number if that is taken.
fn default_dir(first: &Path) -> PathBuf {
    free_dir(&first.file_stem().map_or("run".into(), |stem| stem.to_string_lossy()))
}

/// The folder runs/`name`, with a number if that is a run already.
pub fn free_dir(name: &str) -> PathBuf {
    let dir = |suffix: String| Path::new("runs").join(format!("{name}{suffix}"));
    let numbered = (2..).map(|i| dir(format!("-{i}")));
    let mut dirs = std::iter::once(dir(String::new())).chain(numbered);
    dirs.find(|dir| !dir.join("config.toml").exists()).unwrap_or_else(|| dir(String::new()))
}
