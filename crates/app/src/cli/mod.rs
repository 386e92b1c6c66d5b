//! The command line: one file a command, one place that prints errors.

mod bench;
mod chat;
mod columns;
mod convert;
mod data;
mod demo;
mod eval;
mod factor;
mod file_tokens;
mod generate;
mod inspect;
mod logits;
mod measure;
pub mod model;
mod progress;
mod quantity;
mod resume;
mod say;
mod signals;
mod similar;
mod tokenizer;
mod train;
mod vocab;
mod vocabulary;

use clap::{Parser, Subcommand};
use say::say;
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::process::ExitCode;

/// Train a language model of your own on the CPU you have, and talk to it.
#[derive(Debug, Parser)]
#[command(version, about, before_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  crystalline demo                            watch a model learn for a minute
  crystalline train book.txt --time 10m       train on a text of yours
  crystalline generate runs/book \"Once upon\"  let it write
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

/// Runs the command that was typed; the exit code says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(message) = kernels::isa::requested() {
        say!("error: {message}");
        return ExitCode::from(2);
    }
    if let Err(error) = signals::survive_file_limits() {
        say!("error: {error:#}");
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
    match result {
        Ok(code) => code,
        // The reader of our output left: nothing to say, and nobody to say it to.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        // On its own it is of a standard stream: whatever has a path comes with it.
        Err(error) if error.is::<std::io::Error>() && error.chain().count() == 1 => {
            say!("error: cannot read or write a standard stream: {error}");
            ExitCode::from(exit_code(&error))
        }
        Err(error) => {
            say!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn is_disk_full(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let is_full = |io: &std::io::Error| matches!(io.kind(), StorageFull | QuotaExceeded);
    let saving = error.downcast_ref::<engine::train::RunError>();
    matches!(saving, Some(engine::train::RunError::Save(error)) if error.is_no_space())
        || error.chain().any(|cause| cause.downcast_ref().is_some_and(is_full))
}

/// 2 where the user asked for something that cannot be, 28 for a full disk, else 1.
fn exit_code(error: &anyhow::Error) -> u8 {
    use engine::disk::LoadError;
    use engine::train::RunError;
    match error.downcast_ref::<RunError>() {
        _ if is_disk_full(error) => 28,
        Some(
            RunError::Setting { .. }
            | RunError::Config(_)
            | RunError::ConfigFile { .. }
            | RunError::TooLarge { .. }
            | RunError::CorpusChanged { .. }
            | RunError::Exists { .. }
            | RunError::Load(LoadError::Mismatch { .. }),
        ) => 2,
        _ => 1,
    }
}

/// A value by the name that it has in files; a complaint lists the names there are.
fn parse_name<T: DeserializeOwned>(name: &str) -> Result<T, serde::de::value::Error> {
    T::deserialize(name.into_deserializer())
}

/// Threads to use: as many as the machine has cores for us, unless told otherwise.
fn threads(given: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    given.unwrap_or_else(cores).clamp(1, 1024)
}
