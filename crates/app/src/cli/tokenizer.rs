//! `crystalline tokenizer`: make one, and see what it does.

use super::model;
use super::options::{parse_name, threads};
use super::say::say;
use anyhow::{Context, Result};
use engine::disk::{RealFs, commit_file};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};
use text::vocab::{CODES_NAME, codes_json, learn_codes};

/// Make a tokeniser, and see what it does to a text.
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
        /// word, split, bpe or char.
        #[arg(long, default_value = "word", value_parser = parse_name::<TokenizerKind>)]
        kind: TokenizerKind,
        /// Largest vocabulary.
        #[arg(long)]
        vocab: Option<usize>,
        /// Rarer words and characters get no token of their own.
        #[arg(long)]
        min_count: Option<u64>,
        /// The file to write.
        #[arg(long, default_value = "tokenizer.json")]
        out: PathBuf,
    },
    /// Text to ids, on stdout; from stdin if no text is given.
    Encode {
        /// tokenizer.json, a run or a model folder.
        tokenizer: PathBuf,
        /// The text.
        text: Option<String>,
    },
    /// Ids to text.
    Decode {
        /// tokenizer.json, a run or a model folder.
        tokenizer: PathBuf,
        /// The ids.
        ids: Vec<u32>,
    },
    /// A text's tokens, one a line, or the vocabulary's size.
    Show {
        /// tokenizer.json, a run or a model folder.
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
    let mut control = Control::threads(threads(None));
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

/// A tokenizer.json itself, or that of a run or model folder.
fn load(path: &Path) -> Result<Tokenizer> {
    let path = match path.is_dir() {
        true if path.join("tokenizer.json").is_file() => path.join("tokenizer.json"),
        true => return Ok(model::folder(path)?.tokenizer()?),
        false => path.to_owned(),
    };
    Ok(Tokenizer::load(&path)?)
}

fn text_or_stdin(text: Option<String>) -> Result<String> {
    if let Some(text) = text {
        return Ok(text);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).context("cannot read stdin as UTF-8")?;
    Ok(text)
}
