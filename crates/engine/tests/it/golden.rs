//! Golden values of PyTorch: logits, loss, every gradient, and ten AdamW steps of tiny models.
//!
//! The files were made once by `scripts/make_golden.py`; see `golden/README.md`.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::formats::{parse_config, read_params};
use engine::generate::Session;
use engine::model::{InputLayer, Layout, MicroShape, ModelConfig, Span};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::{Pool, Precision};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

const MODELS: [&str; 3] = ["llama-tied", "llama-untied", "qwen3-qk-norm"];

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(model)
}

/// Contents of one golden folder.
struct Golden {
    folder: PathBuf,
    layout: Layout,
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
            layout: layout(&folder, shape[2]),
            folder,
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

    /// A trainer of the model before its first step.
    fn trainer(&self, distinct_inputs: bool) -> Trainer {
        let ([n_seqs, seq_len], layout) = (self.shape, self.layout.clone());
        let usual = MicroShape::new(&layout.config, seq_len, n_seqs, Precision::F32);
        let shape = MicroShape { n_seqs, logit_rows_max: 8, distinct_inputs, ..usual };
        let options = AdamWOptions {
            beta1: number(&self.expected, "beta1"),
            beta2: number(&self.expected, "beta2"),
            eps: number(&self.expected, "eps"),
            weight_decay: number(&self.expected, "weight_decay"),
            ..AdamWOptions::default()
        };
        let (batch_seqs, token_counts) = (n_seqs, &[][..]);
        let lanes = LanesSpec { shape, n_lanes: 1, batch_seqs, threads: 1, seed: 0, token_counts };
        Trainer::new(TrainerSpec {
            params: read_params(&self.folder, &layout).unwrap(),
            inputs: InputLayer::new(&layout, None, None),
            optimizer: Box::new(AdamW::new(&layout, options)),
            lanes,
            layout,
        })
    }

    fn plan(&self, step: u64) -> StepPlan {
        let (lr, grad_norm_max) =
            (number(&self.expected, "lr"), number(&self.expected, "grad_norm_max"));
        StepPlan { step, lr, grad_norm_max, dropout: 0.0, seed: 0 }
    }
}

fn number(value: &serde_json::Value, name: &str) -> f32 {
    let found = value["optimiser"].get(name).or_else(|| value.get(name));
    found.and_then(|v| v.as_f64()).unwrap_or_else(|| panic!("expected.json lacks {name}")) as f32
}

fn layout(folder: &Path, seq_len: usize) -> Layout {
    let path = folder.join("config.json");
    let (config, _) = parse_config(&std::fs::read(&path).unwrap(), &path).unwrap();
    Layout::new(&ModelConfig { seq_len, ..config }).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() as f64).fold(0.0, f64::max)
}

fn norm(a: &[f32]) -> f64 {
    a.iter().map(|a| (*a as f64).powi(2)).sum::<f64>().sqrt()
}

/// Mean loss and gradients of the first batch, computed as in training.
fn first_batch(golden: &Golden, distinct_inputs: bool) -> (f64, Vec<f32>) {
    let mut trainer = golden.trainer(distinct_inputs);
    trainer.accumulate(&Stored(golden), &golden.plan(0));
    let sum = trainer.lanes().loss_sum();
    // With one lane, its gradients are the sum over all lanes.
    let all = Span { start: 0, end: golden.layout.len };
    let grads = trainer.lanes().summed_grad(all).iter().map(|g| g / sum.n_tok as f32);
    (sum.nats / sum.n_tok as f64, grads.collect())
}

#[test]
fn logits_match_pytorch() {
    for name in MODELS {
        let golden = Golden::read(name);
        let (v, t) = (golden.layout.config.vocab_size, golden.shape[1]);
        let expected = golden.tensor("logits");
        let mut pool = Pool::new(1);
        let mut trainer = golden.trainer(true);
        trainer.with_current(|model, _, _| {
            for (s, tokens) in golden.tokens[0].chunks(t).enumerate() {
                let mut session = Session::new(model.layout, Precision::F32, t, 1);
                for (i, token) in tokens.iter().enumerate() {
                    let logits = session.feed(model, &mut pool, &[*token]).unwrap();
                    let expected = &expected[(s * t + i) * v..(s * t + i + 1) * v];
                    let difference = largest_difference(logits, expected);
                    // Required by the specification; PyTorch's own noise is far below.
                    assert!(
                        difference <= 1e-4,
                        "{name}: logits at {s}, {i} differ by {difference}"
                    );
                }
            }
        });
    }
}

#[test]
fn loss_and_gradients_match_pytorch() {
    for name in MODELS {
        let golden = Golden::read(name);
        for distinct_inputs in [false, true] {
            let (loss, grads) = first_batch(&golden, distinct_inputs);
            let expected = golden.expected["loss"].as_f64().unwrap();
            assert!((loss - expected).abs() <= 1e-5, "{name}: loss {loss}, expected {expected}");
            check_gradients(&golden, &grads);
        }
    }
}

fn check_gradients(golden: &Golden, grads: &[f32]) {
    let bound = 1e-5f64.max(2.0 * golden.noise("grads_max_of_norm"));
    for tensor in &golden.layout.tensors {
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
    let span = golden.layout.layers[0].qkv.span;
    let planted: Vec<f32> = span.of(&grads).iter().map(|g| g * 0.001).collect();
    assert!(norm(&planted) / norm(span.of(&grads)) > 90.0 * 1e-5);
}

/// The stored batches, one per step.
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
fn ten_steps_of_adamw_match_pytorch() {
    for name in MODELS {
        let golden = Golden::read(name);
        let mut trainer = golden.trainer(true);
        let losses = golden.expected["losses"].as_array().unwrap();
        let norms = golden.expected["grad_norms"].as_array().unwrap();
        for step in 0..losses.len() {
            let report = trainer.step(&Stored(&golden), &golden.plan(step as u64)).unwrap();
            let (loss, norm) = (losses[step].as_f64().unwrap(), norms[step].as_f64().unwrap());
            assert!((report.loss_nats - loss).abs() <= 1e-5, "{name}: loss of step {step}");
            assert!((report.grad_norm - norm).abs() <= 1e-4 * norm, "{name}: norm of step {step}");
        }
        for tensor in &golden.layout.tensors {
            let expected = golden.tensor(&format!("after.{}", tensor.name));
            let difference = largest_difference(tensor.span.of(trainer.params()), expected);
            assert!(difference <= 1e-5, "{name}: {} off by {difference}", tensor.name);
        }
    }
}
