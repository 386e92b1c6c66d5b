//! `crystalline bench`: how fast this machine trains and generates, as a share of what it can do.

use crate::bench::{Shape, training};
use anyhow::Result;
use clap::ValueEnum;
use std::process::ExitCode;

/// Measure training speed on the standard shapes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shape to measure.
    #[arg(long, value_enum, default_value = "nano")]
    shape: Shape,
    /// Format of matrix-product operands.
    #[arg(long, value_enum, default_value = "auto")]
    precision: PrecisionArg,
    /// Steps to time, after three that are not.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
    /// Data-parallel lanes.
    #[arg(long, default_value_t = 2)]
    lanes: usize,
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
            PrecisionArg::Auto if kernels::Isa::active() == kernels::Isa::Avx512Bf16 => {
                kernels::Precision::Bf16
            }
            PrecisionArg::Auto => kernels::Precision::F32,
        }
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let threads = super::threads(args.threads);
    let report =
        training::measure(args.shape, args.precision.resolve(), args.lanes, threads, args.steps)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}
