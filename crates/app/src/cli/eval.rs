//! `crystalline eval`: measures loss, perplexity and bits per byte of a model on a text.

use super::options::{PrecisionArg, parse_threads, threads};
use super::output::Force;
use super::quantity::{COUNT_MAX, perplexity, whole};
use super::say::lines;
use super::{input, logits, model};
use anyhow::{Result, bail};
use engine::formats::LoadedModel;
use engine::train::run::{TRAIN_NAME, rules_of_run};
use engine::train::{Measured, measure};
use kernels::Pool;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::corpus::{TokenFile, TokenSource};
use text::vocab::word_spans::{WordCounts, WordSpans};
use text::{counted, input_tokens};

/// Measure a model on a text: loss, perplexity, bits per byte.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline eval runs/book other.txt\n  crystalline eval runs/book other.txt --json"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// A text file; - is standard input.
    file: PathBuf,
    /// Number format of matrix products.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    precision: PrecisionArg,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
    /// Also measure on words that occur fewer than N times in the training text.
    #[arg(long, value_name = "N", value_parser = whole(0..=COUNT_MAX))]
    rare_below: Option<u64>,
    #[command(flatten)]
    nonfinite: model::NonFinite,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also write the logits of the text's first tokens to a safetensors file.
    #[arg(long, value_name = "FILE")]
    dump_logits: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

pub fn run(args: Args) -> Result<ExitCode> {
    args.dump_logits.iter().try_for_each(|path| args.force.check(path))?;
    let threads = threads(args.threads)?;
    let precision = args.precision.resolve();
    let mut pool = Pool::new(threads);
    let mut opened = model::open_any(&args.model, precision, &mut pool, args.nonfinite)?;
    let (rules, input) = (rules_of_run(&args.model)?, input::open(&args.file, "the text")?);
    let tokens = input_tokens(input, &opened.tokenizer, &rules, threads)?;
    if tokens.ids.len() < 2 {
        let n = counted(tokens.ids.len(), "token");
        bail!("{}: the text has {n}, too few to measure; give at least two", args.file.display());
    }
    let is_rare = args.rare_below.map(|n| is_rare(&args.model, &opened, n, &tokens.ids));
    let is_rare = is_rare.transpose()?;
    if let Some(path) = &args.dump_logits {
        let first = &tokens.ids[..tokens.ids.len().min(opened.model.max_len())];
        logits::dump(path, &opened, first, precision, &mut pool)?;
    }
    drop(pool);
    opened.model.inputs.add_words(&tokens.ids);
    let measure = |is_target: Option<&[bool]>| {
        measure(&opened.model, &opened.tokenizer, &tokens, is_target, threads)
    };
    let all = measure(None)?;
    let rare = is_rare.as_deref().map(|is_rare| measure(Some(is_rare))).transpose()?;
    report(&args, &opened.folder, &all, rare.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

/// For each token, true if its word occurs fewer than `n` times in the training text of the run.
fn is_rare(path: &Path, opened: &LoadedModel, n: u64, tokens: &[u32]) -> Result<Vec<bool>> {
    // The folder of the run, or of one of its checkpoints.
    let of_checkpoint = opened.folder.ancestors().nth(2);
    let paths = [Some(path), of_checkpoint].map(|dir| dir.map(|dir| dir.join(TRAIN_NAME)));
    let Some(path) = paths.into_iter().flatten().find(|path| path.is_file()) else {
        bail!(
            "{}: --rare-below needs the run that trained the model, for its text",
            path.display()
        );
    };
    let file = TokenFile::open(&path)?;
    if file.origin().tokenizer_hash != *opened.tokenizer.hash().as_bytes() {
        bail!("{}: its tokens are from a different tokeniser than the model's", path.display());
    }
    let mut ids = vec![0; TokenSource::len(&file)];
    file.read(0, &mut ids);
    Ok(WordCounts::new(WordSpans::new(&opened.tokenizer), &ids).is_below(n, tokens))
}

fn report(args: &Args, folder: &Path, all: &Measured, rare: Option<&Measured>) -> Result<()> {
    let mut out = lines();
    let (loss, bits, unknown) = (all.loss(), all.bits_per_byte(), all.counts.unknown_share());
    if args.json {
        let mut report = serde_json::json!({
            "loss_nats": loss, "perplexity": loss.exp(), "bits_per_byte": bits,
            "unknown_share": unknown, "tokens": all.sum.n_tok, "bytes": all.counts.n_bytes,
            "model": folder,
        });
        if let Some(rare) = rare {
            report["rare"] = serde_json::json!({
                "below": args.rare_below, "loss_nats": rare.loss(),
                "bits_per_byte": rare.bits_per_byte(), "tokens": rare.sum.n_tok,
                "bytes": rare.counts.n_bytes,
            });
        }
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(out, "loss           {loss:.4} nats per token")?;
    writeln!(out, "perplexity     {} per token", perplexity(loss))?;
    match bits {
        Some(bits) => writeln!(out, "bits per byte  {bits:.4}")?,
        None => writeln!(out, "bits per byte  none: unknown words are no text")?,
    }
    if unknown > 0.0 {
        writeln!(out, "unknown words  {:.2} % of the tokens", 100.0 * unknown)?;
    }
    writeln!(out, "measured on    {} tokens, {} bytes", all.sum.n_tok, all.counts.n_bytes)?;
    if let (Some(rare), Some(below)) = (rare, args.rare_below) {
        let bits =
            rare.bits_per_byte().map_or(String::new(), |b| format!("{b:.4} bits per byte, "));
        writeln!(out, "rare words     {bits}{:.4} nats per token", rare.loss())?;
        writeln!(
            out,
            "measured on    {} tokens, {} bytes, of words that occur fewer than {below} times in the training text",
            rare.sum.n_tok, rare.counts.n_bytes
        )?;
    }
    Ok(())
}
