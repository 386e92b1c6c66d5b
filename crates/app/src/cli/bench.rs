//! `crystalline bench`: measures training and generation, also as a share of the machine's peak.

use super::model;
use super::options::{PrecisionArg, parse_name, parse_threads, threads};
use super::quantity::{count, whole};
use super::say::lines;
use crate::bench::generation::{self, Phase};
use crate::bench::training::Setup;
use crate::bench::verified::{self, PathState};
use crate::bench::{Shape, codes, orders, training, writing};
use anyhow::{Result, bail};
use engine::head::HeadName;
use engine::train::RowUpdates;
use engine::train::run::LANES_MAX;
use kernels::{Isa, Precision};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use text::vocab::classes::default_n_classes;
use text::vocab::order::TokenOrder;

/// Measure the speed of training or generation on the standard shapes, or of prime codes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model shape.
    #[arg(long, value_enum, default_value = "nano")]
    shape: Shape,
    /// Format of matrix-product operands: f32, bf16 or auto.
    #[arg(long, value_name = "FORMAT", default_value = "auto", hide_possible_values = true)]
    precision: PrecisionArg,
    /// Time decoding from an empty context, token by token, instead of training.
    #[arg(long)]
    decode: bool,
    /// Time the prefill of a prompt of 512 tokens instead of training.
    #[arg(long, conflicts_with = "decode")]
    prefill: bool,
    /// Time generation by a trained model, with each way of choosing tokens.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["decode", "prefill"])]
    model: Option<PathBuf>,
    /// Time comparing and searching prime codes against dot products, on one thread.
    #[arg(long, conflicts_with_all = ["decode", "prefill", "model"])]
    codes: bool,
    /// Time each order of token ids on the vocabularies of a text, on one thread.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["decode", "prefill", "model", "codes"])]
    orders: Option<PathBuf>,
    /// Time this order only.
    #[arg(long, requires = "orders", value_parser = parse_name::<TokenOrder>)]
    order: Option<TokenOrder>,
    /// Steps or rounds to time, after untimed warm-up.
    #[arg(long, default_value_t = 20, value_parser = count(1))]
    steps: usize,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
    /// Data-parallel lanes.
    #[arg(long, default_value_t = 2, value_parser = whole(1..=LANES_MAX as usize))]
    lanes: usize,
    /// Do not share the work of equal tokens, to measure what sharing saves.
    #[arg(long)]
    no_unique_tokens: bool,
    /// Output layers to train with, alternating step by step, such as full,factor.
    #[arg(long, value_name = "HEAD,...", value_delimiter = ',', default_value = "full",
          value_parser = parse_name::<HeadName>)]
    head: Vec<HeadName>,
    /// Classes of the factored output layer, of about equal size [default: 1.4 times the square
    /// root of the vocabulary]. Given alone, it implies --head factor; with --orders, it keeps the
    /// tokens of this many classes together.
    #[arg(long, value_name = "N", value_parser = parse_classes)]
    classes: Option<usize>,
    /// Negative samples per step with --head sampled.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_samples)]
    samples: usize,
    /// Do not tie the output layer to the input embedding.
    #[arg(long)]
    untied: bool,
    /// Optimiser updates of table rows that a batch does not use: dense, lazy, or both in turn.
    #[arg(long = "idle-rows", value_name = "HOW,...", value_delimiter = ',',
          default_value = "dense", value_parser = parse_name::<RowUpdates>)]
    row_updates: Vec<RowUpdates>,
    /// Measure the path named by CRYSTALLINE_ISA even if the processor has a faster one.
    #[arg(long)]
    any_path: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Parses a number of classes; every standard shape has tokens enough for it.
fn parse_classes(text: &str) -> Result<usize, String> {
    whole(1..=4096)(text)
}

/// Parses a number of samples, below the vocabulary of every standard shape.
fn parse_samples(text: &str) -> Result<usize, String> {
    whole(1..=4095)(text)
}

/// The JSON object of a report; one per line.
#[derive(Serialize)]
struct Output<'a, R> {
    #[serde(flatten)]
    report: &'a R,
    paths: &'a [PathState],
}

pub fn run(args: Args) -> Result<ExitCode> {
    let is_forced = kernels::isa::requested().is_ok_and(|isa| isa.is_some());
    if let Some(refusal) = refusal(Isa::active(), Isa::best(), is_forced, args.any_path) {
        bail!(refusal);
    }
    let threads = threads(args.threads)?;
    let steps = args.steps;
    if args.codes {
        return print(&[codes::measure(steps)], args.json);
    }
    let precision = args.precision.resolve();
    let phase = match (args.prefill, args.decode) {
        (true, _) => Some(Phase::Prefill),
        (_, true) => Some(Phase::Decode),
        _ => None,
    };
    if let Some(path) = &args.model {
        let mut pool = kernels::Pool::new(threads);
        let opened = model::open(path, precision, &mut pool)?;
        return print(&[writing::measure(&opened, &mut pool, steps)?], args.json);
    }
    if let Some(text) = &args.orders {
        let Args { order: only, classes: n_classes, .. } = args;
        let options = orders::Options { only, n_classes, threads, rounds: steps };
        return print(&[orders::measure(text, options)?], args.json);
    }
    match phase {
        Some(phase) => {
            let report = generation::measure(args.shape, phase, precision, threads, steps)?;
            print(&[report], args.json)
        }
        None => print(&training::measure(&setups(&args, precision, threads), steps)?, args.json),
    }
}

/// One training setup per requested output layer and kind of row updates.
fn setups(args: &Args, precision: Precision, threads: usize) -> Vec<Setup> {
    let vocab_size = args.shape.config().0.vocab_size;
    let heads = match (&args.head[..], args.classes) {
        ([head], Some(_)) if *head == HeadName::default() => &[HeadName::WITH_CLASSES][..],
        (heads, _) => heads,
    };
    let n_classes = args.classes.unwrap_or_else(|| default_n_classes(vocab_size));
    let setup = |name: &HeadName, row_updates: &RowUpdates| {
        let (head, n_samples) = name.usual(vocab_size, n_classes, args.samples);
        Setup {
            shape: args.shape,
            name: *name,
            head,
            n_samples,
            precision,
            n_lanes: args.lanes,
            threads,
            unique_tokens: !args.no_unique_tokens,
            untied: args.untied,
            row_updates: *row_updates,
        }
    };
    let ways = |head| args.row_updates.iter().map(move |row_updates| setup(head, row_updates));
    heads.iter().flat_map(ways).collect()
}

/// Prints the reports, then the verification state of each instruction path.
fn print(reports: &[impl Serialize + Display], as_json: bool) -> Result<ExitCode> {
    let paths = verified::paths();
    let mut out = lines();
    if as_json {
        for report in reports {
            writeln!(out, "{}", serde_json::to_string(&Output { report, paths: &paths })?)?;
        }
    } else {
        reports.iter().try_for_each(|report| writeln!(out, "{report}"))?;
        paths.iter().try_for_each(|path| writeln!(out, "{path}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reason to refuse to measure, if any: figures of a slower path than the processor's best would be
/// mistaken for the speed of the machine.
fn refusal(active: Isa, best: Isa, is_forced: bool, any_path: bool) -> Option<String> {
    let (active, best) = (active.name(), best.name());
    if active == best || is_forced && any_path {
        None
    } else if is_forced {
        Some(format!(
            "CRYSTALLINE_ISA={active} is set, but this processor has {best}, which is faster; \
             unset it, or add --any-path to measure {active}"
        ))
    } else {
        Some(format!(
            "the kernels run on {active}, but this processor has {best}, which is faster: this \
             is a bug, and its figures would mislead"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_path_is_refused_unless_wanted() {
        let (slow, best) = (Isa::Portable, Isa::Avx2);
        for (is_forced, any_path) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(refusal(best, best, is_forced, any_path), None);
        }
        assert_eq!(refusal(slow, best, true, true), None);
        let forced = refusal(slow, best, true, false).unwrap();
        assert!(forced.contains("CRYSTALLINE_ISA=portable") && forced.contains("--any-path"));
        for any_path in [false, true] {
            assert!(refusal(slow, best, false, any_path).unwrap().contains("a bug"));
        }
    }
}
