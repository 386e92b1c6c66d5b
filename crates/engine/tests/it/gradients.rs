//! Gradients of the whole model, compared with the derivative of its definition.
//!
//! The definition (`support/reference.rs`) runs on complex numbers: the derivative of the loss with
//! respect to a parameter p is `Im loss(p + ih) / h`, exact to the rounding of f64. The compared
//! gradients go through a whole step: lanes, micro-batches, dropout, the sum over lanes.
// A panic is how a test fails, and `!(distance <= bound)` is how it fails on NaN.
#![allow(clippy::unwrap_used, clippy::neg_cmp_op_on_partial_ord)]

#[path = "../support/reference.rs"]
mod reference;

use crate::support::words;

use engine::head::sampled::SampledTokens;
use engine::head::{HeadConfig, HeadName};
use engine::model::{Dropout, InputLayer, Layout, MicroShape, ModelConfig, Span, Tensor};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::complex::{Complex, complex, derivatives, zeros};
use kernels::rng::{Purpose, Rng};
use kernels::{AlignedVec, Precision};
use text::vocab::compose::Composer;
use text::vocab::ngrams::{Ngrams, ngram_tables};

/// A model to differentiate: grouped heads, two lanes, the second with two micro-batches.
#[derive(Clone, Copy, Debug)]
struct Variant {
    tie_embeddings: bool,
    qk_norm: bool,
    dropout: f32,
    head: HeadName,
    /// Whether a token is an input of the first micro-batches, but its class has a target only in
    /// the last one.
    is_late: bool,
    composes: bool,
    has_ngrams: bool,
}

const PLAIN: Variant = Variant {
    tie_embeddings: true,
    qk_norm: false,
    dropout: 0.0,
    head: HeadName::Full,
    is_late: false,
    composes: false,
    has_ngrams: false,
};

const VARIANTS: [Variant; 16] = [
    PLAIN,
    Variant { tie_embeddings: false, qk_norm: true, ..PLAIN },
    Variant { qk_norm: true, dropout: 0.2, ..PLAIN },
    Variant { tie_embeddings: false, dropout: 0.2, ..PLAIN },
    Variant { head: HeadName::Factor, ..PLAIN },
    Variant { head: HeadName::Factor, tie_embeddings: false, dropout: 0.2, ..PLAIN },
    Variant { head: HeadName::Factor, is_late: true, ..PLAIN },
    Variant { head: HeadName::Adaptive, tie_embeddings: false, ..PLAIN },
    Variant {
        head: HeadName::Adaptive,
        tie_embeddings: false,
        composes: true,
        has_ngrams: true,
        ..PLAIN
    },
    Variant { head: HeadName::Sampled, ..PLAIN },
    Variant { has_ngrams: true, head: HeadName::Sampled, qk_norm: true, ..PLAIN },
    Variant { head: HeadName::Sampled, tie_embeddings: false, dropout: 0.2, ..PLAIN },
    Variant { composes: true, qk_norm: true, ..PLAIN },
    Variant { composes: true, head: HeadName::Factor, dropout: 0.2, ..PLAIN },
    Variant { has_ngrams: true, tie_embeddings: false, ..PLAIN },
    Variant { has_ngrams: true, composes: true, head: HeadName::Factor, ..PLAIN },
];

const T: usize = 5;
const VOCAB: usize = 11;
/// First sequence and number of sequences of each micro-batch: two lanes share five sequences.
const MICRO_BATCHES: [(usize, usize); 3] = [(0, 2), (2, 2), (4, 1)];
const STEP: u64 = 3;
const SEED: u64 = 9;

/// First ids of the classes; the second has one token.
const CLASS_STARTS: [u32; 4] = [0, 3, 4, VOCAB as u32];
const ALONE: u32 = 3;

/// Few samples from few tokens, so that some are targets and some are drawn twice.
const N_SAMPLES: usize = 7;

/// Count of each token.
fn counts() -> Vec<u64> {
    (0..VOCAB as u64).map(|id| id * id).collect()
}

/// Tokens that repeat, within a sequence and among sequences.
struct Text {
    is_late: bool,
}

impl SequenceSource for Text {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let rng = Rng::new(1, Purpose::Test, step * 100 + index as u64);
        let is_last = index == MICRO_BATCHES[2].0;
        let token = |t: usize| match rng.below_at(t as u64, VOCAB as u64) as u32 {
            _ if self.is_late && t == 0 => ALONE,
            ALONE if self.is_late && !is_last => ALONE + 1,
            _ if self.is_late && t == 2 && is_last => ALONE,
            token => token,
        };
        tokens.iter_mut().enumerate().for_each(|(t, x)| *x = token(t));
        targets.iter_mut().enumerate().for_each(|(t, x)| *x = token(t + 1));
    }
}

impl Variant {
    /// Two blocks.
    fn layout(self) -> Layout {
        let config = ModelConfig {
            n_kv_heads: 1,
            head_dim: 4,
            ffn_dim: 10,
            seq_len: T,
            tie_embeddings: self.tie_embeddings,
            qk_norm: self.qk_norm,
            head: match self.head {
                HeadName::Full | HeadName::Sampled => HeadConfig::Full,
                HeadName::Factor => HeadConfig::Factor { class_starts: CLASS_STARTS.to_vec() },
                HeadName::Adaptive => HeadConfig::Adaptive { cutoffs: vec![3, 6] },
            },
            n_parts: if self.composes { words::N_PARTS } else { 0 },
            ngrams: if self.has_ngrams { ngram_tables(12) } else { vec![] },
            ..ModelConfig::new(VOCAB, 12, 2, 2)
        };
        let is_sampled = self.head == HeadName::Sampled;
        Layout::for_training(&config, is_sampled.then_some(N_SAMPLES)).unwrap()
    }

    /// Random parameters, large enough for every part of the model to matter.
    fn params(self, layout: &Layout) -> AlignedVec<f32> {
        let mut params = AlignedVec::zeroed(layout.len);
        for (i, tensor) in layout.tensors.iter().enumerate() {
            let values = tensor.span.of_mut(&mut params);
            Rng::new(2, Purpose::Test, i as u64).fill_normal(values, 0, 0.3);
            if tensor.shape.len() == 1 {
                values.iter_mut().for_each(|gain| *gain += 1.0);
            }
        }
        params
    }

    fn trainer(self, precision: Precision, distinct_inputs: bool) -> Trainer {
        let layout = self.layout();
        let inputs = InputLayer::new(&layout, self.composer(), self.ngrams());
        let (n_inputs, logit_rows_max) = (inputs.n_inputs(), 8);
        let usual = MicroShape::new(&layout.config, T, 2, precision);
        let lanes = LanesSpec {
            shape: MicroShape { n_seqs: 2, logit_rows_max, distinct_inputs, n_inputs, ..usual },
            n_lanes: 2,
            batch_seqs: 5,
            threads: 1,
            seed: SEED,
            token_counts: &counts(),
        };
        Trainer::new(TrainerSpec {
            params: self.params(&layout),
            inputs,
            optimizer: Box::new(AdamW::new(&layout, AdamWOptions::default())),
            lanes,
            layout,
        })
    }

    /// N-grams of the text, which is so small that some occur twice.
    fn ngrams(self) -> Option<Ngrams> {
        let mut text = [0; 5 * T];
        for (s, tokens) in text.chunks_exact_mut(T).enumerate() {
            self.text().fill(STEP, s, tokens, &mut [0; T]);
        }
        self.has_ngrams.then(|| Ngrams::learn(&ngram_tables(12), &text, 1))
    }

    /// Composer of the input vectors, with every word of the text.
    fn composer(self) -> Option<Composer> {
        let mut composer = self.composes.then(|| words::composer(VOCAB))?;
        for s in 0..5 {
            let (mut tokens, mut targets) = ([0; T], [0; T]);
            self.text().fill(STEP, s, &mut tokens, &mut targets);
            composer.add_words(&tokens);
        }
        assert!(composer.n_inputs() > VOCAB, "some word of the text has several tokens");
        Some(composer)
    }

    /// The tokens drawn in the step of a sampled layer.
    fn candidates(self, layout: &Layout, params: &[f32]) -> Option<SampledTokens> {
        let new = || SampledTokens::new(&counts(), N_SAMPLES, 12, Precision::F32, SEED);
        let mut candidates = (self.head == HeadName::Sampled).then(new)?;
        candidates.draw(layout.head.matrices()[0].matrix.span.of(params), STEP);
        Some(candidates)
    }

    fn text(self) -> Text {
        Text { is_late: self.is_late }
    }

    fn plan(self) -> StepPlan {
        let (lr, grad_norm_max) = (1e-3, 1.0);
        StepPlan { step: STEP, lr, grad_norm_max, dropout: self.dropout, seed: SEED }
    }

    /// The sum of losses and its gradient, by training.
    fn by_training(self, precision: Precision, distinct_inputs: bool) -> (f64, Vec<f64>) {
        let mut trainer = self.trainer(precision, distinct_inputs);
        trainer.step(&self.text(), &self.plan()).unwrap();
        let Layout { lane_len, len, .. } = *trainer.layout();
        let lanes = trainer.lanes();
        let parts = [Span { start: 0, end: lane_len }, Span { start: lane_len, end: len }];
        let grads = parts.iter().flat_map(|part| lanes.summed_grad(*part));
        let grads = grads.map(|g| *g as f64).collect();
        (lanes.loss_sum().nats, grads)
    }

    /// The same by the definition, at parameters changed by `round`; `seed` determines the masks.
    fn by_definition(self, seed: u64, round: impl Fn(usize, f32) -> f32) -> (f64, Vec<f64>) {
        let layout = &self.layout();
        let exact = self.params(layout);
        let (composer, ngrams) = (self.composer(), self.ngrams());
        let params = exact.iter().enumerate();
        let params: Vec<f64> = params.map(|(i, p)| round(i, *p) as f64).collect();
        let (mut tokens, mut targets) = ([0; 5 * T], [0; 5 * T]);
        for (s, row) in tokens.chunks_exact_mut(T).zip(targets.chunks_exact_mut(T)).enumerate() {
            self.text().fill(STEP, s, row.0, row.1);
        }
        let keys = Rng::new(seed, Purpose::Dropout, STEP);
        let candidates = self.candidates(layout, &exact);
        let loss = |params: &[Complex]| {
            let mut sum = zeros(1);
            for (first, n) in MICRO_BATCHES {
                let dropout = Dropout { rate: self.dropout, key: keys.u64_at(first as u64) };
                let masks = |l, branch| (self.dropout > 0.0).then(|| dropout.mask(l, branch));
                let rows = first * T..(first + n) * T;
                let (tokens, targets) = (&tokens[rows.clone()], &targets[rows]);
                sum[0] += reference::loss(
                    layout,
                    (composer.as_ref(), ngrams.as_ref()),
                    params,
                    tokens,
                    targets,
                    candidates.as_ref(),
                    &masks,
                );
            }
            sum
        };
        (loss(&complex(&params))[0].re, derivatives(&[1.0], &params, loss))
    }
}

/// Number of random rounding errors for the bf16 bounds.
const N_DRAWS: u64 = 6;

/// `x` with an error like that of rounding it to bf16: uniform over the spacing of bf16 numbers,
/// which is 2^-7 of the power of two below `x`.
fn with_error_of_bf16(draw: u64, i: usize, x: f32) -> f32 {
    let power_of_two = f32::from_bits(x.to_bits() & 0x7f80_0000);
    let error = Rng::new(4, Purpose::Test, draw).f64_at(i as u64) as f32 - 0.5;
    x + error * power_of_two / 128.0
}

/// Roundings on the longest path through the forward and the backward pass: one per sum or product.
fn n_roundings(config: &ModelConfig) -> usize {
    let m = config;
    let attention = m.model_dim + m.head_dim + T + m.attn_dim();
    let block = 2 * m.model_dim + attention + m.model_dim + m.ffn_dim;
    2 * (m.n_layers * block + 2 * m.model_dim + m.vocab_size) + 5 * T
}

/// Expected loss and gradients, with bounds on the error of each tensor's gradient relative to its
/// norm.
struct Expected {
    loss: f64,
    loss_bound: f64,
    grads: Vec<f64>,
    bounds: Vec<f64>,
}

impl Expected {
    /// In f32, each rounding is at most 2^-24, in the worst case all in the same direction.
    ///
    /// In bf16 the operands of products are rounded: weights, inputs and gradients. The effect of
    /// rounded weights on a gradient is measured by differentiating the definition at parameters
    /// with such errors, several times. The other two have about the same effect, independently, so
    /// the total is larger by the root of three. Twice that is not exceeded by chance.
    fn new(variant: Variant, seed: u64, precision: Precision) -> Expected {
        let layout = variant.layout();
        let (loss, grads) = variant.by_definition(seed, |_, x| x);
        let of_f32 = n_roundings(&layout.config) as f64 * 2f64.powi(-24);
        let mut expected = Expected {
            loss,
            loss_bound: of_f32 * loss,
            bounds: vec![of_f32; layout.tensors.len()],
            grads,
        };
        if precision == Precision::Bf16 {
            let rounded = |draw| variant.by_definition(seed, |i, x| with_error_of_bf16(draw, i, x));
            let draws: Vec<_> = (0..N_DRAWS).map(rounded).collect();
            let rms = |errors: Vec<f64>| norm(&errors) / (N_DRAWS as f64).sqrt();
            let more = 2.0 * 3f64.sqrt();
            expected.loss_bound +=
                more * rms(draws.iter().map(|(rounded, _)| rounded - loss).collect());
            for (bound, t) in expected.bounds.iter_mut().zip(&layout.tensors) {
                let of = |(_, rounded): &(f64, Vec<f64>)| distance(t, rounded, &expected.grads);
                *bound += more * rms(draws.iter().map(of).collect());
            }
        }
        expected
    }

    /// The first tensor whose gradient is not within its bound.
    fn mismatch(&self, tensors: &[Tensor], found: &[f64]) -> Option<String> {
        let distances = tensors.iter().map(|t| distance(t, found, &self.grads));
        let mut all = tensors.iter().zip(distances).zip(&self.bounds);
        let beyond = all.find(|((_, distance), bound)| !(distance <= *bound));
        beyond.map(|((t, distance), bound)| format!("{}: {distance:.2e} above {bound:.2e}", t.name))
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Distance of a tensor's gradients relative to the norm of the expected ones.
fn distance(tensor: &Tensor, found: &[f64], expected: &[f64]) -> f64 {
    let (found, expected) = (tensor.span.of(found), tensor.span.of(expected));
    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(expected)
}

#[test]
fn every_gradient_is_the_derivative_of_the_definition() {
    for variant in VARIANTS {
        for precision in [Precision::F32, Precision::Bf16] {
            let expected = Expected::new(variant, SEED, precision);
            let tensors = variant.layout().tensors;
            for distinct_inputs in [false, true] {
                let (loss, grads) = variant.by_training(precision, distinct_inputs);
                let found = expected.mismatch(&tensors, &grads);
                assert_eq!(found, None, "{variant:?} {precision:?} {distinct_inputs}");
                let difference = (loss - expected.loss).abs();
                assert!(
                    difference <= expected.loss_bound,
                    "{variant:?} {precision:?}: {difference}"
                );
            }
        }
    }
}

/// An error of 0.1 % in any single tensor is detected in f32, and one of 25 % in bf16.
#[test]
fn a_planted_error_is_detected_in_every_tensor() {
    let variant = VARIANTS[1];
    for (precision, factor) in [(Precision::F32, 1.001), (Precision::Bf16, 1.25)] {
        let expected = Expected::new(variant, SEED, precision);
        let tensors = variant.layout().tensors;
        for tensor in &tensors {
            let mut wrong = expected.grads.clone();
            tensor.span.of_mut(&mut wrong).iter_mut().for_each(|g| *g *= factor);
            let found = expected.mismatch(&tensors, &wrong).expect(&tensor.name);
            assert!(found.starts_with(&tensor.name), "{found}");
        }
    }
}

/// Wrong masks give a wrong gradient, so the test above covers the masks too.
#[test]
fn wrong_dropout_masks_are_detected() {
    let variant = VARIANTS[2];
    for precision in [Precision::F32, Precision::Bf16] {
        let expected = Expected::new(variant, SEED + 1, precision);
        let (_, found) = variant.by_training(precision, true);
        let tensors = variant.layout().tensors;
        assert!(expected.mismatch(&tensors, &found).is_some(), "{precision:?}");
    }
}
