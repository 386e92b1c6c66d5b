//! `crystalline inspect`: shows the tensors of a model and the memory that training needs.

use super::model;
use super::options::PrecisionArg;
use super::quantity::{count, whole};
use super::say::lines;
use anyhow::Result;
use engine::model::MicroShape;
use engine::train::run::LANES_MAX;
use engine::train::{AdamWOptions, LanesSpec, training_memory};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use text::thousands;

/// Show a model's tensors and the memory that training it needs.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline inspect runs/book\n  crystalline inspect runs/book --precision f32 --lanes 4"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// Number format of matrix products in training.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    precision: PrecisionArg,
    /// Data-parallel lanes in training.
    #[arg(long, default_value_t = 2, value_parser = whole(1..=LANES_MAX as usize))]
    lanes: usize,
    /// Training batch size in sequences.
    #[arg(long, default_value_t = 32, value_parser = count(1))]
    batch: usize,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let mut out = lines();
    let folder = model::folder(&args.model)?;
    let layout = folder.layout()?;
    let m = &layout.config;
    writeln!(out, "{}", folder.path().display())?;
    writeln!(
        out,
        "V={} C={} L={} H={} K={} D={} F={} T={}",
        m.vocab_size,
        m.model_dim,
        m.n_layers,
        m.n_heads,
        m.n_kv_heads,
        m.head_dim,
        m.ffn_dim,
        m.seq_len
    )?;
    writeln!(out, "output layer {}", layout.head.describe(m))?;
    if m.n_parts > 0 {
        writeln!(out, "input vectors composed, {} parts of words", m.n_parts)?;
    }
    for head in &m.ngrams {
        writeln!(out, "n-grams of {} tokens hashed to {} rows", head.n, head.n_rows)?;
    }
    writeln!(out, "{:<48} {:>16} {:>12}  decay", "tensor", "shape", "numbers")?;
    for t in &layout.tensors {
        let shape = format!("{:?}", t.shape);
        writeln!(out, "{:<48} {shape:>16} {:>12}  {}", t.name, thousands(t.span.len()), t.decay)?;
    }
    writeln!(out, "{:<48} {:>16} {:>12}", "all", "", thousands(layout.n_params()))?;

    let precision = args.precision.resolve();
    let lanes = args.lanes.clamp(1, args.batch.max(1));
    let batch_seqs = args.batch.max(1);
    let spec = LanesSpec {
        shape: MicroShape::new(m, m.seq_len, batch_seqs.div_ceil(lanes), precision),
        n_lanes: lanes,
        batch_seqs,
        threads: 1,
        seed: 0,
        token_counts: &[],
    };
    writeln!(out, "\nmemory of training, {} lanes, {}:", lanes, precision.name())?;
    let plan = training_memory(&layout, &spec, AdamWOptions::default());
    for (name, bytes) in &plan {
        writeln!(out, "{name:<48} {:>12.1} MiB", *bytes as f64 / 1048576.0)?;
    }
    let sum: usize = plan.iter().map(|(_, bytes)| bytes).sum();
    writeln!(out, "{:<48} {:>12.1} MiB", "all", sum as f64 / 1048576.0)?;
    Ok(ExitCode::SUCCESS)
}
