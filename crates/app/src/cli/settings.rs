//! Settings of a run from the command line: flags of `train` override `--set`, which overrides a
//! settings file.
//!
//! Each group of flags serialises to a section of a settings file, its fields renamed to the keys there,
//! and is merged over the file. So no second list maps flags to settings.

use super::input;
use super::options::{PrecisionArg, parse_name};
use super::quantity::{COUNT_MAX, count, parse_seed, whole};
use anyhow::{Context, Result};
use engine::head::HeadName;
use engine::train::RunError;
use engine::train::settings::{Settings, TokenizerSettings};
use serde::Serialize;
use std::path::{Path, PathBuf};
use text::tokenizer::TokenizerKind;
use toml::{Table, Value};

/// Flags that set settings.
#[derive(Debug, clap::Args, Serialize)]
pub struct Flags {
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    tokenizer: TokenizerFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    vocab: VocabFlags,
    #[command(flatten)]
    train: TrainFlags,
}

#[derive(Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Text")]
struct DataFlags {
    /// Validation text, instead of holding out part of the training text.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)] // a path need not be UTF-8; `read` sets it
    valid: Option<PathBuf>,
    /// Share of the text to hold out for validation [default: 0.05].
    #[arg(long, value_name = "SHARE", conflicts_with = "valid")]
    holdout: Option<f64>,
    /// What stands between documents in a file [default: each file is one].
    #[arg(long, value_name = "TEXT")]
    separator: Option<String>,
    /// Replace bytes that are not UTF-8 by U+FFFD instead of failing.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replace_invalid_utf8: bool,
}

#[derive(Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Text")]
struct TokenizerFlags {
    /// Tokeniser: word, split, bpe, char or a FILE [default: word or char].
    #[arg(long, value_name = "KIND", value_parser = parse_tokenizer)]
    #[serde(skip)] // a kind or a path, two settings; `read` sets them
    tokenizer: Option<TokenizerArg>,
    /// Maximum vocabulary size [default: from the size of the text].
    #[arg(long, value_name = "N", value_parser = count(1))]
    #[serde(rename = "vocab_size")]
    vocab: Option<usize>,
}

#[derive(Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Model")]
struct ModelFlags {
    /// Model width [default: 96 to 384, from the size of the text].
    #[arg(long, value_name = "N", value_parser = count(1))]
    #[serde(rename = "model_dim")]
    dim: Option<usize>,
    /// Number of layers [default: 3 to 6, from the size of the text].
    #[arg(long, value_name = "N", value_parser = count(1))]
    #[serde(rename = "n_layers")]
    layers: Option<usize>,
    /// Attention heads [default: one per 32 of the width, per 64 from 384 on].
    #[arg(long, value_name = "N", value_parser = count(1))]
    #[serde(rename = "n_heads")]
    heads: Option<usize>,
    /// Training sequence length in tokens [default: 128].
    #[arg(long, value_name = "N", value_parser = count(1))]
    seq_len: Option<usize>,
}

#[derive(Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Model")]
struct VocabFlags {
    /// Output layer: full or factor [default: factor if expected to train 1.5x faster].
    #[arg(long, value_parser = parse_head)]
    head: Option<HeadName>,
}

#[derive(Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Training")]
struct TrainFlags {
    /// Batch size in sequences [default: 1,024 or 4,096 tokens].
    #[arg(long, value_name = "N", value_parser = count(1))]
    #[serde(rename = "batch_seqs")]
    batch: Option<usize>,
    /// Peak learning rate [default: 0.005, less for a model wider than 128].
    #[arg(long)]
    lr: Option<f32>,
    /// Residual dropout, from 0 to below 1 [default: 0.1 above 4 epochs, else 0].
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f32>,
    /// Seed for weights, data order and dropout [default: 1].
    #[arg(long, value_parser = parse_seed)]
    seed: Option<u64>,
    /// Number format of matrix products: f32, bf16 or auto.
    #[arg(
        long,
        help_heading = "Machine",
        value_name = "FORMAT",
        default_value = "auto",
        hide_possible_values = true
    )]
    #[serde(skip_serializing_if = "PrecisionArg::is_auto")]
    precision: PrecisionArg,
    /// Data-parallel lanes; affect the result [default: 2 to 8, from the batch].
    #[arg(long, help_heading = "Machine", value_name = "N", value_parser = count(1))]
    #[serde(rename = "n_lanes")]
    lanes: Option<usize>,
    /// Prompt of the samples [default: none].
    #[arg(long, help_heading = "While it trains", value_name = "TEXT")]
    #[serde(rename = "sample_prompt")]
    prompt: Option<String>,
    /// Steps between evaluations [default: a twelfth of the run].
    #[arg(long, help_heading = "While it trains", value_name = "STEPS", value_parser = whole(0..=COUNT_MAX))]
    eval_every: Option<u64>,
    /// Steps between checkpoints [default: a sixth of the run].
    #[arg(long, help_heading = "While it trains", value_name = "STEPS", value_parser = whole(0..=COUNT_MAX))]
    save_every: Option<u64>,
    /// Steps between samples [default: a sixth of the run].
    #[arg(long, help_heading = "While it trains", value_name = "STEPS", value_parser = whole(0..=COUNT_MAX))]
    sample_every: Option<u64>,
}

/// `--tokenizer`: a kind to train, or a tokeniser to use.
#[derive(Clone, Debug)]
enum TokenizerArg {
    Kind(TokenizerKind),
    File(PathBuf),
}

/// Parses `--tokenizer`. A name of a kind is that kind; a file of that name is `./word`.
fn parse_tokenizer(name: &str) -> Result<TokenizerArg, String> {
    let path = Path::new(name);
    match parse_name::<TokenizerKind>(name) {
        Ok(kind) => Ok(TokenizerArg::Kind(kind)),
        Err(_) if path.exists() => Ok(TokenizerArg::File(path.to_owned())),
        Err(error) => Err(format!(
            "{error}, or the path of a tokenizer.json or of a folder with one; there is no such file"
        )),
    }
}

/// Parses `--head`, which offers two of the output layers; the others are research settings.
fn parse_head(name: &str) -> Result<HeadName, String> {
    match name {
        "adaptive" | "sampled" => Err(format!(
            "that is a setting now: --set vocab.head={name}, or head = {name:?} under [vocab] in a \
             file given by --config"
        )),
        "full" | "factor" => parse_name::<HeadName>(name),
        _ => Err("expected one of `full`, `factor`".to_owned()),
    }
}

/// One `--set`: a setting, nested in the tables of its sections.
pub type Setting = Table;

/// Parses `section.key=value`; a value that is not valid TOML is taken as a string.
///
/// # Errors
/// If the key does not exist or the value does not fit it; the message says what is expected.
pub fn parse_setting(text: &str) -> Result<Setting, String> {
    let (key, value) =
        text.split_once('=').ok_or("expected a key and a value, such as vocab.compose=true")?;
    let parsed = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let value = parsed.and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text[key.len() + 1..].to_owned()));
    let tables = key
        .trim()
        .rsplit('.')
        .fold(value, |value, part| Value::Table(Table::from_iter([(part.to_owned(), value)])));
    match tables {
        Value::Table(setting) => {
            let checked: Result<Settings, toml::de::Error> = setting.clone().try_into();
            checked.map(|_| setting).map_err(|error| in_words(error.message()))
        }
        _ => unreachable!("a key has a part at least"),
    }
}

/// Reads the settings of a run: `file`, overridden by `set`, overridden by `files` and `flags`.
///
/// # Errors
/// If the file cannot be read or is not a settings file.
pub fn read(
    file: Option<&Path>,
    set: &[Setting],
    files: &[PathBuf],
    flags: &Flags,
) -> Result<Settings> {
    let mut all = file.map_or(Ok(Table::new()), read_file)?;
    for setting in set {
        lay_over(&mut all, setting.clone());
    }
    let flags_table = Table::try_from(flags)
        .context("a number is above 9223372036854775807, the largest that settings can hold")?;
    lay_over(&mut all, flags_table);
    let mut settings: Settings = all.try_into()?;
    if !files.is_empty() {
        settings.data.files = Some(files.to_vec());
    }
    // A tokeniser is one thing: what the flag says replaces all that a file says of it.
    let tokenizer = &mut settings.tokenizer;
    match &flags.tokenizer.tokenizer {
        None => {}
        Some(TokenizerArg::Kind(kind)) => {
            (tokenizer.kind, tokenizer.file, tokenizer.blake3) = (Some(*kind), None, None);
        }
        Some(TokenizerArg::File(file)) => {
            let vocab_size = flags.tokenizer.vocab;
            *tokenizer = TokenizerSettings {
                file: Some(file.clone()),
                vocab_size,
                ..TokenizerSettings::default()
            };
        }
    }
    if flags.data.valid.is_some() {
        settings.data.valid.clone_from(&flags.data.valid);
    }
    let measures_nothing = settings.data.valid.is_none() && settings.data.holdout == Some(0.0);
    if let (Some(steps), true) = (flags.train.eval_every, measures_nothing) {
        return Err(RunError::Setting {
            field: "train.eval_every",
            found: steps.to_string(),
            expected: "no value, since nothing is held out to measure on (data.holdout = 0)"
                .to_owned(),
        }
        .into());
    }
    Ok(settings)
}

/// Reads a settings file and checks its keys and types; values are checked after merging.
fn read_file(path: &Path) -> Result<Table> {
    let text = input::settings(path)?;
    let checked = toml::from_str::<Settings>(&text).and_then(|_| text.parse());
    checked.map_err(|error| {
        let (path, message) = (path.to_owned(), in_words(&error.to_string()));
        RunError::ConfigFile { path, message }.into()
    })
}

/// A message of the TOML library with the names of Rust's types in words.
fn in_words(message: &str) -> String {
    let mut message = message.to_owned();
    let whole = "expected a whole number, 0 or more";
    for (name, words) in [
        ("expected usize", whole),
        ("expected u64", whole),
        ("expected u32", whole),
        ("unknown variant", "unknown value"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list, such as [1, 2]"),
    ] {
        message = message.replace(name, words);
    }
    message
}

/// Merges `over` into `under`, key by key; where both have a key, the value of `over` wins.
fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
