//! `crystalline bench`: how fast this machine trains and generates, as a share of what it can do.

use crate::bench::generation::{self, Phase};
use crate::bench::{Shape, training};
use anyhow::Result;
use clap::ValueEnum;
use engine::train::settings::PrecisionName;
use serde::Serialize;
use std::fmt::Display;
use std::process::ExitCode;

/// Measure the speed of training or writing on the standard shapes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shape to measure.
    #[arg(long, value_enum, default_value = "nano")]
    shape: Shape,
    /// Format of matrix-product operands.
    #[arg(long, value_enum, default_value = "auto")]
    precision: PrecisionArg,
    /// Time writing from an empty context, one token after another, instead of training.
    #[arg(long)]
    decode: bool,
    /// Time taking in a prompt of 512 tokens instead of training.
    #[arg(long, conflicts_with = "decode")]
    prefill: bool,
    /// Steps or rounds to time, after some that are not.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
    /// Data-parallel lanes.
    #[arg(long, default_value_t = 2)]
    lanes: usize,
    /// Do the work of equal tokens once for each of them, to measure what sharing it saves.
    #[arg(long)]
    no_unique_tokens: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// `--precision`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PrecisionArg {
    /// Single precision.
    F32,
    /// Operands rounded to bf16.
    Bf16,
    /// bf16 where the processor has it.
    Auto,
}

impl PrecisionArg {
    /// What it stands for on this machine.
    pub fn resolve(self) -> kernels::Precision {
        match self {
            PrecisionArg::F32 => kernels::Precision::F32,
            PrecisionArg::Bf16 => kernels::Precision::Bf16,
            PrecisionArg::Auto => PrecisionName::auto().kernels(),
        }
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let (threads, precision) = (super::threads(args.threads), args.precision.resolve());
    let phase = match (args.prefill, args.decode) {
        (true, _) => Some(Phase::Prefill),
        (_, true) => Some(Phase::Decode),
        _ => None,
    };
    match phase {
        Some(phase) => {
            let report = generation::measure(args.shape, phase, precision, threads, args.steps)?;
            print(&report, args.json)
        }
        None => {
            let report = training::measure(
                args.shape,
                precision,
                args.lanes,
                threads,
                args.steps,
                !args.no_unique_tokens,
            )?;
            print(&report, args.json)
        }
    }
}

fn print(report: &(impl Serialize + Display), as_json: bool) -> Result<ExitCode> {
    if as_json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}
