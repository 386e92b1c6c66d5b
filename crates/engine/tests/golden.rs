//! The engine against PyTorch: logits, loss, every gradient, and ten AdamW steps of tiny models.
//!
//! The files were made once by `scripts/make_golden.py`; see `golden/README.md`.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::disk::RealFs;
use engine::formats::{TensorFile, parse_config};
use engine::generate::Session;
use engine::head::full::loss_and_gradient;
use engine::model::{LaneBuffers, Layout, MicroBatch, MicroShape, ModelConfig, backward, forward};
use engine::train::{AdamWOptions, Lanes, SequenceSource, StepPlan, TrainState, training_step};
use kernels::{AlignedVec, Pool, Precision};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

const MODELS: [&str; 3] = ["llama-tied", "llama-untied", "qwen3-qk-norm"];

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(model)
}

/// One golden folder, read.
struct Golden {
    state: TrainState,
    /// (steps, B·T)
    tokens: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    shape: [usize; 2],
    tensors: Vec<(String, Vec<f32>)>,
    expected: serde_json::Value,
}

impl Golden {
    fn read(model: &str) -> Golden {
        let folder = folder(model);
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let shape = file.tensor("tokens").unwrap().shape().to_vec();
        let rows = shape[1] * shape[2];
        let ids = |name: &str| -> Vec<Vec<u32>> {
            let view = file.tensor(name).unwrap();
            let all: Vec<u32> =
                view.data().as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
            all.chunks(rows).map(<[u32]>::to_vec).collect()
        };
        let tensors = file.tensors().into_iter().filter(|(name, _)| name != "tokens");
        let tensors = tensors.filter(|(name, _)| name != "targets").map(|(name, view)| {
            let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
            (name, values.collect())
        });
        Golden {
            state: state(&folder, shape[2], &expected),
            tokens: ids("tokens"),
            targets: ids("targets"),
            shape: [shape[1], shape[2]],
            tensors: tensors.collect(),
            expected,
        }
    }

    fn tensor(&self, name: &str) -> &[f32] {
        let found = self.tensors.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("no golden tensor {name}")).1
    }

    fn noise(&self, what: &str) -> f64 {
        self.expected["rounding_noise"][what].as_f64().unwrap_or(0.0)
    }

    fn lane_shape(&self, unique_tokens: bool) -> MicroShape {
        let ([n_seqs, seq_len], config) = (self.shape, &self.state.layout.config);
        let usual = MicroShape::new(config, seq_len, n_seqs, Precision::F32);
        MicroShape { n_seqs, head_rows: 8, unique_tokens, ..usual }
    }
}

fn number(value: &serde_json::Value, name: &str) -> f32 {
    let found = value["optimiser"].get(name).or_else(|| value.get(name));
    found.and_then(|v| v.as_f64()).unwrap_or_else(|| panic!("expected.json lacks {name}")) as f32
}

fn state(folder: &Path, seq_len: usize, expected: &serde_json::Value) -> TrainState {
    let path = folder.join("config.json");
    let (config, _) = parse_config(&std::fs::read(&path).unwrap(), &path).unwrap();
    let config = ModelConfig { seq_len, ..config };
    let layout = Layout::new(&config).unwrap();
    let mut params = AlignedVec::zeroed(layout.len);
    let mut file = TensorFile::open(&RealFs, &folder.join("model.safetensors")).unwrap();
    for t in &layout.tensors {
        file.read(&t.name, &t.shape, t.span.of_mut(&mut params)).unwrap();
    }
    let options = AdamWOptions {
        beta1: number(expected, "beta1"),
        beta2: number(expected, "beta2"),
        eps: number(expected, "eps"),
        weight_decay: number(expected, "weight_decay"),
        ..AdamWOptions::default()
    };
    let mut state = TrainState::new(layout, params, Precision::F32, options);
    state.pack(&mut Pool::new(1));
    state
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() as f64).fold(0.0, f64::max)
}

fn norm(a: &[f32]) -> f64 {
    a.iter().map(|a| (*a as f64).powi(2)).sum::<f64>().sqrt()
}

/// Loss of the first batch, and the lane that holds its gradients of the mean loss.
fn first_batch(golden: &Golden, unique_tokens: bool) -> (f64, Vec<f32>) {
    let shape = golden.lane_shape(unique_tokens);
    let mut lane = LaneBuffers::new(&golden.state.layout, shape, true);
    let batch = MicroBatch { tokens: &golden.tokens[0], targets: &golden.targets[0] };
    let model = golden.state.model();
    lane.begin_step(model.layout);
    forward(model, batch.tokens, None, &mut lane);
    let sum = loss_and_gradient(model, batch, true, &mut lane);
    backward(model, batch.tokens.len(), None, true, &mut lane);
    let grads = lane.grads.iter().map(|g| g / sum.n_tok as f32).collect();
    (sum.nats / sum.n_tok as f64, grads)
}

#[test]
fn logits_are_pytorchs() {
    for name in MODELS {
        let golden = Golden::read(name);
        let (v, t) = (golden.state.layout.config.vocab_size, golden.shape[1]);
        let expected = golden.tensor("logits");
        let mut pool = Pool::new(1);
        for (s, tokens) in golden.tokens[0].chunks(t).enumerate() {
            let mut session = Session::new(&golden.state.layout, Precision::F32, t, 1);
            for (i, token) in tokens.iter().enumerate() {
                let logits = session.feed(golden.state.model(), &mut pool, &[*token]).unwrap();
                let expected = &expected[(s * t + i) * v..(s * t + i + 1) * v];
                let difference = largest_difference(logits, expected);
                // The target of the specification; PyTorch's own noise is far below it.
                assert!(difference <= 1e-4, "{name}: logits at {s}, {i} differ by {difference}");
            }
        }
    }
}

#[test]
fn loss_and_every_gradient_are_pytorchs() {
    for name in MODELS {
        let golden = Golden::read(name);
        for unique_tokens in [false, true] {
            let (loss, grads) = first_batch(&golden, unique_tokens);
            let expected = golden.expected["loss"].as_f64().unwrap();
            assert!((loss - expected).abs() <= 1e-5, "{name}: loss {loss}, expected {expected}");
            check_gradients(&golden, &grads);
        }
    }
}

fn check_gradients(golden: &Golden, grads: &[f32]) {
    let bound = 1e-5f64.max(2.0 * golden.noise("grads_max_of_norm"));
    for tensor in &golden.state.layout.tensors {
        let expected = golden.tensor(&format!("grad.{}", tensor.name));
        let found = tensor.span.of(grads);
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let relative = norm(&difference) / norm(expected);
        assert!(relative <= bound, "gradient of {} off by {relative}", tensor.name);
    }
}

#[test]
fn a_planted_error_is_a_hundred_times_the_bound() {
    let golden = Golden::read("llama-tied");
    let (_, grads) = first_batch(&golden, true);
    let span = golden.state.layout.layers[0].qkv.span;
    let planted: Vec<f32> = span.of(&grads).iter().map(|g| g * 0.001).collect();
    assert!(norm(&planted) / norm(span.of(&grads)) > 90.0 * 1e-5);
}

/// The stored batches, one a step.
struct Stored<'a>(&'a Golden);

impl SequenceSource for Stored<'_> {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let t = tokens.len();
        let (step, row) = (step as usize, index * t..(index + 1) * t);
        tokens.copy_from_slice(&self.0.tokens[step][row.clone()]);
        targets.copy_from_slice(&self.0.targets[step][row]);
    }
}

#[test]
fn ten_steps_of_adamw_are_pytorchs() {
    for name in MODELS {
        let golden = Golden::read(name);
        let mut state = Golden::read(name).state;
        let mut lanes = Lanes::new(&state.layout, &golden.lane_shape(true), 1, golden.shape[0], 1);
        let losses = golden.expected["losses"].as_array().unwrap();
        let norms = golden.expected["grad_norms"].as_array().unwrap();
        for step in 0..losses.len() {
            let plan = StepPlan {
                step: step as u64,
                lr: number(&golden.expected, "lr"),
                grad_norm_max: number(&golden.expected, "grad_norm_max"),
                dropout: 0.0,
                seed: 0,
            };
            let report = training_step(&mut state, &mut lanes, &Stored(&golden), &plan).unwrap();
            let (loss, norm) = (losses[step].as_f64().unwrap(), norms[step].as_f64().unwrap());
            assert!((report.loss_nats - loss).abs() <= 1e-5, "{name}: loss of step {step}");
            assert!((report.grad_norm - norm).abs() <= 1e-4 * norm, "{name}: norm of step {step}");
        }
        for tensor in &state.layout.tensors {
            let expected = golden.tensor(&format!("after.{}", tensor.name));
            let difference = largest_difference(tensor.span.of(&state.params), expected);
            assert!(difference <= 1e-5, "{name}: {} off by {difference}", tensor.name);
        }
    }
}
