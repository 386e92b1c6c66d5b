//! `crystalline vocab`: shows a vocabulary: classes, Ulam's spiral of ids, the most common parts.

use super::columns::fit;
use super::vocabulary::Vocabulary;
use anyhow::{Result, bail};
use std::io::{Result as IoResult, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use text::thousands;
use text::vocab::{Parts, PathCodes};

/// Show a model's vocabulary: classes, ids on Ulam's spiral, parts of words.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline vocab runs/book\n  crystalline vocab runs/book --class 3 --top 50"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// Show the tokens of this class and their codes.
    #[arg(long, value_name = "N")]
    class: Option<usize>,
    /// Number of tokens to show per class, and of parts.
    #[arg(long, default_value_t = 20)]
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
    let vocabulary = Vocabulary::open(&args.model)?;
    let mut out = std::io::stdout().lock();
    if let Some(class) = args.class {
        one_class(&mut out, &vocabulary, class, args.top)?;
        return Ok(ExitCode::SUCCESS);
    }
    let n_tokens = thousands(vocabulary.tokenizer.vocab_size());
    writeln!(out, "{n_tokens} tokens of a {} tokeniser", vocabulary.tokenizer.kind())?;
    spiral(&mut out, &vocabulary)?;
    match &vocabulary.paths {
        Some(paths) => classes(&mut out, &vocabulary, paths, args.top)?,
        None => {
            writeln!(out, "\nno classes: the output layer is one softmax (train --head factor)")?
        }
    }
    match &vocabulary.parts {
        Some(parts) => commonest_parts(&mut out, &vocabulary, parts, args.top)?,
        None => vocabulary.say_no_parts(),
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
fn classes(
    out: &mut impl Write,
    vocabulary: &Vocabulary,
    paths: &PathCodes,
    top: usize,
) -> IoResult<()> {
    writeln!(out, "\n{} classes, words by decreasing frequency", paths.n_classes())?;
    let mass_title = if vocabulary.counts.is_some() { "    text" } else { "" };
    writeln!(out, "class  prime   size{mass_title}  words")?;
    let total = vocabulary.counts.iter().flatten().sum::<u64>().max(1) as f64;
    for class in 0..paths.n_classes() {
        let ids = paths.members(class);
        let prime = paths.path(ids.start).class_prime;
        let mass = vocabulary.counts.as_ref().map_or_else(String::new, |counts| {
            let mass: u64 = counts[ids.start as usize..ids.end as usize].iter().sum();
            format!("{:6.2} %", 100.0 * mass as f64 / total)
        });
        let start = format!("{class:5} {prime:6} {:6}{mass}  ", ids.len());
        let ids: Vec<u32> = ids.take(top).collect();
        writeln!(out, "{start}{}", vocabulary.names(&ids, WIDTH - start.len()))?;
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
    let features = parts.codes.features();
    writeln!(out, "\n{} parts of words, the most common first", thousands(features.len()))?;
    writeln!(out, "prime  kind    part            tokens  words")?;
    for (number, feature) in (0..).zip(features).take(top) {
        let prime = parts.primes.prime(number);
        let holders = vocabulary.holders(parts, |code| code.has(prime));
        let (kind, part) = (fit(feature.kind.name(), 7), fit(&parts.shown(prime), 14));
        let words = vocabulary.names(&holders, PART_WORDS);
        writeln!(out, "{prime:5}  {kind} {part} {:7}  {words}", holders.len())?;
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
