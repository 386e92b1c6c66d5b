//! `crystalline chat`: a terminal loop; the model continues each line of the user.

use super::model;
use super::options::SamplingArgs;
use super::options::threads;
use super::say::say;
use anyhow::Result;
use engine::formats::LoadedModel;
use engine::generate::{Request, Session, Written, generate};
use kernels::Pool;
use std::io::{BufRead, IsTerminal, Write};
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
    talk(&opened, args.sampling.request(&opened.text_ends)?, &mut pool)
}

/// Reads lines until the input ends and prints a continuation of each.
///
/// A base model continues text, so each line starts a new text with an empty context. There is
/// nothing to save, so a signal ends the program.
pub fn talk(opened: &LoadedModel, mut request: Request, pool: &mut Pool) -> Result<ExitCode> {
    let is_person = std::io::stdin().is_terminal();
    if is_person {
        say!("Write the beginning of a text and press Enter; Ctrl-D ends.");
    }
    let precision = opened.model.model().packed.precision();
    let max_len = opened.model.max_len();
    let layout = opened.model.layout();
    let mut session = Session::within_memory(layout, precision, max_len, pool.threads())?;
    let mut line = String::new();
    loop {
        if is_person {
            eprint!("> ");
        }
        line.clear();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let prompt = line.trim_end();
        if prompt.is_empty() {
            continue;
        }
        let mut out = std::io::stdout().lock();
        write!(out, "{prompt}")?;
        session.rewind(0);
        let ids = opened.tokenizer.encode_ordinary(prompt);
        let mut result = Ok(());
        let mut report = |written: Written| {
            result = write!(out, "{}", written.text()).and_then(|()| out.flush());
            result.is_ok()
        };
        let model = opened.model.model();
        generate(&mut session, model, pool, &opened.tokenizer, &ids, &request, &mut report)?;
        result?;
        writeln!(out)?;
        request.sampling.seed = request.sampling.seed.wrapping_add(1);
    }
}
