//! `crystalline eval`: loss, perplexity and bits per byte of a model on a text.

use super::bench::PrecisionArg;
use super::{logits, model, threads};
use anyhow::{Result, bail};
use engine::data::{EvalWindows, TokenSource};
use engine::model::MicroShape;
use engine::text::Control;
use engine::train::{Lanes, SequenceSource};
use kernels::Pool;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure a model on a text: loss, perplexity, bits per byte.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline eval runs/book other.txt\n  crystalline eval runs/book other.txt --json"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// A text file.
    file: PathBuf,
    /// Number format of matrix products.
    #[arg(long, default_value = "auto")]
    precision: PrecisionArg,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also write the logits of the text's first tokens to a safetensors file.
    #[arg(long, value_name = "FILE")]
    dump_logits: Option<PathBuf>,
}

/// Tokens in windows side by side.
struct Windows<'a> {
    tokens: &'a [u32],
    windows: EvalWindows,
}

impl SequenceSource for Windows<'_> {
    fn fill(&self, _step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.windows.fill(self.tokens, index, tokens, targets);
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let threads = threads(args.threads);
    let precision = args.precision.resolve();
    let mut pool = Pool::new(threads);
    let opened = model::open(&args.model, precision, &mut pool)?;
    let corpus = engine::data::Corpus::open(std::slice::from_ref(&args.file), Default::default())?;
    let mut text = String::new();
    corpus.read(corpus.all(), |piece| {
        if let engine::data::Piece::Text(piece) = piece {
            text.push_str(piece);
        }
        std::ops::ControlFlow::Continue(())
    })?;
    let tokenizer = &opened.tokenizer;
    let mut tokens = tokenizer.encode_parallel(&text, &mut Control::threads(threads))?;
    // The first token is predicted from the end of a text before it, where there is such a token.
    if let Some(end) = tokenizer.text_end() {
        tokens.insert(0, end);
    }
    if tokens.len() < 2 {
        bail!("{}: too short to measure, it has {} tokens", args.file.display(), tokens.len());
    }
    let config = &opened.model.layout().config;
    if let Some(path) = &args.dump_logits {
        let first = &tokens[..tokens.len().min(config.seq_len)];
        logits::dump(path, &opened, first, precision, &mut pool)?;
    }
    drop(pool);
    let windows = EvalWindows::new(TokenSource::len(&tokens[..]), config.seq_len)?;
    let n = windows.n_windows();
    let micro = MicroShape::new(config, config.seq_len, n.div_ceil(threads), precision);
    let mut lanes = Lanes::for_evaluation(opened.model.layout(), &micro, threads);
    let source = Windows { tokens: &tokens, windows };
    let sum = lanes.evaluate(opened.model.model(), &source, n);
    let bytes: usize = tokens[1..].iter().map(|id| tokenizer.token_bytes(*id)).sum();
    let loss = sum.nats / sum.n_tok as f64;
    let bits = sum.nats / std::f64::consts::LN_2 / bytes.max(1) as f64;
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = serde_json::json!({
            "loss_nats": loss, "perplexity": loss.exp(), "bits_per_byte": bits,
            "tokens": sum.n_tok, "bytes": bytes, "model": opened.folder,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(out, "loss           {loss:.4} nats per token")?;
        writeln!(out, "perplexity     {:.2} per token", loss.exp())?;
        writeln!(out, "bits per byte  {bits:.4}")?;
        writeln!(out, "measured on    {} tokens, {} bytes", sum.n_tok, bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
