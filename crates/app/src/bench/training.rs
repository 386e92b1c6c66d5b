//! Training benchmark: whole steps (forward, backward, clip, optimiser) on Zipf-distributed ids.

use super::{Shape, on_all_threads};
use anyhow::Result;
use engine::head::{HeadConfig, HeadName};
use engine::model::{InputLayer, Layout, MicroShape, ModelConfig, RowsUsed, init_params};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, RowUpdates, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::rng::{Purpose, Rng};
use kernels::{Isa, Precision, probe};
use serde::Serialize;
use std::fmt;
use std::time::Instant;
use text::vocab::classes::count_tokens;

/// Results per second and as a share of the probe, which runs between the steps.
#[derive(Debug, Serialize)]
pub struct Report {
    shape: String,
    head: HeadName,
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
    /// Only for the full softmax: no other layer multiplies every row of the vocabulary.
    model_gflops: Option<f64>,
    share_of_probe: Option<f64>,
    /// Only if a single setup was measured.
    peak_rss_mib: Option<u64>,
    loss_first: f64,
    loss_last: f64,
    #[serde(rename = "idle_rows")]
    row_updates: RowUpdates,
    /// Shares of the tables' rows that a step uses, for models that need not use all: means over the
    /// timed steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_used: Option<RowsUsed>,
}

/// Random ids with frequency 1 / rank.
struct Zipf {
    ids: Vec<u32>,
    seed: Rng,
}

impl Zipf {
    /// Ids for `vocab_size` tokens: the likeliest first or, with classes, equally many likely ones in
    /// each.
    fn new(vocab_size: usize, head: &HeadConfig) -> Zipf {
        let weights: Vec<f64> = (1..=vocab_size)
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / rank as f64;
                Some(*sum)
            })
            .collect();
        let total = weights[vocab_size - 1];
        let rng = Rng::new(1, Purpose::Test, 0);
        let starts = head.class_starts().map_or(&[0][..], |starts| &starts[..starts.len() - 1]);
        let id = |i| {
            let rank = weights.partition_point(|w| *w < rng.f64_at(i) * total);
            starts[rank % starts.len()] + (rank / starts.len()) as u32
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

/// Steps before timing starts.
const WARM_UP: usize = 3;

/// Model and training to measure.
#[derive(Clone, Debug)]
pub struct Setup {
    pub shape: Shape,
    pub name: HeadName,
    pub head: HeadConfig,
    /// Negative samples, if a full softmax is trained on some of the tokens.
    pub n_samples: Option<usize>,
    pub precision: Precision,
    pub n_lanes: usize,
    pub threads: usize,
    pub unique_tokens: bool,
    /// Whether the output layer has its own table although it could share one.
    pub untied: bool,
    pub row_updates: RowUpdates,
}

/// A training with its measurements so far.
struct Side {
    setup: Setup,
    tokens_per_step: usize,
    trainer: Trainer,
    source: Zipf,
    times: Vec<f64>,
    probes: Vec<f64>,
    losses: Vec<f64>,
    used: Vec<RowsUsed>,
}

/// Times `steps` training steps of each setup, in turn, step by step.
pub fn measure(setups: &[Setup], steps: usize) -> Result<Vec<Report>> {
    let mut sides = setups.iter().map(Side::new).collect::<Result<Vec<_>>>()?;
    for step in 0..WARM_UP + steps {
        for side in &mut sides {
            side.step(step)?;
        }
    }
    // The system reports the memory of all sides together.
    let peak_rss_mib = (sides.len() == 1).then(peak_rss_mib);
    Ok(sides.into_iter().map(|side| Report { peak_rss_mib, ..side.report() }).collect())
}

impl Side {
    fn new(setup: &Setup) -> Result<Side> {
        let Setup { shape, head, n_samples, precision, n_lanes, threads, .. } = setup.clone();
        let (usual, batch) = shape.config();
        let config =
            ModelConfig { tie_embeddings: !setup.untied && head.can_be_tied(), head, ..usual };
        let layout = Layout::for_training(&config, n_samples)?;
        let usual = MicroShape::new(&config, config.seq_len, batch.div_ceil(n_lanes), precision);
        let source = Zipf::new(config.vocab_size, &config.head);
        let token_counts = count_tokens(&source.ids[..], config.vocab_size)?;
        let lanes = LanesSpec {
            shape: MicroShape { distinct_inputs: setup.unique_tokens, ..usual },
            n_lanes,
            batch_seqs: batch,
            threads,
            seed: 1,
            token_counts: &token_counts,
        };
        let options = AdamWOptions { row_updates: setup.row_updates, ..AdamWOptions::default() };
        let trainer = Trainer::new(TrainerSpec {
            params: init_params(&layout, 1),
            inputs: InputLayer::new(&layout, None, None),
            optimizer: Box::new(AdamW::new(&layout, options)),
            layout,
            lanes,
        });
        Ok(Side {
            setup: setup.clone(),
            tokens_per_step: batch * config.seq_len,
            trainer,
            source,
            times: Vec::new(),
            probes: Vec::new(),
            losses: Vec::new(),
            used: Vec::new(),
        })
    }

    fn step(&mut self, step: usize) -> Result<()> {
        let plan =
            StepPlan { step: step as u64, lr: 1e-3, grad_norm_max: 1.0, dropout: 0.0, seed: 1 };
        let start = Instant::now();
        let report = self.trainer.step(&self.source, &plan)?;
        let seconds = start.elapsed().as_secs_f64();
        self.losses.push(report.loss_nats);
        if step >= WARM_UP {
            let Setup { threads, precision, .. } = self.setup;
            self.times.push(seconds);
            self.used.extend(report.rows_used);
            self.probes.push(on_all_threads(threads, |_| probe::peak_flops(precision, 0.002)));
        }
        Ok(())
    }

    fn report(mut self) -> Report {
        let (median, probe) = (super::median(&mut self.times), super::median(&mut self.probes));
        let (n_tok, config) = (self.tokens_per_step, &self.trainer.layout().config);
        let head = self.setup.name;
        let flops = config.train_flops_per_token(config.seq_len) * n_tok as f64 / median;
        let flops = (head == HeadName::default()).then_some(flops);
        Report {
            shape: format!("{:?}", self.setup.shape).to_lowercase(),
            head,
            precision: self.setup.precision.name(),
            isa: Isa::active().name(),
            lanes: self.setup.n_lanes,
            threads: self.setup.threads,
            tokens_per_step: n_tok,
            steps: self.times.len(),
            tokens_per_s: n_tok as f64 / median,
            best_tokens_per_s: n_tok as f64 / self.times[0],
            ms_step: median * 1e3,
            probe_gflops: probe / 1e9,
            model_gflops: flops.map(|flops| flops / 1e9),
            share_of_probe: flops.map(|flops| flops / probe),
            peak_rss_mib: None,
            loss_first: self.losses[0],
            loss_last: self.losses[self.losses.len() - 1],
            row_updates: self.setup.row_updates,
            rows_used: mean(&self.used),
        }
    }
}

fn mean(used: &[RowsUsed]) -> Option<RowsUsed> {
    let share = |of: fn(&RowsUsed) -> f64| used.iter().map(of).sum::<f64>() / used.len() as f64;
    let mean = || RowsUsed {
        inputs: share(|used| used.inputs),
        outputs: share(|used| used.outputs),
        all: share(|used| used.all),
    };
    (!used.is_empty()).then(mean)
}

/// Peak memory of this process, as reported by the operating system; 0 where unknown.
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
            "{} {} {} on {}: {:.0} tokens/s (best {:.0}), {:.1} ms a step of {} tokens",
            self.shape,
            self.head,
            self.precision,
            self.isa,
            self.tokens_per_s,
            self.best_tokens_per_s,
            self.ms_step,
            self.tokens_per_step
        )?;
        if let (Some(gflops), Some(share)) = (self.model_gflops, self.share_of_probe) {
            write!(
                f,
                "{gflops:.0} of {:.0} GFLOP/s ({:.1} %), ",
                self.probe_gflops,
                100.0 * share
            )?;
        }
        if let Some(mib) = self.peak_rss_mib {
            write!(f, "{mib} MiB, ")?;
        }
        write!(f, "loss {:.3} -> {:.3}", self.loss_first, self.loss_last)?;
        if let Some(RowsUsed { inputs, outputs, all }) = self.rows_used {
            let [inputs, outputs, all] = [inputs, outputs, all].map(|share| 100.0 * share);
            write!(f, "\nrows in use: {inputs:.1} % as inputs, {outputs:.1} % as outputs, ")?;
            write!(f, "{all:.1} % of all; updates are {}", self.row_updates)?;
        }
        Ok(())
    }
}
