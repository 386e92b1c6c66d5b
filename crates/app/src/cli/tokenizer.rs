//! `crystalline tokenizer`: trains a tokeniser and applies it to text.

use super::options::{parse_name, threads};
use super::output::Force;
use super::quantity::{COUNT_MAX, count, whole};
use super::say::{out, say, shown_on_line};
use super::{input, notices};
use anyhow::Result;
use engine::disk::{RealFs, commit_file};
use engine::formats::ModelFolder;
use engine::train::events::Notice;
use engine::train::run::NEW_TEXT;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::corpus::{Error, InputText, TextRules};
use text::counted;
use text::tokenizer::{Control, TextError, Tokenizer, TokenizerKind, TrainOptions};
use text::vocab::{CODES_NAME, codes_json, learn_codes};

/// Train a tokeniser and apply it to text.
#[derive(Debug, clap::Subcommand)]
#[command(
    before_help = "Examples:\n  crystalline tokenizer train book.txt --kind bpe --out tok.json\n  crystalline tokenizer show runs/book \"Hello there\""
)]
pub enum Command {
    /// Learn a vocabulary from text files.
    Train {
        /// Text files; - is standard input.
        #[arg(required = true, value_name = "FILE")]
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
        /// Output file; parts of words go to codes.json beside it, or to NAME.codes.json.
        #[arg(long, default_value = "tokenizer.json")]
        out: PathBuf,
        #[command(flatten)]
        force: Force,
    },
    /// Print the token ids of a text; the name of a special token, such as `<|endoftext|>`, is that token.
    ///
    /// Training and prompts read such a name as ordinary text.
    Encode {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// The text; - reads it from standard input.
        #[arg(default_value = "-")]
        text: String,
    },
    /// Print the text of token ids.
    Decode {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// Token ids; - reads them from standard input.
        #[arg(default_value = "-")]
        ids: Vec<String>,
    },
    /// Print the tokens of a text, as `encode` reads it, one per line; without a text, the kind and
    /// the vocabulary size.
    Show {
        /// A tokenizer.json, a run's folder or a model folder.
        tokenizer: PathBuf,
        /// The text; - reads it from standard input.
        text: Option<String>,
    },
}

pub fn run(command: Command) -> Result<ExitCode> {
    let mut out = out();
    match command {
        Command::Train { files, kind, vocab, min_count, out: path, force } => {
            let codes = kind.is_word_level().then(|| codes_path(&path));
            [Some(&path), codes.as_ref()].into_iter().flatten().try_for_each(|p| force.check(p))?;
            let mut options = TrainOptions::new(kind);
            options.vocab_size = vocab.unwrap_or(options.vocab_size);
            options.min_count = min_count.unwrap_or(options.min_count);
            train(&files, &options, &path)?;
        }
        Command::Encode { tokenizer, text } => {
            let ids = load(&tokenizer)?.encode(&text_of(&text)?);
            let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
            writeln!(out, "{}", ids.join(" "))?;
        }
        Command::Decode { tokenizer, ids } => {
            let tokenizer = load(&tokenizer)?;
            let ids = parse_ids(&ids)?;
            tokenizer.check_ids(&ids)?;
            writeln!(out, "{}", tokenizer.decode(&ids))?;
        }
        Command::Show { tokenizer, text } => {
            let tokenizer = load(&tokenizer)?;
            match text {
                None => {
                    let n_tokens = counted(tokenizer.vocab_size(), "token");
                    writeln!(out, "{} tokeniser, {n_tokens}", tokenizer.kind())?;
                }
                Some(text) => {
                    for id in tokenizer.encode(&text_of(&text)?) {
                        writeln!(out, "{id:>7}  {}", shown_on_line(&tokenizer.token_text(id)))?;
                    }
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn train(files: &[PathBuf], options: &TrainOptions, path: &Path) -> Result<()> {
    let (mut texts, mut empty) = (Vec::new(), Vec::new());
    let (mut n_line_ends, mut n_composed) = (0, 0);
    for file in files {
        let InputText { text, changes } = input::open(file, "the text")?.text(NEW_TEXT)?;
        if text.is_empty() {
            empty.push(file.clone());
        } else {
            texts.push(text);
        }
        n_line_ends += changes.n_line_ends;
        n_composed += changes.n_composed;
    }
    if texts.is_empty() {
        return Err(Error::Empty { path: empty.swap_remove(0) }.into());
    }
    let mut notices = Vec::new();
    notices.extend((!empty.is_empty()).then_some(Notice::EmptyFiles { files: empty }));
    notices.extend((n_line_ends > 0).then_some(Notice::LineEnds { n: n_line_ends }));
    notices.extend((n_composed > 0).then_some(Notice::Composed { n: n_composed }));
    notices.iter().for_each(|notice| say!("{}", notices::words(notice)));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut control = Control::threads(threads(None)?);
    let tokenizer = Tokenizer::train(options, &texts, &mut control)?;
    commit_file(&RealFs, path, &tokenizer.to_json())?;
    say!("{}, written to {}", counted(tokenizer.vocab_size(), "token"), path.display());
    if tokenizer.kind().is_word_level() {
        let counts = tokenizer.count_words(&texts, &mut control)?;
        let codes = learn_codes(&tokenizer, Some(&counts), &mut control)?;
        let path = codes_path(path);
        commit_file(&RealFs, &path, &codes_json(&codes, &tokenizer))?;
        let n_parts = counted(codes.features().len(), "part");
        say!("{n_parts} of words, written to {}", path.display());
    }
    Ok(())
}

/// Where the codes of a tokeniser's words go: beside `tokenizer.json` under the name that they have
/// in a model folder, otherwise under a name of the tokeniser's own.
fn codes_path(path: &Path) -> PathBuf {
    if path.file_name().is_some_and(|name| name == "tokenizer.json") {
        return path.with_file_name(CODES_NAME);
    }
    path.with_extension(CODES_NAME)
}

/// Loads a tokenizer.json, or that of a run's folder or model folder.
fn load(path: &Path) -> Result<Tokenizer> {
    Ok(ModelFolder::tokenizer_at(path)?)
}

/// A text given or from standard input, as it is.
fn text_of(given: &str) -> Result<String> {
    input::text_or_standard_input(given, "the text", TextRules::default())
}

/// Parses ids given or from standard input.
fn parse_ids(given: &[String]) -> Result<Vec<u32>> {
    let read: Vec<String> = given
        .iter()
        .map(|part| input::text_or_standard_input(part, "token ids", TextRules::default()))
        .collect::<Result<_>>()?;
    let words = read.iter().flat_map(|part| part.split_whitespace());
    let parse = |(word, position): (&str, usize)| {
        word.parse().map_err(|_| TextError::NoId { found: word.to_owned(), position })
    };
    Ok(words.zip(1..).map(parse).collect::<Result<_, TextError>>()?)
}
