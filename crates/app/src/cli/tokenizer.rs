//! `crystalline tokenizer`: trains a tokeniser and applies it to text.

use super::model;
use super::options::{parse_name, threads};
use super::quantity::{COUNT_MAX, count, whole};
use super::say::say;
use anyhow::{Context, Result};
use engine::disk::{RealFs, commit_file};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};
use text::vocab::{CODES_NAME, codes_json, learn_codes};

/// Train a tokeniser and apply it to text.
#[derive(Debug, clap::Subcommand)]
#[command(
    before_help = "Examples:\n  crystalline tokenizer train book.txt --kind bpe --out tok.json\n  crystalline tokenizer show runs/book \"Hello there\""
)]
pub enum Command {
    /// Learn a vocabulary from text files.
    Train {
        /// Text files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Tokeniser: word, split, bpe or char.
        #[arg(long, default_value = "word", value_parser = parse_name::<TokenizerKind>)]
        kind: TokenizerKind,
        /// Maximum vocabulary size.
        #[arg(long, value_parser = count(1))]
        vocab: Option<usize>,
        /// Occurrences that a word or character needs for a token of its own.
        #[arg(long, value_parser = whole(1..=COUNT_MAX))]
        min_count: Option<u64>,
        /// Output file.
        #[arg(long, default_value = "tokenizer.json")]
        out: PathBuf,
    },
    /// Print the token ids of a text, given or from stdin.
    Encode {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// The text.
        text: Option<String>,
    },
    /// Print the text of token ids.
    Decode {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// Token ids.
        ids: Vec<u32>,
    },
    /// Print the tokens of a text, one per line; without a text, the kind and the vocabulary size.
    Show {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// The text.
        text: Option<String>,
    },
}

pub fn run(command: Command) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Train { files, kind, vocab, min_count, out: path } => {
            let mut options = TrainOptions::new(kind);
            options.vocab_size = vocab.unwrap_or(options.vocab_size);
            options.min_count = min_count.unwrap_or(options.min_count);
            train(&files, &options, &path)?;
        }
        Command::Encode { tokenizer, text } => {
            let ids = load(&tokenizer)?.encode(&text_or_stdin(text)?);
            let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
            writeln!(out, "{}", ids.join(" "))?;
        }
        Command::Decode { tokenizer, ids } => writeln!(out, "{}", load(&tokenizer)?.decode(&ids))?,
        Command::Show { tokenizer, text } => {
            let tokenizer = load(&tokenizer)?;
            match text {
                None => writeln!(
                    out,
                    "{} tokeniser, {} tokens",
                    tokenizer.kind(),
                    tokenizer.vocab_size()
                )?,
                Some(text) => {
                    for id in tokenizer.encode(&text) {
                        writeln!(out, "{id:>7}  {}", tokenizer.token_text(id))?;
                    }
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn train(files: &[PathBuf], options: &TrainOptions, path: &Path) -> Result<()> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let texts: Vec<String> = files.iter().map(read).collect::<Result<_>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut control = Control::threads(threads(None)?);
    let tokenizer = Tokenizer::train(options, &texts, &mut control)?;
    commit_file(&RealFs, path, &tokenizer.to_json())?;
    say!("{} tokens, written to {}", tokenizer.vocab_size(), path.display());
    if tokenizer.kind().is_word_level() {
        let counts = tokenizer.count_words(&texts, &mut control)?;
        let codes = learn_codes(&tokenizer, Some(&counts), &mut control)?;
        let path = path.with_file_name(CODES_NAME);
        commit_file(&RealFs, &path, &codes_json(&codes, &tokenizer))?;
        say!("{} parts of words, written to {}", codes.features().len(), path.display());
    }
    Ok(())
}

/// Loads a tokenizer.json, or that of a run's folder or model folder.
fn load(path: &Path) -> Result<Tokenizer> {
    if !path.is_dir() {
        return Ok(Tokenizer::load(path)?);
    }
    let file = path.join("tokenizer.json");
    if file.is_file() {
        return Ok(Tokenizer::load(&file)?);
    }
    Ok(model::folder(path)?.tokenizer()?)
}

fn text_or_stdin(text: Option<String>) -> Result<String> {
    if let Some(text) = text {
        return Ok(text);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).context("cannot read stdin as UTF-8")?;
    Ok(text)
}
