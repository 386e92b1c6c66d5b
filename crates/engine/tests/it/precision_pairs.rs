//! Precision pairs: the cost of bf16, from runs that differ only in the precision of products.
//!
//! Both runs of a pair have the same seed, so the same initial weights and the same tokens in the
//! same order. The comparison over five seeds and two corpora takes minutes and is not part of the
//! suite:
//!
//! ```text
//! cargo test --release -p crystalline-engine --test it precision_pairs -- --ignored --nocapture
//! ```
//!
//! `CRYSTALLINE_PAIR_STEPS` sets the steps of a run, `CRYSTALLINE_TEST_DATA` the folder that holds
//! `tinyshakespeare.txt`, for which `../shared/data` beside the repository is tried too.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::model::{InputLayer, Layout, MicroShape, ModelConfig, OwnedModel, init_params};
use engine::train::{
    AdamW, AdamWOptions, Lanes, LanesSpec, Schedule, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::{Isa, Precision};
use std::path::{Path, PathBuf};
use text::corpus::{Batches, EvalWindows};
use text::stories;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

const SEQ_LEN: usize = 128;
const BATCH_SEQS: usize = 16;
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// A tokenised text, with the last tenth held out.
struct Corpus {
    name: &'static str,
    vocab_size: usize,
    train: Vec<u32>,
    valid: Vec<u32>,
}

impl Corpus {
    fn new(name: &'static str, text: &str) -> Corpus {
        let options = TrainOptions { vocab_size: 1024, ..TrainOptions::new(TokenizerKind::Bpe) };
        let mut control = Control::threads(threads());
        let tokenizer = Tokenizer::train(&options, &[text], &mut control).unwrap();
        let mut train = tokenizer.encode_parallel(text, &mut control).unwrap();
        let valid = train.split_off(train.len() / 10 * 9);
        Corpus { name, vocab_size: tokenizer.vocab_size(), train, valid }
    }

    fn stories(n_bytes: u64) -> Corpus {
        let mut text = Vec::new();
        stories::write_corpus(n_bytes, 0, threads(), &mut text, &mut |_| true).unwrap();
        Corpus::new("stories", std::str::from_utf8(&text).unwrap())
    }

    /// Tiny Shakespeare; `None`, with a message, if the file is missing.
    fn plays() -> Option<Corpus> {
        let given = std::env::var_os("CRYSTALLINE_TEST_DATA").map(PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let path = given.unwrap_or(beside).join("tinyshakespeare.txt");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: no {}; set CRYSTALLINE_TEST_DATA", path.display());
            return None;
        };
        Some(Corpus::new("tinyshakespeare", &text))
    }
}

struct Train<'a>(&'a [u32], Batches);

impl SequenceSource for Train<'_> {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.1.fill(self.0, step, index, tokens, targets);
    }
}

struct Valid<'a>(&'a [u32], EvalWindows);

impl SequenceSource for Valid<'_> {
    fn fill(&self, _step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.1.fill(self.0, index, tokens, targets);
    }
}

/// One run of a pair.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    n_steps: u64,
    precision: Precision,
    model_dim: usize,
    lr: f32,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Trains and returns the loss on the held-out text, in nats per token.
///
/// Models trained in bf16 are also evaluated in f32: the weights are compared, not the evaluation.
fn final_loss(corpus: &Corpus, run: Run) -> f64 {
    let usual = ModelConfig::new(corpus.vocab_size, run.model_dim, 4, 4);
    let config = ModelConfig { seq_len: SEQ_LEN, ..usual };
    let (layout, n_lanes) = (Layout::new(&config).unwrap(), 2);
    let lanes = LanesSpec {
        shape: MicroShape::new(&config, SEQ_LEN, BATCH_SEQS / n_lanes, run.precision),
        n_lanes,
        batch_seqs: BATCH_SEQS,
        threads: threads(),
        seed: run.seed,
        token_counts: &[],
    };
    let mut trainer = Trainer::new(TrainerSpec {
        params: init_params(&layout, run.seed),
        inputs: InputLayer::new(&layout, None, None),
        optimizer: Box::new(AdamW::new(&layout, AdamWOptions::default())),
        lanes,
        layout,
    });
    let batches = Batches::new(corpus.train.len(), SEQ_LEN, BATCH_SEQS, run.seed).unwrap();
    let (source, n_steps) = (Train(&corpus.train, batches), run.n_steps);
    let schedule =
        Schedule { lr: run.lr, n_steps, warmup_steps: n_steps / 20, decay_steps: n_steps / 2 };
    for step in 0..n_steps {
        let (lr, seed) = (schedule.at(step), run.seed);
        let plan = StepPlan { step, lr, grad_norm_max: 1.0, dropout: 0.0, seed };
        trainer.step(&source, &plan).unwrap();
    }
    evaluate(corpus, trainer)
}

fn evaluate(corpus: &Corpus, trainer: Trainer) -> f64 {
    let (layout, params) = trainer.into_model();
    let shape = MicroShape::new(&layout.config, SEQ_LEN, BATCH_SEQS, Precision::F32);
    let mut lanes = Lanes::for_evaluation(&layout, &shape, threads());
    let inputs = InputLayer::new(&layout, None, None);
    let model = OwnedModel::new(layout, params, inputs, Precision::F32, lanes.pool());
    let windows = EvalWindows::new(corpus.valid.len(), SEQ_LEN).unwrap();
    let n = windows.n_windows();
    let sum = lanes.evaluate(model.model(), &Valid(&corpus.valid, windows), n);
    sum.nats / sum.n_tok as f64
}

/// Mean of some differences, and the standard error of that mean.
fn mean_and_error(differences: &[f64]) -> (f64, f64) {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

/// Prints both losses of every seed; returns the mean excess loss of bf16 and its standard error.
fn compare(corpus: &Corpus, seeds: &[u64], n_steps: u64) -> (f64, f64) {
    let (n_train, n_valid) = (corpus.train.len(), corpus.valid.len());
    println!("\n{}: {n_train} tokens, {n_valid} held out; {n_steps} steps", corpus.name);
    println!("seed     f32    bf16  bf16 - f32");
    let differences = seeds.iter().map(|&seed| {
        let [f32, bf16] = [Precision::F32, Precision::Bf16].map(|precision| {
            final_loss(corpus, Run { seed, n_steps, precision, model_dim: 128, lr: 3e-3 })
        });
        println!("{seed:4}  {f32:.4}  {bf16:.4}  {:+.4}", bf16 - f32);
        bf16 - f32
    });
    let (mean, error) = mean_and_error(&differences.collect::<Vec<_>>());
    println!("mean {mean:+.5} nats a token, standard error {error:.5}");
    (mean, error)
}

#[test]
#[ignore = "takes minutes; see the top of the file"]
fn bf16_learns_as_well_as_f32() {
    let steps = std::env::var("CRYSTALLINE_PAIR_STEPS").ok().and_then(|s| s.parse().ok());
    println!("instructions: {}, threads: {}", Isa::active().name(), threads());
    for corpus in [Some(Corpus::stories(2_000_000)), Corpus::plays()].into_iter().flatten() {
        let (mean, error) = compare(&corpus, &SEEDS, steps.unwrap_or(400));
        // 1 % of a loss of a few nats, beyond the uncertainty of five seeds (t of 4 degrees of
        // freedom at 95 %, two-sided).
        assert!(mean - 2.776 * error < 0.02, "{}: bf16 loses {mean} nats", corpus.name);
    }
}

#[test]
fn mean_and_error_of_known_numbers() {
    let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(mean, 2.5);
    assert!((error - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
}

/// The same comparison on a tiny scale: a seed determines the loss, precision changes it little,
/// and a harmful setting changes it much.
#[test]
fn a_pair_differs_in_its_precision_only() {
    let corpus = Corpus::stories(60_000);
    let run = Run { seed: 1, n_steps: 30, precision: Precision::F32, model_dim: 32, lr: 3e-3 };
    let loss = final_loss(&corpus, run);
    assert_eq!(loss, final_loss(&corpus, run));
    let bf16 = final_loss(&corpus, Run { precision: Precision::Bf16, ..run });
    assert!(bf16 != loss && (bf16 - loss).abs() < 0.02, "{loss} {bf16}");
    let planted = final_loss(&corpus, Run { lr: run.lr / 10.0, ..run });
    assert!(planted - loss > 0.1, "{loss} {planted}");
}
