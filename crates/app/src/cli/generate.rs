//! `crystalline generate`: continues a prompt.

use super::options::{SamplingArgs, threads};
use super::say::{out, say};
use super::{input, model};
use anyhow::Result;
use engine::generate::{Finish, Prompt, Request, Session, Usage, Written, generate};
use engine::train::run::NEW_TEXT;
use kernels::Pool;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use text::corpus::STANDARD_INPUT;
use text::counted;

/// Continue a text with a model.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline generate runs/book \"Once upon a time\"\n  crystalline generate runs/book \"The\" --temperature 0 --max-tokens 50\n  crystalline generate runs/book --prompt-file start.txt"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// The text to continue; - reads it from standard input.
    #[arg(default_value = "")]
    prompt: String,
    /// File with the text to continue; a line end at its end is left out.
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompt_file: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print a line of JSON per token instead of the text: id, token, and the natural logarithm of
    /// its probability, before temperature and the other sampling settings.
    #[arg(long)]
    log_probs: bool,
    #[command(flatten)]
    nonfinite: model::NonFinite,
    /// Print token counts and speed on stderr.
    #[arg(short, long)]
    verbose: bool,
}

/// The text to continue, before the model's rules of reading.
fn prompt(args: &Args) -> Result<String> {
    let what = "the text to continue";
    let input = match &args.prompt_file {
        Some(path) => input::open(path, what)?,
        None if args.prompt == STANDARD_INPUT => input::standard_input(what),
        None => return Ok(args.prompt.clone()),
    };
    let text = input.text(NEW_TEXT)?.text;
    // What ends the last line begins no other.
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Says what the model does not see of a prompt.
pub fn say_left_out(prompt: &Prompt, max_len: usize) {
    let n = prompt.n_left_out(max_len);
    if n > 0 {
        say!(
            "the prompt has {} tokens, the model's context holds {max_len}: the first {n} are left \
             out",
            prompt.ids.len()
        );
    }
}

/// Says that the model took the prompt for a whole text, if so.
pub fn say_ended_at_once(usage: &Usage) {
    if usage.new_tokens == 0 && usage.finish == Finish::EndOfText {
        say!("the model ended the text at once; to have it go on, add --ignore-end");
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let given = prompt(&args)?;
    let threads = threads(args.sampling.threads)?;
    let mut pool = Pool::new(threads);
    let precision = args.sampling.precision.resolve();
    let opened = model::open_any(&args.model, precision, &mut pool, args.nonfinite)?;
    let given = input::as_model_reads(&opened.folder, &given)?;
    let prompt = Prompt::new(&opened.tokenizer, &given);
    let request = args.sampling.request(&opened.text_ends)?;
    let (log_probs, owes_blank) = (args.log_probs, prompt.owes_blank);
    let request = Request { log_probs, owes_blank, ..request };
    say_left_out(&prompt, opened.model.max_len());
    if args.sampling.draws_seed() {
        say!("seed {}", request.sampling.seed);
    }
    // No longer than the text can get, since a model's context can be longer than memory.
    let needed = prompt.ids.len().saturating_add(request.max_tokens).saturating_add(1);
    let max_len = opened.model.max_len().min(needed);
    let mut session = Session::within_memory(opened.model.layout(), precision, max_len, threads)?;
    let mut out = out();
    if !args.log_probs {
        write!(out, "{given}")?;
    }
    let began = Instant::now();
    let mut result = Ok(());
    let usage = generate(
        &mut session,
        opened.model.model(),
        &mut pool,
        &opened.tokenizer,
        &prompt.ids,
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
    say_ended_at_once(&usage);
    if args.verbose {
        let seconds = began.elapsed().as_secs_f64();
        say!(
            "{} in the prompt, {} written, {:.0} tokens/s; {}; model {}",
            counted(usage.prompt_tokens, "token"),
            counted(usage.new_tokens, "token"),
            (usage.prompt_tokens + usage.new_tokens) as f64 / seconds,
            ended(usage.finish),
            opened.folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a text ends there.
fn ended(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "ended at the limit of --max-tokens or of the context",
        Finish::Stop => "ended before a --stop string",
        Finish::EndOfText => "the model ended the text",
        Finish::Cancelled => "interrupted",
    }
}
