//! `crystalline generate`: continue a prompt.

use super::bench::PrecisionArg;
use super::say::say;
use super::{model, threads};
use anyhow::Result;
use engine::generate::{Request, Sampling, Session, Written, generate};
use kernels::Pool;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Let a model continue a text.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline generate runs/book \"Once upon a time\"\n  crystalline generate runs/book \"The\" --temperature 0 --max-tokens 50"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// The text to continue.
    #[arg(default_value = "")]
    prompt: String,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print a line of JSON for each token instead of the text: its id, what it stands for, and the
    /// natural logarithm of its probability, before temperature and the other settings.
    #[arg(long)]
    log_probs: bool,
    /// Print the speed on stderr.
    #[arg(short, long)]
    verbose: bool,
}

/// How to sample; shared with `chat`.
#[derive(Debug, clap::Args)]
pub struct SamplingArgs {
    /// Tokens to write at most.
    #[arg(long, default_value_t = 200)]
    pub max_tokens: usize,
    /// 0 always takes the likeliest token; higher is more varied.
    #[arg(long, default_value_t = 0.8)]
    temperature: f32,
    /// Only the k likeliest tokens; 0 is all.
    #[arg(long, default_value_t = 50)]
    top_k: usize,
    /// Only the likeliest tokens that reach p together.
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Only tokens at least this many times as likely as the likeliest.
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Above 1 makes tokens already in the text less likely.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Seed; the same seed writes the same text.
    #[arg(long)]
    seed: Option<u64>,
    /// A string that ends the text; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
    /// Write on where the model would end the text.
    #[arg(long)]
    ignore_end: bool,
    /// Number format of matrix products.
    #[arg(long, default_value = "auto")]
    pub precision: PrecisionArg,
    /// Threads.
    #[arg(long)]
    pub threads: Option<usize>,
}

impl SamplingArgs {
    /// The request these flags make.
    pub fn request(&self) -> Request {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.unwrap_or_else(fresh_seed),
        };
        let (stop, ignore_end) = (self.stop.clone(), self.ignore_end);
        Request { sampling, max_tokens: self.max_tokens, stop, ignore_end, log_probs: false }
    }
}

/// Another seed each time, from the clock.
pub fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.as_nanos() as u64)
}

pub fn run(args: Args) -> Result<ExitCode> {
    let threads = threads(args.sampling.threads);
    let mut pool = Pool::new(threads);
    let precision = args.sampling.precision.resolve();
    let opened = model::open(&args.model, precision, &mut pool)?;
    let max_len = opened.model.max_len();
    let mut session = Session::new(opened.model.layout(), precision, max_len, threads);
    let ids = opened.tokenizer.encode_ordinary(&args.prompt);
    let request = Request { log_probs: args.log_probs, ..args.sampling.request() };
    let mut out = std::io::stdout().lock();
    if !args.log_probs {
        write!(out, "{}", args.prompt)?;
    }
    let began = Instant::now();
    let mut result = Ok(());
    let usage = generate(
        &mut session,
        opened.model.model(),
        &mut pool,
        &opened.tokenizer,
        &ids,
        &request,
        &mut |written| {
            result = match written {
                Written::Text(_) if args.log_probs => Ok(()),
                Written::Text(text) => write!(out, "{text}").and_then(|()| out.flush()),
                Written::Token { id, log_p } => {
                    let token = opened.tokenizer.token_text(id);
                    writeln!(out, "{}", json!({ "id": id, "token": token, "log_p": log_p }))
                }
            };
            result.is_ok()
        },
    )?;
    result?;
    if !args.log_probs {
        writeln!(out)?;
    }
    if args.verbose {
        let seconds = began.elapsed().as_secs_f64();
        say!(
            "{} tokens of prompt, {} written, {:.0} tokens/s, {:?}, from {}",
            usage.prompt_tokens,
            usage.new_tokens,
            (usage.prompt_tokens + usage.new_tokens) as f64 / seconds,
            usage.finish,
            opened.folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
