//! `crystalline generate`: continues a prompt.

use super::model;
use super::options::{SamplingArgs, threads};
use super::say::say;
use anyhow::Result;
use engine::generate::{Request, Session, Written, generate};
use kernels::Pool;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Continue a text with a model.
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
    /// Print a line of JSON per token instead of the text: id, token, and the natural logarithm of
    /// its probability, before temperature and the other sampling settings.
    #[arg(long)]
    log_probs: bool,
    /// Print token counts and speed on stderr.
    #[arg(short, long)]
    verbose: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let threads = threads(args.sampling.threads)?;
    let mut pool = Pool::new(threads);
    let precision = args.sampling.precision.resolve();
    let opened = model::open(&args.model, precision, &mut pool)?;
    let ids = opened.tokenizer.encode_ordinary(&args.prompt);
    let request = args.sampling.request(&opened.text_ends)?;
    // No longer than the text can get, since a model's context can be longer than memory.
    let needed = ids.len().saturating_add(request.max_tokens).saturating_add(1);
    let max_len = opened.model.max_len().min(needed);
    let mut session = Session::within_memory(opened.model.layout(), precision, max_len, threads)?;
    let request = Request { log_probs: args.log_probs, ..request };
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
            "{} prompt tokens, {} generated, {:.0} tokens/s, {:?}, from {}",
            usage.prompt_tokens,
            usage.new_tokens,
            (usage.prompt_tokens + usage.new_tokens) as f64 / seconds,
            usage.finish,
            opened.folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
