//! Non-finite numbers: detected in the step in which they occur, which then changes nothing.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use crate::support::{Cycle, Saved, Tiny, bits};
use engine::train::{AdamW, AdamWOptions, Optimizer, StepError, Trainer};
use kernels::rng::{Purpose, Rng};

/// Where a bad number is planted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Parameter,
    FirstMoment,
    SecondMoment,
    /// The gradient of one of the lanes.
    Gradient(usize),
}

/// A planted non-finite number in element `element` of tensor `tensor`.
#[derive(Clone, Copy, Debug)]
struct Accident {
    place: Place,
    tensor: usize,
    element: usize,
    value: f32,
    step: u64,
}

const N_STEPS: u64 = 6;
const N_LANES: usize = 2;
const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// A model whose embedding table has many rows that a batch does not use.
fn tiny() -> Tiny {
    Tiny {
        vocab_size: 61,
        n_lanes: N_LANES,
        batch_seqs: 4,
        micro_seqs: 1,
        seq_len: 5,
        qk_norm: true,
        tie_embeddings: false,
        dropout: 0.1,
        ..Tiny::default()
    }
}

fn accidents(n: u64) -> impl Iterator<Item = Accident> {
    let spans: Vec<_> = tiny().layout().tensors.iter().map(|t| t.span.len()).collect();
    (0..n).map(move |i| {
        let rng = Rng::new(7, Purpose::Test, i);
        let below = |index, n: usize| rng.below_at(index, n as u64) as usize;
        let places = [
            Place::Parameter,
            Place::FirstMoment,
            Place::SecondMoment,
            Place::Gradient(0),
            Place::Gradient(1),
        ];
        let tensor = below(0, spans.len());
        Accident {
            place: places[i as usize % places.len()],
            tensor,
            element: below(1, spans[tensor]),
            value: BAD[below(2, BAD.len())],
            step: 1 + below(3, N_STEPS as usize - 2) as u64,
        }
    })
}

/// Writes `value` at the place of an accident in the state; returns the old value.
fn replace(trainer: &mut Trainer, accident: &Accident, value: f32) -> Option<f32> {
    let tensor = trainer.layout().tensors[accident.tensor].clone();
    let mut saved = Saved::of(trainer);
    let numbers = match accident.place {
        Place::Parameter => tensor.span.of_mut(&mut saved.params),
        Place::FirstMoment => saved.tensor(&format!("m.{}", tensor.name)),
        Place::SecondMoment => saved.tensor(&format!("v.{}", tensor.name)),
        Place::Gradient(_) => return None,
    };
    let replaced = std::mem::replace(&mut numbers[accident.element], value);
    saved.restore(trainer);
    Some(replaced)
}

/// The error of the step with the accident, which is planted in a gradient if that is its place.
fn bad_step(trainer: &mut Trainer, accident: &Accident) -> StepError {
    let (tiny, source) = (tiny(), Cycle(tiny().vocab_size));
    let plan = tiny.plan(accident.step);
    let Place::Gradient(which) = accident.place else {
        return trainer.step(&source, &plan).unwrap_err();
    };
    trainer.accumulate(&source, &plan);
    let at = trainer.layout().tensors[accident.tensor].span.start + accident.element;
    trainer.lanes().gradients().0.lanes[which].grads[at] = accident.value;
    trainer.apply(&plan).unwrap_err()
}

/// Trains with an accident in the state that is undone after its step; returns the final bits.
fn train_through(accident: &Accident) -> Vec<u32> {
    let (tiny, source) = (tiny(), Cycle(tiny().vocab_size));
    let mut trainer = tiny.trainer(1);
    for step in 0..N_STEPS {
        if step != accident.step {
            trainer.step(&source, &tiny.plan(step)).unwrap();
            continue;
        }
        let healthy = replace(&mut trainer, accident, accident.value);
        let before = bits(&trainer);
        let error = bad_step(&mut trainer, accident);
        assert!(before == bits(&trainer), "a refused step changed something: {accident:?}");
        let name = &trainer.layout().tensors[accident.tensor].name;
        let StepError::NotFinite { step, what, .. } = error else { panic!("{error}") };
        assert!(step == accident.step && what.contains(name), "{accident:?}: {what}");
        if let Some(healthy) = healthy {
            replace(&mut trainer, accident, healthy);
        }
    }
    bits(&trainer)
}

/// Trains without step `left_out`.
fn train_without(left_out: u64) -> Vec<u32> {
    let (tiny, source) = (tiny(), Cycle(tiny().vocab_size));
    let mut trainer = tiny.trainer(1);
    for step in (0..N_STEPS).filter(|step| *step != left_out) {
        trainer.step(&source, &tiny.plan(step)).unwrap();
    }
    bits(&trainer)
}

/// Number of accidents; nightly runs set `CRYSTALLINE_ACCIDENTS=300`.
fn n_accidents() -> u64 {
    std::env::var("CRYSTALLINE_ACCIDENTS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

/// Each accident is detected in its step and named, and the step has no effect: training continues
/// as if the batch had never been read.
#[test]
fn a_bad_number_anywhere_refuses_the_step_without_any_effect() {
    let without: Vec<_> = (0..N_STEPS).map(train_without).collect();
    for accident in accidents(n_accidents()) {
        let through = train_through(&accident);
        assert!(through == without[accident.step as usize], "{accident:?} had an effect");
    }
}

/// A bad number in the row of a token that is not in the batch affects neither the loss nor a
/// gradient, but would be saved.
#[test]
fn a_bad_parameter_that_no_token_uses_is_detected() {
    let without = train_without(2);
    let c = tiny().config().model_dim;
    for (token, value) in (0..tiny().vocab_size).zip(BAD.into_iter().cycle()) {
        let accident =
            Accident { place: Place::Parameter, tensor: 0, element: token * c, value, step: 2 };
        assert!(train_through(&accident) == without, "token {token}");
    }
}

/// The comparison above would detect an update with a bad gradient.
#[test]
fn an_update_with_a_bad_gradient_is_detected() {
    let tiny = tiny();
    let mut trainer = tiny.trainer(1);
    let (before, layout) = (bits(&trainer), tiny.layout());
    let (mut optimizer, mut params) =
        (AdamW::new(&layout, AdamWOptions::default()), tiny.params(&layout));
    let (grads, pool) = trainer.lanes().gradients();
    grads.lanes.iter_mut().for_each(|lane| lane.grads[0] = f32::NAN);
    optimizer.update(&mut params, grads, 1e-3, 1.0, pool);
    let updated = tiny.trainer_of(params, Box::new(optimizer), 1);
    assert!(updated.params()[0].is_nan() && before != bits(&updated));
}

/// Finite parameters may give infinite activations, which make the loss non-finite.
#[test]
fn an_overflow_of_activations_refuses_the_step() {
    let tiny = tiny();
    let mut trainer = tiny.trainer(1);
    let source = Cycle(tiny.vocab_size);
    let rows = trainer.layout().head.matrices()[0].matrix.span;
    let healthy = rows.of(trainer.params()).to_vec();
    trainer.edit_params(|params| rows.of_mut(params).fill(f32::MAX));
    let before = bits(&trainer);
    let error = trainer.step(&source, &tiny.plan(0)).unwrap_err();
    assert!(matches!(&error, StepError::NotFinite { what, .. } if what == "the loss"), "{error}");
    assert!(before == bits(&trainer));
    trainer.edit_params(|params| rows.of_mut(params).copy_from_slice(&healthy));
    trainer.step(&source, &tiny.plan(1)).unwrap();
}

/// A gradient that is huge but finite is clipped like any other.
#[test]
fn a_huge_gradient_is_clipped_to_a_finite_update() {
    let tiny = tiny();
    let mut trainer = tiny.trainer(1);
    let (source, plan) = (Cycle(tiny.vocab_size), tiny.plan(0));
    trainer.accumulate(&source, &plan);
    let (grads, _) = trainer.lanes().gradients();
    grads.lanes.iter_mut().for_each(|lane| lane.grads[3] = 1e38);
    let report = trainer.apply(&plan).unwrap();
    assert!(report.grad_norm > 1e36, "{report:?}");
    assert!(bits(&trainer).iter().all(|x| f32::from_bits(*x).is_finite()));
    trainer.step(&source, &tiny.plan(1)).unwrap();
}

#[test]
fn a_batch_without_targets_is_refused() {
    struct NoTargets;
    impl engine::train::SequenceSource for NoTargets {
        fn fill(&self, _: u64, _: usize, tokens: &mut [u32], targets: &mut [u32]) {
            tokens.fill(1);
            targets.fill(kernels::cross_entropy::IGNORE);
        }
    }
    let tiny = tiny();
    let mut trainer = tiny.trainer(1);
    let before = bits(&trainer);
    let error = trainer.step(&NoTargets, &tiny.plan(3)).unwrap_err();
    assert_eq!(error, StepError::NoTargets { step: 3 });
    assert!(before == bits(&trainer));
}

#[test]
fn a_step_on_a_batch_without_sequences_is_refused() {
    let tiny = Tiny { batch_seqs: 0, ..Tiny::default() };
    let error = tiny.trainer(1).step(&Cycle(tiny.vocab_size), &tiny.plan(3)).unwrap_err();
    assert_eq!(error, StepError::NoTargets { step: 3 });
}
