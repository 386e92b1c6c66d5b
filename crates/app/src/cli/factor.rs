//! `crystalline factor`: shows the prime factors of a word or a number and what they mean.

use super::columns::fit;
use super::quantity::{parse_time, show_time};
use super::say::{lines, shown_on_line};
use super::{input, vocabulary};
use anyhow::{Result, anyhow, bail};
use engine::vocabulary::Vocabulary;
use lattice::numbers::factorise::{Unfinished, factor_big};
use lattice::numbers::primes::primes_below;
use lattice::{FactorCode, UBig};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use text::vocab::{Parts, shown};

/// Show the prime factors of a word or a number, and what they mean in a model.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline factor runs/book walked       the primes of a word's parts\n  crystalline factor runs/book 6295         the meaning of a number\n  crystalline factor 1000000014000000049     any number"
)]
pub struct Args {
    /// A run's folder or a model folder, or just a number.
    #[arg(value_name = "MODEL|N")]
    first: String,
    /// A word or a number to look up in the model.
    #[arg(value_name = "WORD|N")]
    second: Option<String>,
    /// Treat digits as a word, not as a number.
    #[arg(long, requires = "second")]
    word: bool,
    /// Time limit for factoring a number.
    #[arg(long, value_parser = parse_time, default_value = "10s")]
    time: Duration,
}

/// Longest accepted number, in decimal digits.
const DIGITS_MAX: usize = 10_000;

/// Bound of the primes for trial division.
const SMALL_PRIMES: usize = 1 << 16;

pub fn run(args: Args) -> Result<ExitCode> {
    let mut out = lines();
    let Some(what) = &args.second else {
        let Some(n) = number(&args.first)? else {
            bail!(
                "{0:?} is not a number; to factor a word, name its model first, as in \
                 `crystalline factor runs/book {0}`",
                args.first
            );
        };
        let factors = factors(&n, &primes_below(SMALL_PRIMES), args.time)?;
        writeln!(out, "{}", factorisation(&n, &factors))?;
        return Ok(ExitCode::SUCCESS);
    };
    let vocabulary = vocabulary::open(Path::new(&args.first))?;
    match number(what)? {
        Some(n) if !args.word => explain_number(&mut out, &vocabulary, &n, args.time)?,
        _ => {
            let word = input::as_model_reads(vocabulary.folder.path(), what)?;
            explain_word(&mut out, &vocabulary, &word)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The number that `text` spells; `None` if it is not all digits.
fn number(text: &str) -> Result<Option<UBig>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    if text.len() > DIGITS_MAX {
        bail!("the number has {} digits; give one of at most {DIGITS_MAX}", text.len());
    }
    Ok(Some(text.parse::<UBig>()?))
}

/// The prime factors of `n`; those in `base` are tried first.
fn factors(n: &UBig, base: &[u64], time: Duration) -> Result<Vec<u128>> {
    let until = Instant::now() + time;
    factor_big(n, base, &mut || Instant::now() < until).map_err(|unfinished| {
        let bits = unfinished.left_bits();
        let Unfinished { found, left } = unfinished;
        let so_far = if found.is_empty() {
            String::new()
        } else {
            format!("found {}; ", product(&found))
        };
        match bits {
            0..=128 => anyhow!(
                "{so_far}the factors of {left} were not found in {}: give the search more time, \
                 such as --time 5m",
                show_time(time)
            ),
            _ => anyhow!(
                "{so_far}a number of {bits} bits without small factors is left; only numbers of up to \
                 128 bits are factored further"
            ),
        }
    })
}

/// `360 = 2^3·3^2·5`, or a sentence for 0, 1 and primes.
fn factorisation(n: &UBig, factors: &[u128]) -> String {
    match factors {
        [] => format!("{n} has no prime factors"),
        [0] => "0 is divided by every number".to_owned(),
        [_] => format!("{n} is a prime"),
        _ => format!("{n} = {}", product(factors)),
    }
}

/// Ascending primes as a product of powers.
fn product(factors: &[u128]) -> String {
    let power = |run: &[u128]| match run.len() {
        1 => run[0].to_string(),
        n => format!("{}^{n}", run[0]),
    };
    factors.chunk_by(|a, b| a == b).map(power).collect::<Vec<_>>().join("·")
}

/// Columns of a line: its label, a part, the kind of the part, and the words at the end.
const LABEL_WIDTH: usize = 9;
const PART_WIDTH: usize = 14;
const KIND_WIDTH: usize = 7;
const WORDS_WIDTH: usize = 24;
/// Columns of a line that is a list of words, on a wide terminal or none.
const LIST_WIDTH: usize = 70;

/// A word: its parts with their primes, its code, and its path in the output tree.
fn explain_word(out: &mut impl Write, vocabulary: &Vocabulary, word: &str) -> Result<()> {
    let id = vocabulary.find(word);
    let label = |name: &str| fit(name, LABEL_WIDTH);
    match id {
        Some(id) => {
            writeln!(out, "{}{}, id {id}", label("token"), shown_on_line(&vocabulary.name(id)))?
        }
        None if vocabulary.parts.is_none() => bail!(
            "{word:?} is not a token of this {} vocabulary, whose tokens are pieces of words; \
             `crystalline tokenizer show` lists those of a text",
            vocabulary.tokenizer.kind()
        ),
        None => writeln!(out, "{}{}, not in the vocabulary", label("word"), shown_on_line(word))?,
    }
    if let Some(parts) = &vocabulary.parts {
        let (code, unknown) = match id {
            Some(id) => (parts.primes.all()[id as usize].clone(), Vec::new()),
            None => {
                let (known, unknown) = parts.codes.code_text(&vocabulary.as_token(word));
                (parts.primes.of_text(&known, unknown.len()), unknown)
            }
        };
        let (known, new) = code.primes().split_at(code.primes().len() - unknown.len());
        let mut lines: Vec<String> =
            known.iter().map(|&prime| part_line(vocabulary, parts, prime)).collect();
        lines.extend(new.iter().zip(&unknown).map(|(prime, feature)| {
            let (part, kind) = (fit(&shown(feature), PART_WIDTH), feature.kind.name());
            format!("{part} {} {prime:>7}  the next free prime", fit(kind, KIND_WIDTH))
        }));
        for (i, line) in lines.iter().enumerate() {
            writeln!(out, "{}{line}", label(if i == 0 { "parts" } else { "" }))?;
        }
        writeln!(out, "{}{code}", label("code"))?;
    } else {
        vocabulary::say_no_parts(vocabulary);
    }
    if let (Some(id), Some(paths)) = (id, &vocabulary.paths) {
        let path = paths.path(id);
        let members = paths.members(path.class).len();
        writeln!(
            out,
            "{}{} of {}, prime {}",
            label("class"),
            path.class,
            paths.n_classes(),
            path.class_prime
        )?;
        writeln!(
            out,
            "{}{} of {members}, prime {}",
            label("member"),
            path.member,
            path.member_prime
        )?;
        writeln!(out, "{}{}", label("path"), path.code())?;
    }
    Ok(())
}

/// A part of words with its kind, its prime and the tokens that have it.
fn part_line(vocabulary: &Vocabulary, parts: &Parts, prime: u64) -> String {
    let feature = parts.primes.feature(prime).map(|f| &parts.codes.features()[f as usize]);
    let kind = feature.map_or("", |feature| feature.kind.name());
    let holders = vocabulary.holders(parts, |code| code.has(prime));
    let plural = if holders.len() == 1 { "" } else { "s" };
    format!(
        "{} {} {prime:>7}  {:>5} token{plural}: {}",
        fit(&parts.shown(prime), PART_WIDTH),
        fit(kind, KIND_WIDTH),
        holders.len(),
        vocabulary::names(vocabulary, holders.iter().copied(), WORDS_WIDTH)
    )
}

/// A number: its factors, the parts they stand for, and the tokens whose code or path it is.
fn explain_number(
    out: &mut impl Write,
    vocabulary: &Vocabulary,
    n: &UBig,
    time: Duration,
) -> Result<()> {
    let small = primes_below(SMALL_PRIMES);
    let known = vocabulary.parts.as_ref().map_or(&[][..], |parts| parts.primes.primes());
    let base = if known.len() > small.len() { known } else { &small[..] };
    let factors = factors(n, base, time)?;
    writeln!(out, "{}", factorisation(n, &factors))?;
    let narrow: Option<Vec<u64>> = factors.iter().map(|&p| u64::try_from(p).ok()).collect();
    // A code is square-free, and 1 is the code of no token.
    let code = narrow.and_then(|primes| FactorCode::new(primes).ok()).filter(|c| !c.is_one());
    let label = |name: &str| fit(name, LABEL_WIDTH);
    let Some(code) = code else {
        writeln!(out, "{}a code has each of its primes once, and at least one", label("no code"))?;
        return Ok(());
    };
    if let Some(parts) = &vocabulary.parts {
        let mut name = "parts";
        for &prime in code.primes() {
            match parts.primes.feature(prime) {
                Some(_) => {
                    writeln!(out, "{}{}", label(name), part_line(vocabulary, parts, prime))?;
                }
                None => writeln!(out, "{}{prime} is not the prime of a part", label(name))?,
            }
            name = "";
        }
        let words = |passes: &dyn Fn(&FactorCode) -> bool| {
            let holders = vocabulary.holders(parts, passes).into_iter();
            let words = vocabulary::names(vocabulary, holders, LIST_WIDTH);
            if words.is_empty() { "no token".to_owned() } else { words }
        };
        writeln!(out, "{}{}", label("code of"), words(&|other| *other == code))?;
        if code.primes().len() > 1 {
            let divided = |other: &FactorCode| other != &code && other.gcd(&code) == code;
            writeln!(out, "{}{}", label("divides"), words(&divided))?;
        }
    } else {
        vocabulary::say_no_parts(vocabulary);
    }
    if let Some(paths) = &vocabulary.paths {
        let path = match paths.token(&code) {
            Some(id) => {
                let path = paths.path(id);
                let name = vocabulary.name(id);
                let word = shown_on_line(&name);
                format!("{word}, member {} of class {}, id {id}", path.member, path.class)
            }
            None => "no token".to_owned(),
        };
        writeln!(out, "{}{path}", label("path of"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_products_of_powers() {
        let small = primes_below(100);
        let said = |n: u64| {
            let n = UBig::from(n);
            factorisation(&n, &factors(&n, &small, Duration::from_secs(9)).unwrap())
        };
        assert_eq!(said(360), "360 = 2^3·3^2·5");
        assert_eq!(said(6), "6 = 2·3");
        assert_eq!(said(97), "97 is a prime");
        assert_eq!(said(1), "1 has no prime factors");
        assert_eq!(said(0), "0 is divided by every number");
        assert_eq!(said(1_000_003 * 1_000_033), "1000036000099 = 1000003·1000033");
    }

    #[test]
    fn an_unfinished_factorisation_reports_what_is_left() {
        let p = UBig::from(18_446_744_073_709_551_557u64);
        let large = &p * UBig::from(18_446_744_073_709_551_533u64);
        let message = |n: &UBig| factors(n, &[2, 3], Duration::ZERO).unwrap_err().to_string();
        let said = message(&(&large * 6u32));
        assert!(said.contains("found 2·3; the factors of") && said.contains("--time"), "{said}");
        let said = message(&(&large * &large * 3u32));
        assert!(said.contains("found 3; a number of 256 bits"), "{said}");
    }

    #[test]
    fn digits_are_a_number_up_to_the_maximum_length() {
        assert_eq!(number("0012").unwrap(), Some(UBig::from(12u32)));
        for word in ["", "12a", "-3", "+3", "1 2", "１２"] {
            assert_eq!(number(word).unwrap(), None, "{word}");
        }
        assert!(number(&"9".repeat(DIGITS_MAX)).unwrap().is_some());
        assert!(number(&"9".repeat(DIGITS_MAX + 1)).is_err());
    }
}
