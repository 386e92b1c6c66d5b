//! Whole training steps: forward, backward, clip, optimiser, on random ids with Zipf's frequencies.

use super::{Shape, on_all_threads};
use anyhow::Result;
use engine::data::rng::{Purpose, Rng};
use engine::model::{HeadConfig, Layout, MicroShape, init_params};
use engine::train::{
    AdamWOptions, IdleRows, Lanes, RowsUsed, SequenceSource, StepPlan, TrainState, training_step,
};
use kernels::{Isa, Precision, probe};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// What was measured, per second and as a share of the probe taken between the steps.
#[derive(Debug, Serialize)]
pub struct Report {
    shape: String,
    precision: &'static str,
    isa: &'static str,
    lanes: usize,
    threads: usize,
    tokens_per_step: usize,
    steps: usize,
    tokens_per_s: f64,
    best_tokens_per_s: f64,
    ms_step: f64,
    probe_gflops: f64,
    model_gflops: f64,
    share_of_probe: f64,
    peak_rss_mib: u64,
    loss_first: f64,
    loss_last: f64,
    /// Shares of the tables' rows that a step uses, where they need not all be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_used: Option<Used>,
}

/// Means over the timed steps.
#[derive(Clone, Copy, Debug, Serialize)]
struct Used {
    inputs: f64,
    outputs: f64,
    all: f64,
}

/// What is trained and how.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The model and the batch.
    pub shape: Shape,
    /// Format of products.
    pub precision: Precision,
    /// Data-parallel lanes.
    pub n_lanes: usize,
    /// Threads.
    pub threads: usize,
    /// Steps to time.
    pub steps: usize,
    /// Whether the work of equal tokens is done once.
    pub unique_tokens: bool,
    /// Classes of a factored output layer, if it is one.
    pub n_classes: Option<usize>,
    /// Whether the output layer has a table of its own.
    pub untied: bool,
    /// What becomes of rows that a batch does not use.
    pub idle_rows: IdleRows,
}

/// Where `n_classes` classes of equal size begin; the first of them take what is left over.
fn equal(vocab_size: usize, n_classes: usize) -> Vec<u32> {
    let (size, rest) = (vocab_size / n_classes, vocab_size % n_classes);
    (0..=n_classes).map(|c| (c * size + c.min(rest)) as u32).collect()
}

/// Ids drawn with frequency 1 / rank.
struct Zipf {
    ids: Vec<u32>,
    seed: Rng,
}

impl Zipf {
    fn new(vocab_size: usize, n_classes: usize) -> Zipf {
        let weights: Vec<f64> = (1..=vocab_size)
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / rank as f64;
                Some(*sum)
            })
            .collect();
        let total = weights[vocab_size - 1];
        let rng = Rng::new(1, Purpose::Test, 0);
        let starts = equal(vocab_size, n_classes);
        let id = |i| {
            let rank = weights.partition_point(|w| *w < rng.f64_at(i) * total);
            // Frequent and rare tokens in each class.
            starts[rank % n_classes] + (rank / n_classes) as u32
        };
        Zipf { ids: (0..1_000_000).map(id).collect(), seed: Rng::new(1, Purpose::Test, 1) }
    }
}

impl SequenceSource for Zipf {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let last = (self.ids.len() - tokens.len() - 1) as u64;
        let start = self.seed.below_at(step * 1024 + index as u64, last) as usize;
        tokens.copy_from_slice(&self.ids[start..start + tokens.len()]);
        targets.copy_from_slice(&self.ids[start + 1..start + 1 + tokens.len()]);
    }
}

/// Steps before the clock starts.
const WARM_UP: usize = 3;

/// Times training steps.
pub fn measure(work: Work) -> Result<Report> {
    let Work { shape, precision, n_lanes, threads, steps, unique_tokens, n_classes, .. } = work;
    let (mut config, batch) = shape.config();
    config.tie_embeddings &= !work.untied;
    if let Some(n_classes) = n_classes {
        config.head = HeadConfig::Factor { class_starts: equal(config.vocab_size, n_classes) };
    }
    let layout = Layout::new(&config)?;
    let micro = MicroShape::new(&config, config.seq_len, batch.div_ceil(n_lanes), precision);
    let micro = MicroShape { unique_tokens, ..micro };
    let params = init_params(&layout, 1);
    let options = AdamWOptions { idle_rows: work.idle_rows, ..AdamWOptions::default() };
    let mut state = TrainState::new(layout, params, precision, options);
    let mut lanes = Lanes::new(&state.layout, &micro, n_lanes, batch, threads);
    state.pack(lanes.pool());
    let source = Zipf::new(config.vocab_size, n_classes.unwrap_or(1));
    let (mut times, mut probes, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let mut used = Vec::new();
    for step in 0..WARM_UP + steps {
        let plan =
            StepPlan { step: step as u64, lr: 1e-3, grad_norm_max: 1.0, dropout: 0.0, seed: 1 };
        let start = Instant::now();
        let report = training_step(&mut state, &mut lanes, &source, &plan)?;
        let seconds = start.elapsed().as_secs_f64();
        losses.push(report.loss_nats);
        if step >= WARM_UP {
            times.push(seconds);
            used.extend(report.rows_used);
            probes.push(on_all_threads(threads, |_| probe::peak_flops(precision, 0.002)));
        }
    }
    let (median, probe) = (super::median(&mut times), super::median(&mut probes));
    let n_tok = batch * config.seq_len;
    let flops = config.train_flops_per_token(config.seq_len) * n_tok as f64 / median;
    Ok(Report {
        shape: format!("{shape:?}").to_lowercase(),
        precision: precision.name(),
        isa: Isa::active().name(),
        lanes: n_lanes,
        threads,
        tokens_per_step: n_tok,
        steps,
        tokens_per_s: n_tok as f64 / median,
        best_tokens_per_s: n_tok as f64 / times[0],
        ms_step: median * 1e3,
        probe_gflops: probe / 1e9,
        model_gflops: flops / 1e9,
        share_of_probe: flops / probe,
        peak_rss_mib: peak_rss_mib(),
        loss_first: losses[0],
        loss_last: losses[losses.len() - 1],
        rows_used: mean(&used),
    })
}

fn mean(used: &[RowsUsed]) -> Option<Used> {
    let share = |of: fn(&RowsUsed) -> f64| used.iter().map(of).sum::<f64>() / used.len() as f64;
    let mean = || Used {
        inputs: share(|used| used.inputs),
        outputs: share(|used| used.outputs),
        all: share(|used| used.all),
    };
    (!used.is_empty()).then(mean)
}

/// The most memory that this process ever held, from the kernel's own accounting; 0 where unknown.
pub fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} on {}: {:.0} tokens/s (best {:.0}), {:.1} ms a step of {} tokens",
            self.shape,
            self.precision,
            self.isa,
            self.tokens_per_s,
            self.best_tokens_per_s,
            self.ms_step,
            self.tokens_per_step
        )?;
        write!(
            f,
            "{:.0} of {:.0} GFLOP/s ({:.1} %), {} MiB, loss {:.3} -> {:.3}",
            self.model_gflops,
            self.probe_gflops,
            100.0 * self.share_of_probe,
            self.peak_rss_mib,
            self.loss_first,
            self.loss_last
        )?;
        if let Some(Used { inputs, outputs, all }) = self.rows_used {
            let [inputs, outputs, all] = [inputs, outputs, all].map(|share| 100.0 * share);
            write!(f, "\nrows in use: {inputs:.1} % as inputs, {outputs:.1} % as outputs, ")?;
            write!(f, "{all:.1} % of all")?;
        }
        Ok(())
    }
}
