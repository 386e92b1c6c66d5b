//! `crystalline vocab`: shows a vocabulary: classes, Ulam's spiral of ids, the most common parts.

use super::columns::fit;
use super::quantity::count;
use super::vocabulary;
use anyhow::{Result, bail};
use engine::vocabulary::Vocabulary;
use std::io::{Result as IoResult, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use text::thousands;
use text::vocab::Parts;

/// Show a model's vocabulary: classes, ids on Ulam's spiral, parts of words.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline vocab runs/book\n  crystalline vocab runs/book --class 3 --top 50"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// Show the tokens of this class and their codes.
    #[arg(long, value_name = "N", value_parser = count(0))]
    class: Option<usize>,
    /// Number of tokens to show per class, and of parts.
    #[arg(long, default_value_t = 20, value_parser = count(1))]
    top: usize,
}

/// Width of the output in columns.
const WIDTH: usize = 80;

/// Rings of the spiral around its centre: 121 ids.
const RINGS: i64 = 5;
/// Columns for the words that have a part: what the other columns leave.
const PART_WORDS: usize = WIDTH - 39;
/// Columns of a cell of the spiral.
const CELL: usize = 7;

pub fn run(args: Args) -> Result<ExitCode> {
    let vocabulary = vocabulary::open(&args.model)?;
    let mut out = std::io::stdout().lock();
    if let Some(class) = args.class {
        one_class(&mut out, &vocabulary, class, args.top)?;
        return Ok(ExitCode::SUCCESS);
    }
    let n_tokens = thousands(vocabulary.tokenizer.vocab_size());
    writeln!(out, "{n_tokens} tokens of a {} tokeniser", vocabulary.tokenizer.kind())?;
    spiral(&mut out, &vocabulary)?;
    match &vocabulary.paths {
        Some(_) => classes(&mut out, &vocabulary, args.top)?,
        None => {
            writeln!(out, "\nno classes: the output layer is one softmax (train --head factor)")?
        }
    }
    match &vocabulary.parts {
        Some(parts) => commonest_parts(&mut out, &vocabulary, parts, args.top)?,
        None => vocabulary::say_no_parts(&vocabulary),
    }
    Ok(ExitCode::SUCCESS)
}

/// The words of the first ids, laid out on Ulam's spiral.
fn spiral(out: &mut impl Write, vocabulary: &Vocabulary) -> IoResult<()> {
    let n_shown = (2 * RINGS + 1).pow(2);
    writeln!(
        out,
        "\nthe first {n_shown} ids on Ulam's spiral, from the centre to the right and up"
    )?;
    for y in (-RINGS..=RINGS).rev() {
        let cell = |x: i64| {
            let id = lattice::curves::spiral::number(x, y).and_then(|n| u32::try_from(n).ok());
            let id = id.filter(|&id| (id as usize) < vocabulary.tokenizer.vocab_size());
            fit(&id.map_or_else(String::new, |id| vocabulary.name(id)), CELL - 1) + " "
        };
        let line: String = (-RINGS..=RINGS).map(cell).collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One line per class: its prime, size, share of the text, and most frequent words.
fn classes(out: &mut impl Write, vocabulary: &Vocabulary, top: usize) -> IoResult<()> {
    let n_classes = vocabulary.classes().count();
    writeln!(out, "\n{n_classes} classes, words by decreasing frequency")?;
    let share_title = if vocabulary.counts.is_some() { "    text" } else { "" };
    writeln!(out, "class  prime   size{share_title}  words")?;
    for (number, class) in vocabulary.classes().enumerate() {
        let share =
            class.share.map_or_else(String::new, |share| format!("{:6.2} %", 100.0 * share));
        let start = format!("{number:5} {:6} {:6}{share}  ", class.prime, class.ids.len());
        let words = vocabulary::names(vocabulary, class.ids.take(top), WIDTH - start.len());
        writeln!(out, "{start}{words}")?;
    }
    Ok(())
}

/// The parts that most tokens have, by increasing prime.
fn commonest_parts(
    out: &mut impl Write,
    vocabulary: &Vocabulary,
    parts: &Parts,
    top: usize,
) -> IoResult<()> {
    let n_parts = thousands(parts.codes.features().len());
    writeln!(out, "\n{n_parts} parts of words, the most common first")?;
    writeln!(out, "prime  kind    part            tokens  words")?;
    for part in vocabulary.commonest_parts(top) {
        let (kind, shown) = (fit(part.kind.name(), 7), fit(&part.shown, 14));
        let words = vocabulary::names(vocabulary, part.holders.iter().copied(), PART_WORDS);
        writeln!(out, "{:5}  {kind} {shown} {:7}  {words}", part.prime, part.holders.len())?;
    }
    Ok(())
}

/// The tokens of one class, with their paths and codes as integers.
fn one_class(
    out: &mut impl Write,
    vocabulary: &Vocabulary,
    class: usize,
    top: usize,
) -> Result<()> {
    let Some(paths) = &vocabulary.paths else {
        bail!(
            "{}: no classes, since the output layer is one softmax; `crystalline train --head factor` \
             makes them",
            vocabulary.folder.path().display()
        );
    };
    if class >= paths.n_classes() {
        bail!("--class {class}: expected a number from 0 to {}", paths.n_classes() - 1);
    }
    let ids = paths.members(class);
    let prime = paths.path(ids.start).class_prime;
    writeln!(out, "class {class} of {}: {} tokens, prime {prime}", paths.n_classes(), ids.len())?;
    let count_title = if vocabulary.counts.is_some() { "    count" } else { "" };
    writeln!(out, "     id{count_title}  word              path                   parts")?;
    for id in ids.take(top) {
        let count = vocabulary
            .counts
            .as_ref()
            .map_or_else(String::new, |counts| format!(" {:8}", counts[id as usize]));
        let path = fit(&paths.path(id).code().to_string(), 21);
        let parts = vocabulary.parts.as_ref().map_or_else(String::new, |parts| {
            let code = &parts.primes.all()[id as usize];
            format!("{}: {code}", parts.all_shown(code).join(" "))
        });
        let line = format!("{id:7}{count}  {}  {path}  {parts}", fit(&vocabulary.name(id), 16));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
