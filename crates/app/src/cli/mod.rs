//! Command line: one file per command; errors are printed here.

mod arguments;
mod bench;
mod chat;
mod columns;
mod convert;
mod data;
mod demo;
mod eval;
mod factor;
mod failure;
mod generate;
mod input;
mod inspect;
mod lines;
mod logits;
pub mod model;
mod moved;
mod notices;
mod options;
mod output;
mod progress;
mod quantity;
mod remedies;
mod resume;
mod say;
mod settings;
mod signals;
mod similar;
mod tokenizer;
mod train;
mod vocab;
mod vocabulary;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use say::say;
use std::process::ExitCode;

/// Train a language model on your CPU and talk to it.
#[derive(Debug, Parser)]
#[command(version, about, before_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  crystalline demo                            train a model on built-in stories
  crystalline train book.txt --time 10m       train on your own text
  crystalline generate runs/book \"Once upon\"  continue a text
  crystalline chat runs/book                  talk to it";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Train(Box<train::Args>),
    Resume(resume::Args),
    Generate(generate::Args),
    Chat(chat::Args),
    Eval(eval::Args),
    Convert(convert::Args),
    Inspect(inspect::Args),
    Vocab(vocab::Args),
    Similar(similar::Args),
    Factor(factor::Args),
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
    #[command(subcommand)]
    Data(data::Command),
    Bench(bench::Args),
}

/// Parses the command line and runs the command; returns its exit code.
pub fn main() -> ExitCode {
    let arguments = arguments::settle(std::env::args_os().collect(), &Cli::command());
    let parsed = Cli::command().try_get_matches_from(&arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // Help and the version, which hold no text of the user.
        Err(error) if !error.to_string().starts_with("error:") => error.exit(),
        Err(error) => {
            let moved = moved::remedy(&error).map(|remedy| format!("error: {remedy}"));
            say!("{}", moved.unwrap_or_else(|| arguments::refusal(&error)));
            return ExitCode::from(2);
        }
    };
    if let Err(message) = kernels::isa::requested() {
        say!("error: {message}");
        return ExitCode::from(2);
    }
    if let Err(error) = signals::survive_file_limits() {
        say!("error: {}", failure::reasons(&error));
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Train(args) => train::run(*args),
        Command::Resume(args) => resume::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Vocab(args) => vocab::run(args),
        Command::Similar(args) => similar::run(args),
        Command::Factor(args) => factor::run(args),
        Command::Tokenizer(command) => tokenizer::run(command),
        Command::Data(command) => data::run(command),
        Command::Bench(args) => bench::run(args),
    };
    result.unwrap_or_else(|error| report(&error))
}

/// Ends the program after the system refused memory, which the checks before any work did not
/// foresee. Files are as after a kill: whole.
pub fn memory_exhausted(bytes: usize) -> ! {
    say!(
        "error: memory is used up: the system refused another {} KiB; close other programs, raise the limit \
         (`ulimit -v`), or take a smaller text or model; a run that was saved can be resumed",
        bytes >> 10
    );
    signals::exit_now(1)
}

/// Prints the error and its remedy; returns the exit code of its kind.
fn report(error: &anyhow::Error) -> ExitCode {
    // The reader closed the pipe, as `head` does: not a failure.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    // An I/O error without context is from a standard stream: errors of files carry their path.
    if error.is::<std::io::Error>() && error.chain().count() == 1 {
        say!("error: cannot read or write a standard stream: {error}");
    } else {
        // Indented, so that no name with a line end in it begins a line.
        say!("error: {}", failure::reasons(error).replace('\n', "\n  "));
    }
    let command = std::env::args_os().nth(1).unwrap_or_default();
    let command = command.to_string_lossy();
    if let Some(remedy) = failure::code(error).and_then(|code| remedies::remedy(code, &command)) {
        say!("  {remedy}");
    }
    ExitCode::from(failure::exit_code(error))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}
