//! The gradient of the whole model is the derivative of its definition.
//!
//! The definition (`support/reference.rs`) runs on complex numbers: the derivative of the loss with
//! respect to a parameter p is `Im loss(p + ih) / h`, exact to the rounding of f64. What is compared
//! went through everything that a step does: lanes, micro-batches, dropout, the sum over lanes.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "../../kernels/tests/support/complex.rs"]
mod complex;
#[path = "support/reference.rs"]
mod reference;

use complex::{complex, derivatives};
use engine::data::{Purpose, Rng};
use engine::model::{Dropout, Layout, MicroShape, ModelConfig, Tensor};
use engine::train::{AdamWOptions, Lanes, SequenceSource, StepPlan, TrainState};
use kernels::{AlignedVec, Precision};

/// What is differentiated: grouped heads, two lanes, of which the second has two micro-batches.
#[derive(Clone, Copy, Debug)]
struct Variant {
    tie_embeddings: bool,
    qk_norm: bool,
    dropout: f32,
}

const VARIANTS: [Variant; 4] = [
    Variant { tie_embeddings: true, qk_norm: false, dropout: 0.0 },
    Variant { tie_embeddings: false, qk_norm: true, dropout: 0.0 },
    Variant { tie_embeddings: true, qk_norm: true, dropout: 0.2 },
    Variant { tie_embeddings: false, qk_norm: false, dropout: 0.2 },
];

const T: usize = 5;
const VOCAB: usize = 11;
/// First sequence and number of sequences of each micro-batch: two lanes share five sequences.
const MICRO_BATCHES: [(usize, usize); 3] = [(0, 2), (2, 2), (4, 1)];
const STEP: u64 = 3;
const SEED: u64 = 9;

/// Tokens that repeat, within a sequence and among sequences.
struct Text;

impl SequenceSource for Text {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let rng = Rng::new(1, Purpose::Test, step * 100 + index as u64);
        let token = |t: usize| rng.below_at(t as u64, VOCAB as u64) as u32;
        tokens.iter_mut().enumerate().for_each(|(t, x)| *x = token(t));
        targets.iter_mut().enumerate().for_each(|(t, x)| *x = token(t + 1));
    }
}

impl Variant {
    /// Two blocks with random parameters, large enough for every part of the model to matter.
    fn state(self, precision: Precision) -> TrainState {
        let config = ModelConfig {
            n_kv_heads: 1,
            head_dim: 4,
            ffn_dim: 10,
            seq_len: T,
            tie_embeddings: self.tie_embeddings,
            qk_norm: self.qk_norm,
            ..ModelConfig::new(VOCAB, 12, 2, 2)
        };
        let layout = Layout::new(&config).unwrap();
        let mut params = AlignedVec::zeroed(layout.len);
        for (i, tensor) in layout.tensors.iter().enumerate() {
            let values = tensor.span.of_mut(&mut params);
            Rng::new(2, Purpose::Test, i as u64).fill_normal(values, 0, 0.4);
            if tensor.shape.len() == 1 {
                values.iter_mut().for_each(|gain| *gain += 1.0);
            }
        }
        TrainState::new(layout, params, precision, AdamWOptions::default())
    }

    fn plan(self) -> StepPlan {
        let (lr, grad_norm_max) = (1e-3, 1.0);
        StepPlan { step: STEP, lr, grad_norm_max, dropout: self.dropout, seed: SEED }
    }

    /// The gradient of the sum of losses as training gets it, and that sum.
    fn by_training(self, precision: Precision) -> (f64, Vec<f64>) {
        let mut state = self.state(precision);
        let usual = MicroShape::new(&state.layout.config, T, 2, precision);
        let shape = MicroShape { n_seqs: 2, head_rows: 8, ..usual };
        let mut lanes = Lanes::new(&state.layout, &shape, 2, 5, 1);
        state.pack(lanes.pool());
        let model = state.model();
        lanes.for_each(|lane| lane.accumulate(model, &Text, &self.plan()));
        state.optim.sum_over_lanes(&state.params, &mut lanes);
        let grads = lanes.summed_grads().iter().map(|g| *g as f64).collect();
        (lanes.loss_sum().nats, grads)
    }

    /// The same by the definition; `seed` makes the masks.
    fn by_definition(self, seed: u64) -> (f64, Vec<f64>) {
        let state = self.state(Precision::F32);
        let layout = &state.layout;
        let params: Vec<f64> = state.params.iter().map(|p| *p as f64).collect();
        let (mut tokens, mut targets) = ([0; 5 * T], [0; 5 * T]);
        for (s, row) in tokens.chunks_exact_mut(T).zip(targets.chunks_exact_mut(T)).enumerate() {
            Text.fill(STEP, s, row.0, row.1);
        }
        let keys = Rng::new(seed, Purpose::Dropout, STEP);
        let loss = |params: &[complex::Complex]| {
            let losses = MICRO_BATCHES.map(|(first, n)| {
                let dropout = Dropout { rate: self.dropout, key: keys.u64_at(first as u64) };
                let masks = |l, branch| (self.dropout > 0.0).then(|| dropout.mask(l, branch));
                let rows = first * T..(first + n) * T;
                reference::loss(layout, params, &tokens[rows.clone()], &targets[rows], &masks)
            });
            losses.into_iter().reduce(|a, b| a + b).into_iter().collect::<Vec<_>>()
        };
        (loss(&complex(&params))[0].re, derivatives(&[1.0], &params, loss))
    }
}

/// Sums and products on the longest way of a number through the model and back: each rounds once.
fn n_roundings(config: &ModelConfig) -> usize {
    let m = config;
    let attention = m.model_dim + m.head_dim + T + m.attn_dim();
    let block = 2 * m.model_dim + attention + m.model_dim + m.ffn_dim;
    2 * (m.n_layers * block + 2 * m.model_dim + m.vocab_size) + 5 * T
}

/// Largest accepted distance from the definition, relative to the norm of a tensor's gradient.
///
/// In f32 every rounding on the way is by at most 2^-24, all in the same direction at worst. In
/// bf16 the operands of every product are rounded as well, by at most 2^-9 each: seven products a
/// block and one behind them, there and back, of two operands; being independent these add up as
/// their root, and three times that is not exceeded by chance.
fn bound(config: &ModelConfig, precision: Precision) -> f64 {
    let n_operands = 2 * 2 * (7 * config.n_layers + 1);
    match precision {
        Precision::F32 => n_roundings(config) as f64 * 2f64.powi(-24),
        Precision::Bf16 => 3.0 * (n_operands as f64).sqrt() * 2f64.powi(-9),
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The distance of a tensor's gradients relative to the second's norm.
fn distance(tensor: &Tensor, found: &[f64], expected: &[f64]) -> f64 {
    let (found, expected) = (tensor.span.of(found), tensor.span.of(expected));
    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(expected)
}

/// The first tensor whose gradient is not within the bound.
fn mismatch(state: &TrainState, found: &[f64], expected: &[f64]) -> Option<String> {
    let bound = bound(&state.layout.config, state.packed.precision());
    let distances = state.layout.tensors.iter().map(|t| (&t.name, distance(t, found, expected)));
    let mut beyond = distances.filter(|(_, distance)| !(*distance <= bound));
    beyond.next().map(|(name, distance)| format!("{name}: {distance:.2e} above {bound:.2e}"))
}

#[test]
fn every_gradient_is_the_derivative_of_the_definition() {
    for variant in VARIANTS {
        let (loss, expected) = variant.by_definition(SEED);
        for precision in [Precision::F32, Precision::Bf16] {
            let (found_loss, found) = variant.by_training(precision);
            let state = variant.state(precision);
            assert_eq!(mismatch(&state, &found, &expected), None, "{variant:?} {precision:?}");
            let bound = bound(&state.layout.config, precision);
            assert!((found_loss - loss).abs() <= bound * loss, "{variant:?}: {found_loss} {loss}");
        }
    }
}

/// An error of 0.1 % in any tensor is found in f32, and one of a tenth in bf16.
#[test]
fn a_planted_error_is_found_in_every_tensor() {
    let variant = VARIANTS[1];
    for (precision, factor) in [(Precision::F32, 1.001), (Precision::Bf16, 1.15)] {
        let state = variant.state(precision);
        let (_, right) = variant.by_training(precision);
        for tensor in &state.layout.tensors {
            let mut wrong = right.clone();
            tensor.span.of_mut(&mut wrong).iter_mut().for_each(|g| *g *= factor);
            let found = mismatch(&state, &wrong, &right).expect(&tensor.name);
            assert!(found.starts_with(&tensor.name), "{found}");
        }
    }
}

/// Other masks give another gradient: that they are the right ones is part of what is tested.
#[test]
fn other_dropout_masks_are_found() {
    let variant = VARIANTS[2];
    let (_, expected) = variant.by_definition(SEED + 1);
    for precision in [Precision::F32, Precision::Bf16] {
        let (_, found) = variant.by_training(precision);
        assert!(mismatch(&variant.state(precision), &found, &expected).is_some());
    }
}
