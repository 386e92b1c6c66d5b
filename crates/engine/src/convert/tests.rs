//! Fit tests: the gradient matches its definition; the start is exact where a full layer can be.

use super::inputs::Inputs;
use super::*;
use crate::model::{InputLayer, OwnedModel};
use kernels::rng::{Purpose, Rng};
use kernels::{Precision, Rows};

const VOCAB: usize = 40;
const SEQ_LEN: usize = 8;
const SEQS: usize = 6;

/// Text in which token x is followed by 3x + 1, modulo the vocabulary.
struct Cycle;

impl SequenceSource for Cycle {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let mut token = (step as usize * 31 + index * 7) % VOCAB;
        for (t, target) in tokens.iter_mut().zip(targets) {
            *t = token as u32;
            token = (3 * token + 1) % VOCAB;
            *target = token as u32;
        }
    }
}

/// A model with peaked distributions and these classes; without biases if `is_plain`.
fn teacher(class_starts: Vec<u32>, precision: Precision, is_plain: bool) -> OwnedModel {
    let mut config = ModelConfig { seq_len: SEQ_LEN, ..ModelConfig::new(VOCAB, 16, 1, 2) };
    config.head = HeadConfig::Factor { class_starts };
    let layout = Layout::new(&config).unwrap();
    let mut params = AlignedVec::zeroed(layout.len);
    for (i, tensor) in layout.tensors.iter().enumerate() {
        let values = tensor.span.of_mut(&mut params);
        let is_bias = tensor.name.contains("bias");
        let std = if is_plain && is_bias { 0.0 } else { 0.5 };
        Rng::new(5, Purpose::Test, i as u64).fill_normal(values, 0, std);
        if tensor.name.contains("norm") {
            values.fill(1.0);
        }
    }
    owned(layout, params, precision)
}

fn owned(layout: Layout, params: AlignedVec<f32>, precision: Precision) -> OwnedModel {
    let inputs = InputLayer::new(&layout, None, None);
    OwnedModel::new(layout, params, inputs, precision, &mut Pool::new(1))
}

fn uneven() -> Vec<u32> {
    vec![0, 1, 4, 20, 31, 40]
}

/// (V) ln P(token) for one input.
fn whole(model: Model, input: Rows) -> Vec<f32> {
    let mut predictor = model.layout.head.predictor(input.precision());
    let mut pool = Pool::new(1);
    predictor.prepare(model.weights(), input, &mut pool);
    predictor.distribution(model.weights(), input, 0, &mut pool).into_logits().to_vec()
}

/// The gradient (q - p)·h and the difference of losses by their definitions, in f64.
fn by_definition(model: Model, rows: &[f32], h: Rows, target: usize, grads: &mut [f64]) -> f64 {
    let c = h.len();
    let log_p = whole(model, h);
    let logit =
        |id: usize| -> f64 { (0..c).map(|i| rows[id * c + i] as f64 * h.get(i) as f64).sum() };
    let lse = (0..VOCAB).map(|id| logit(id).exp()).sum::<f64>().ln();
    for id in 0..VOCAB {
        let difference = (logit(id) - lse).exp() - (log_p[id] as f64).exp();
        (0..c).for_each(|i| grads[id * c + i] += difference * h.get(i) as f64);
    }
    log_p[target] as f64 - (logit(target) - lse)
}

#[test]
fn the_gradient_matches_its_definition() {
    let model = teacher(uneven(), Precision::F32, false);
    let model = model.model();
    let mut pool = Pool::new(2);
    let mut inputs = Inputs::new(model, 20, 2);
    let fit = model.layout.head.plain_fit(model.weights(), inputs.n_most(), 2);
    let mut fit = fit.unwrap();
    Rng::new(9, Purpose::Test, 0).fill_normal(&mut fit.rows, 0, 0.3);
    fit.pack(&mut pool);
    let (mut grads, mut excess) = (vec![0.0; fit.rows.len()], [0.0, 0.0]);
    let mut n_tok = 0;
    inputs.for_each(model, &Cycle, (3, 0..5), &mut pool, |batch, pool| {
        let c = batch.rows.len() / batch.targets.len();
        for (r, target) in batch.targets.iter().enumerate() {
            let h = batch.rows.slice(r * c..(r + 1) * c);
            excess[0] += by_definition(model, &fit.rows, h, *target as usize, &mut grads);
        }
        excess[1] += fit.add_gradient(batch, n_tok == 0, pool);
        n_tok += batch.targets.len();
    });
    assert_eq!(n_tok, 5 * SEQ_LEN);
    assert!((excess[0] - excess[1]).abs() < 1e-3, "{excess:?}");
    let far = |found: &[f32]| {
        let pairs = found.iter().zip(&grads);
        pairs.map(|(a, b)| (*a as f64 - b).abs()).fold(0.0, f64::max)
    };
    let bound = 1e-4;
    assert!(far(fit.grads()) < bound, "{}", far(fit.grads()));
    let mut wrong = fit.grads().to_vec();
    wrong[77] += 1e-3;
    assert!(far(&wrong) > bound);
}

/// Excess loss of the full layer at its start, in nats, on the text that it was fitted to.
fn excess_at_start(class_starts: Vec<u32>, is_plain: bool) -> f64 {
    let model = teacher(class_starts, Precision::F32, is_plain);
    let mut pool = Pool::new(1);
    let mut fitting = Fitting::new(model.model(), &Cycle, SEQS, &mut pool).unwrap();
    let mut excess = f64::NAN;
    let budget = FitBudget::Steps(1);
    let mut report = |progress: FitProgress| {
        excess = progress.nats;
        true
    };
    fitting.run(&Cycle, budget, &mut pool, &mut report).unwrap();
    excess
}

/// With one token per class, or one class for all, the factored layer is a full one.
#[test]
fn the_start_is_exact_where_a_full_layer_can_be() {
    let single: Vec<u32> = (0..=VOCAB as u32).collect();
    for class_starts in [single, vec![0, VOCAB as u32]] {
        let excess = excess_at_start(class_starts, true);
        assert!(excess.abs() < 1e-4, "{excess}");
    }
    assert!(excess_at_start(uneven(), false).abs() > 1e-2, "not exact for unequal classes");
}

/// Result of a fit of `n_steps` steps on `threads` threads.
fn fitted(precision: Precision, threads: usize, n_steps: u64) -> (Vec<f32>, Vec<f64>) {
    let model = teacher(uneven(), precision, false);
    let mut pool = Pool::new(threads);
    let mut fitting = Fitting::new(model.model(), &Cycle, SEQS, &mut pool).unwrap();
    let mut excess = Vec::new();
    let mut report = |progress: FitProgress| {
        excess.push(progress.nats);
        true
    };
    fitting.run(&Cycle, FitBudget::Steps(n_steps), &mut pool, &mut report).unwrap();
    (fitting.model().1.to_vec(), excess)
}

#[test]
fn fitting_approaches_the_teacher_and_does_not_depend_on_threads() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (one, excess) = fitted(precision, 1, 60);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (begin, end) = (mean(&excess[..10]), mean(&excess[50..]));
        assert!(end < 0.7 * begin, "{begin} {end}");
        assert!(one == fitted(precision, 3, 60).0, "other bits on three threads");
    }
}

/// Parameters after `n_steps` steps of training the whole fitted model, and the steps' losses.
fn tuned(precision: Precision, threads: usize, n_steps: u64) -> (Vec<f32>, Vec<f64>) {
    let model = teacher(uneven(), precision, false);
    let mut pool = Pool::new(threads);
    let fitting = Fitting::new(model.model(), &Cycle, SEQS, &mut pool).unwrap();
    let (layout, params) = fitting.model();
    let mut tuning = Tuning::new(layout, params, precision, SEQS, threads);
    let mut losses = Vec::new();
    let mut report = |progress: FitProgress| {
        losses.push(progress.nats);
        true
    };
    tuning.run(&Cycle, 5, FitBudget::Steps(n_steps), &mut report).unwrap();
    (tuning.into_model().1.to_vec(), losses)
}

#[test]
fn tuning_learns_the_text_and_does_not_depend_on_threads() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (one, losses) = tuned(precision, 1, 150);
        assert!(losses[149] < 0.8 * losses[0], "{} {}", losses[0], losses[149]);
        assert!(one == tuned(precision, 3, 150).0, "other bits on three threads");
    }
}

#[test]
fn budgets_have_parts() {
    let began = Instant::now();
    assert!(matches!(FitBudget::Steps(30).part(0.3), FitBudget::Steps(9)));
    assert_eq!(FitBudget::Steps(9).share(3, began), 1.0 / 3.0);
    assert_eq!(FitBudget::Steps(0).share(0, began), 1.0);
    assert!(FitBudget::Time(Duration::from_nanos(1)).share(0, began) >= 1.0);
}

#[test]
fn unsupported_models_are_refused() {
    let mut pool = Pool::new(1);
    let layout = Layout::new(&ModelConfig::new(VOCAB, 16, 1, 2)).unwrap();
    let params = AlignedVec::zeroed(layout.len);
    let full = owned(layout, params, Precision::F32);
    let error = Fitting::new(full.model(), &Cycle, SEQS, &mut pool).unwrap_err();
    assert_eq!(error, FitError::NotFactored);

    let factored = teacher(uneven(), Precision::F32, false);
    let layout = factored.layout().clone();
    let mut params = AlignedVec::zeroed(layout.len);
    params.fill(f32::NAN);
    let damaged = owned(layout, params, Precision::F32);
    let mut fitting = Fitting::new(damaged.model(), &Cycle, SEQS, &mut pool).unwrap();
    let result = fitting.run(&Cycle, FitBudget::Steps(3), &mut pool, &mut |_| true);
    assert_eq!(result, Err(FitError::NotFinite { step: 0 }));
}
