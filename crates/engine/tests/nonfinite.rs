//! A number that is not finite is found in the step that meets it, which then changes nothing.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use engine::train::{Lanes, StepError, TrainState, apply_gradients, training_step};
use kernels::rng::{Purpose, Rng};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Cycle, Tiny};

/// Where a bad number is planted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Parameter,
    FirstMoment,
    SecondMoment,
    /// The gradient of one of the lanes.
    Gradient(usize),
}

/// One accident: a bad number in element `element` of tensor `tensor`.
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

/// A model with a table of embeddings that most tokens of a batch do not touch.
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

fn accidents(state: &TrainState, n: u64) -> impl Iterator<Item = Accident> {
    let spans: Vec<_> = state.layout.tensors.iter().map(|t| t.span.len()).collect();
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

/// Bits of everything that a step writes.
fn bits(state: &TrainState) -> Vec<u32> {
    let all = [&state.params, &state.optim.m, &state.optim.v];
    let numbers = all.into_iter().flat_map(|values| values.iter().map(|x| x.to_bits()));
    numbers.chain([state.optim.n_updates as u32]).collect()
}

/// The number that an accident in the state replaces.
fn victim<'a>(state: &'a mut TrainState, accident: &Accident) -> Option<&'a mut f32> {
    let at = state.layout.tensors[accident.tensor].span.start + accident.element;
    match accident.place {
        Place::Parameter => Some(&mut state.params[at]),
        Place::FirstMoment => Some(&mut state.optim.m[at]),
        Place::SecondMoment => Some(&mut state.optim.v[at]),
        Place::Gradient(_) => None,
    }
}

/// A step with the accident's gradient, if that is where it happens.
fn bad_step(state: &mut TrainState, lanes: &mut Lanes, accident: &Accident) -> StepError {
    let (tiny, source) = (tiny(), Cycle(tiny().vocab_size));
    let plan = tiny.plan(accident.step);
    let Place::Gradient(which) = accident.place else {
        state.pack(lanes.pool());
        return training_step(state, lanes, &source, &plan).unwrap_err();
    };
    let model = state.model();
    lanes.accumulate(model, &source, &plan);
    let at = state.layout.tensors[accident.tensor].span.start + accident.element;
    let lane_number = AtomicUsize::new(0); // one thread takes the lanes in order
    lanes.for_each(|lane| {
        if lane_number.fetch_add(1, Ordering::Relaxed) == which {
            lane.buffers.grads[at] = accident.value;
        }
    });
    apply_gradients(state, lanes, &plan).unwrap_err()
}

/// Trains through an accident that is undone after its step; returns the bits at the end.
fn train_through(accident: &Accident) -> Vec<u32> {
    let tiny = tiny();
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    state.pack(lanes.pool());
    for step in 0..N_STEPS {
        if step != accident.step {
            let source = Cycle(tiny.vocab_size);
            training_step(&mut state, &mut lanes, &source, &tiny.plan(step)).unwrap();
            continue;
        }
        let healthy = victim(&mut state, accident).map(|x| std::mem::replace(x, accident.value));
        let before = bits(&state);
        let error = bad_step(&mut state, &mut lanes, accident);
        assert!(before == bits(&state), "a refused step changed something: {accident:?}");
        let name = &state.layout.tensors[accident.tensor].name;
        let StepError::NotFinite { step, what, .. } = error else { panic!("{error}") };
        assert!(step == accident.step && what.contains(name), "{accident:?}: {what}");
        if let (Some(victim), Some(healthy)) = (victim(&mut state, accident), healthy) {
            *victim = healthy;
            state.pack(lanes.pool());
        }
    }
    bits(&state)
}

/// Trains without the steps named.
fn train_without(left_out: u64) -> Vec<u32> {
    let tiny = tiny();
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    state.pack(lanes.pool());
    for step in (0..N_STEPS).filter(|step| *step != left_out) {
        let source = Cycle(tiny.vocab_size);
        training_step(&mut state, &mut lanes, &source, &tiny.plan(step)).unwrap();
    }
    bits(&state)
}

/// Accidents tried; nightly runs set `CRYSTALLINE_ACCIDENTS=300`.
fn n_accidents() -> u64 {
    std::env::var("CRYSTALLINE_ACCIDENTS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

/// Each is found in its own step and named, nothing changes, and what was bad in gradients and
/// activations leaves no trace: the run goes on as one that never saw the batch.
#[test]
fn a_bad_number_anywhere_refuses_the_step_and_leaves_no_trace() {
    let without: Vec<_> = (0..N_STEPS).map(train_without).collect();
    for accident in accidents(&tiny().state(), n_accidents()) {
        let through = train_through(&accident);
        assert!(through == without[accident.step as usize], "a trace was left by {accident:?}");
    }
}

/// The rows of most tokens are not in a batch: neither the loss nor a gradient shows what is in
/// them, but it would be saved.
#[test]
fn a_bad_parameter_that_no_token_uses_is_found_too() {
    let without = train_without(2);
    let c = tiny().config().model_dim;
    for (token, value) in (0..tiny().vocab_size).zip(BAD.into_iter().cycle()) {
        let accident =
            Accident { place: Place::Parameter, tensor: 0, element: token * c, value, step: 2 };
        assert!(train_through(&accident) == without, "token {token}");
    }
}

/// The comparison above sees an update that was made all the same.
#[test]
fn an_update_with_a_bad_gradient_would_be_seen() {
    let tiny = tiny();
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    state.pack(lanes.pool());
    let before = bits(&state);
    lanes.for_each(|lane| lane.buffers.grads[0] = f32::NAN);
    state.optim.update(&mut state.params, &mut lanes, 1e-3, 1.0);
    assert!(state.params[0].is_nan() && before != bits(&state));
}

/// Finite parameters may still have infinite activations: the loss is then what is not finite.
#[test]
fn an_overflow_on_the_way_refuses_the_step() {
    let tiny = tiny();
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    let (head, source) = (state.layout.head.span, Cycle(tiny.vocab_size));
    let healthy = head.of(&state.params).to_vec();
    head.of_mut(&mut state.params).fill(f32::MAX);
    state.pack(lanes.pool());
    let before = bits(&state);
    let error = training_step(&mut state, &mut lanes, &source, &tiny.plan(0)).unwrap_err();
    assert!(matches!(&error, StepError::NotFinite { what, .. } if what == "the loss"), "{error}");
    assert!(before == bits(&state));
    head.of_mut(&mut state.params).copy_from_slice(&healthy);
    state.pack(lanes.pool());
    training_step(&mut state, &mut lanes, &source, &tiny.plan(1)).unwrap();
}

/// A gradient that is huge but finite is clipped like any other.
#[test]
fn a_huge_gradient_is_clipped_to_a_finite_update() {
    let tiny = tiny();
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    state.pack(lanes.pool());
    let (source, plan) = (Cycle(tiny.vocab_size), tiny.plan(0));
    let model = state.model();
    lanes.accumulate(model, &source, &plan);
    lanes.for_each(|lane| lane.buffers.grads[3] = 1e38);
    let report = apply_gradients(&mut state, &mut lanes, &plan).unwrap();
    assert!(report.grad_norm > 1e36, "{report:?}");
    let all = [&state.params, &state.optim.m, &state.optim.v];
    assert!(all.into_iter().all(|values| values.iter().all(|x| x.is_finite())));
    training_step(&mut state, &mut lanes, &source, &tiny.plan(1)).unwrap();
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
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, 1);
    state.pack(lanes.pool());
    let before = bits(&state);
    let error = training_step(&mut state, &mut lanes, &NoTargets, &tiny.plan(3)).unwrap_err();
    assert_eq!(error, StepError::NoTargets { step: 3 });
    assert!(before == bits(&state));
}
