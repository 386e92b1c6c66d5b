//! `crystalline vocab`: shows a vocabulary: classes, Ulam's spiral of ids, the most common parts.

use super::columns::{USUAL_WIDTH, cut, fit, stdout_width};
use super::quantity::count;
use super::say::out;
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

/// Most rings of the spiral around its centre: 121 ids.
const RINGS_MAX: usize = 5;
/// Columns of a line about a part before the words that have it.
const PART_WIDTH: usize = 39;
/// Columns of a cell of the spiral.
const CELL: usize = 7;

pub fn run(args: Args) -> Result<ExitCode> {
    let vocabulary = vocabulary::open(&args.model)?;
    let mut out = Lines { out: out(), width: stdout_width() };
    if let Some(class) = args.class {
        one_class(&mut out, &vocabulary, class, args.top)?;
        return Ok(ExitCode::SUCCESS);
    }
    let n_tokens = thousands(vocabulary.tokenizer.vocab_size());
    out.line(&format!("{n_tokens} tokens of a {} tokeniser", vocabulary.tokenizer.kind()))?;
    spiral(&mut out, &vocabulary)?;
    match &vocabulary.paths {
        Some(_) => classes(&mut out, &vocabulary, args.top)?,
        None => {
            out.line("")?;
            out.line("no classes: the output layer is one softmax (train --head factor)")?
        }
    }
    match &vocabulary.parts {
        Some(parts) => commonest_parts(&mut out, &vocabulary, parts, args.top)?,
        None => vocabulary::say_no_parts(&vocabulary),
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines of a table, cut to the width of the terminal.
struct Lines<W> {
    out: W,
    /// `None` if the output is no terminal.
    width: Option<usize>,
}

impl<W: Write> Lines<W> {
    /// Columns to fill.
    fn width(&self) -> usize {
        self.width.unwrap_or(USUAL_WIDTH)
    }

    fn line(&mut self, line: &str) -> IoResult<()> {
        match self.width {
            Some(width) => writeln!(self.out, "{}", cut(line, width)),
            None => writeln!(self.out, "{}", line.trim_end()),
        }
    }
}

/// The words of the first ids, laid out on Ulam's spiral.
fn spiral(out: &mut Lines<impl Write>, vocabulary: &Vocabulary) -> IoResult<()> {
    let rings = (out.width() / CELL).saturating_sub(1).div_euclid(2).clamp(1, RINGS_MAX) as i64;
    let n_shown = (2 * rings + 1).pow(2);
    out.line("")?;
    out.line(&format!(
        "the first {n_shown} ids on Ulam's spiral, from the centre to the right and up"
    ))?;
    for y in (-rings..=rings).rev() {
        let cell = |x: i64| {
            let id = lattice::curves::spiral::number(x, y).and_then(|n| u32::try_from(n).ok());
            let id = id.filter(|&id| (id as usize) < vocabulary.tokenizer.vocab_size());
            fit(&id.map_or_else(String::new, |id| vocabulary.name(id)), CELL - 1) + " "
        };
        out.line(&(-rings..=rings).map(cell).collect::<String>())?;
    }
    Ok(())
}

/// One line per class: its prime, size, share of the text, and most frequent words.
fn classes(out: &mut Lines<impl Write>, vocabulary: &Vocabulary, top: usize) -> IoResult<()> {
    let n_classes = vocabulary.classes().count();
    out.line("")?;
    out.line(&format!("{n_classes} classes, words by decreasing frequency"))?;
    let share_title = if vocabulary.counts.is_some() { "    text" } else { "" };
    out.line(&format!("class  prime   size{share_title}  words"))?;
    for (number, class) in vocabulary.classes().enumerate() {
        let share =
            class.share.map_or_else(String::new, |share| format!("{:6.2} %", 100.0 * share));
        let start = format!("{number:5} {:6} {:6}{share}  ", class.prime, class.ids.len());
        let width = out.width().saturating_sub(start.len());
        let words = vocabulary::names(vocabulary, class.ids.take(top), width);
        out.line(&format!("{start}{words}"))?;
    }
    Ok(())
}

/// The parts that most tokens have, by increasing prime.
fn commonest_parts(
    out: &mut Lines<impl Write>,
    vocabulary: &Vocabulary,
    parts: &Parts,
    top: usize,
) -> IoResult<()> {
    let n_parts = thousands(parts.codes.features().len());
    out.line("")?;
    out.line(&format!("{n_parts} parts of words, the most common first"))?;
    out.line("prime  kind    part            tokens  words")?;
    for part in vocabulary.commonest_parts(top) {
        let (kind, shown) = (fit(part.kind.name(), 7), fit(&part.shown, 14));
        let width = out.width().saturating_sub(PART_WIDTH);
        let words = vocabulary::names(vocabulary, part.holders.iter().copied(), width);
        out.line(&format!("{:5}  {kind} {shown} {:7}  {words}", part.prime, part.holders.len()))?;
    }
    Ok(())
}

/// The tokens of one class, with their paths and codes as integers.
fn one_class(
    out: &mut Lines<impl Write>,
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
    let (n_classes, n_tokens) = (paths.n_classes(), ids.len());
    out.line(&format!("class {class} of {n_classes}: {n_tokens} tokens, prime {prime}"))?;
    let count_title = if vocabulary.counts.is_some() { "    count" } else { "" };
    out.line(&format!("     id{count_title}  word              path                   parts"))?;
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
        out.line(&format!("{id:7}{count}  {}  {path}  {parts}", fit(&vocabulary.name(id), 16)))?;
    }
    Ok(())
}
