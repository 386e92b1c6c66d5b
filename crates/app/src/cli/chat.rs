//! `crystalline chat`: a terminal loop; the model continues each line of the user.

use super::generate::{say_ended_at_once, say_left_out};
use super::lines::read_line;
use super::model;
use super::options::{SamplingArgs, threads};
use super::say::{out, prompt as say_prompt, say};
use anyhow::Result;
use engine::formats::LoadedModel;
use engine::generate::{Prompt, Request, Session, Written, generate};
use engine::train::run::prompt_rules;
use kernels::Pool;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Talk to a model in the terminal.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline chat runs/book\n  echo \"Once upon a time\" | crystalline chat runs/book --seed 1"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    #[command(flatten)]
    sampling: SamplingArgs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let threads = threads(args.sampling.threads)?;
    let mut pool = Pool::new(threads);
    let precision = args.sampling.precision.resolve();
    let opened = model::open(&args.model, precision, &mut pool)?;
    let request = args.sampling.request(&opened.text_ends)?;
    if args.sampling.draws_seed() {
        say!("seed {} for the first text, one more for each after it", request.sampling.seed);
    }
    talk(&opened, request, &mut pool)
}

/// Reads lines until the input ends and prints a continuation of each.
///
/// A base model continues text, so each line starts a new text with an empty context. A line that is
/// no text is passed over. There is nothing to save, so a signal ends the program.
pub fn talk(opened: &LoadedModel, mut request: Request, pool: &mut Pool) -> Result<ExitCode> {
    let is_person = std::io::stdin().is_terminal();
    if is_person {
        say!("Write the beginning of a text and press Enter; Ctrl-D ends.");
    }
    let precision = opened.model.model().packed.precision();
    let max_len = opened.model.max_len();
    let layout = opened.model.layout();
    let mut session = Session::within_memory(layout, precision, max_len, pool.threads())?;
    let rules = prompt_rules(&opened.folder)?;
    let mut is_last = false;
    while !is_last {
        if is_person {
            say_prompt("> ");
        }
        let Some(line) = read_line(&mut std::io::stdin().lock(), rules)? else { break };
        is_last = line.is_last;
        let text = match line.text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(error) => {
                say!("{error}; the line is passed over");
                continue;
            }
        };
        let mut out = out();
        write!(out, "{text}")?;
        session.rewind(0);
        let prompt = Prompt::new(&opened.tokenizer, &text);
        say_left_out(&prompt, max_len);
        request.owes_blank = prompt.owes_blank;
        let mut result = Ok(());
        let mut report = |written: Written| {
            result = write!(out, "{}", written.text()).and_then(|()| out.flush());
            result.is_ok()
        };
        let model = opened.model.model();
        let tokenizer = &opened.tokenizer;
        let usage =
            generate(&mut session, model, pool, tokenizer, &prompt.ids, &request, &mut report)?;
        result?;
        writeln!(out)?;
        say_ended_at_once(&usage);
        request.sampling.seed = request.sampling.seed.wrapping_add(1);
    }
    Ok(ExitCode::SUCCESS)
}
