//! AdamW against its definition: dense updates in f64, with zero gradient for rows that have none.

use super::*;
use crate::head::HeadConfig;
use crate::model::{InputLayer, MicroShape, ModelConfig, init_params};
use crate::train::{Lanes, LanesSpec, Schedule, SequenceSource};
use kernels::Precision;
use kernels::adamw::naive;
use kernels::rng::{Purpose, Rng};

const VOCAB: usize = 40;
const SEQ_LEN: usize = 4;

/// Tokens of a class.
const CLASS_LEN: usize = 2;

/// More updates than a row may miss.
const N_UPDATES: u64 = 300;

/// Too small to matter for any gradient; the tests of `history` cover `eps`.
const EPS: f32 = 1e-20;

/// A source of few distinct tokens, mostly the same ones; the last five never occur.
struct Rare;

impl SequenceSource for Rare {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let rng = Rng::new(1, Purpose::Test, step * 100 + index as u64);
        let id = |i: usize| ((VOCAB - 5) as f64 * rng.f64_at(i as u64).powi(4)) as u32;
        tokens.iter_mut().enumerate().for_each(|(t, token)| *token = id(2 * t));
        targets.iter_mut().enumerate().for_each(|(t, target)| *target = id(2 * t + 1));
    }
}

fn layout(tie_embeddings: bool) -> Layout {
    let class_starts = (0..=VOCAB as u32).step_by(CLASS_LEN).collect();
    let head = HeadConfig::Factor { class_starts };
    let config = ModelConfig { tie_embeddings, head, ..ModelConfig::new(VOCAB, 8, 1, 2) };
    Layout::new(&config).unwrap()
}

/// Parameters and both moments.
type State = [Vec<f64>; 3];

/// The optimiser's state after random gradients of the rows in use, before and after its rows catch
/// up, and the state by the definition.
fn optimised(tie_embeddings: bool, row_updates: RowUpdates) -> (State, State, State) {
    let layout = layout(tie_embeddings);
    let spec = LanesSpec {
        shape: MicroShape::new(&layout.config, SEQ_LEN, 1, Precision::F32),
        n_lanes: 1,
        batch_seqs: 1,
        threads: 2,
        seed: 1,
        token_counts: &[],
    };
    let mut lanes = Lanes::new(&layout, &spec);
    let (mut active, inputs) = (ActiveRows::new(&layout), InputLayer::new(&layout, None, None));
    let mut params = init_params(&layout, 1);
    let options = AdamWOptions { row_updates, eps: EPS, ..AdamWOptions::default() };
    let mut optim = AdamW::new(&layout, options);
    let wide = |x: &[f32]| x.iter().map(|x| *x as f64).collect::<Vec<_>>();
    let mut expected = [wide(&params), vec![0.0; layout.len], vec![0.0; layout.len]];
    let schedule = Schedule { lr: 1e-2, n_steps: N_UPDATES, warmup_steps: 20, decay_steps: 200 };
    for step in 0..N_UPDATES {
        lanes.find_active(&mut active, &layout, &inputs, &Rare, step);
        let (shared, pool) = lanes.gradients();
        optim.begin_step(&mut params, &active, shared.shared, pool);
        let grads = gradients(&layout, &mut lanes, step);
        let square: f64 = grads.iter().map(|g| *g as f64 * *g as f64).sum();
        let (all, pool) = lanes.gradients();
        let found = optim.sum_over_lanes(&params, all, pool);
        assert!((found - square).abs() <= 1e-12 * square, "step {step}: {found}, not {square}");
        let (all, pool) = lanes.gradients();
        optim.update(&mut params, all, schedule.at(step), 0.5, pool);
        define(&layout, &mut expected, &wide(&grads), step, schedule.at(step));
    }
    let state = |params: &[f32], optim: &AdamW| [wide(params), wide(&optim.m), wide(&optim.v)];
    let behind = state(&params, &optim);
    optim.show_current(&mut params, lanes.pool());
    (behind, state(&params, &optim), expected)
}

/// Gives the parameters in use random gradients; returns the gradients of all parameters.
fn gradients(layout: &Layout, lanes: &mut Lanes, step: u64) -> Vec<f32> {
    let mut all = vec![0.0; layout.len];
    Rng::new(2, Purpose::Test, step).fill_normal(&mut all, 0, 0.1);
    let (mut tokens, mut targets) = ([0; SEQ_LEN], [0; SEQ_LEN]);
    Rare.fill(step, 0, &mut tokens, &mut targets);
    let is_input_row = |row: usize| tokens.contains(&(row as u32));
    // All tokens of a class are in use if one of them is a target.
    let class = |row: usize| row / CLASS_LEN;
    let is_output_row = |row: usize| targets.iter().any(|t| class(*t as usize) == class(row));
    for table in layout.shared_tables() {
        let is_input = table.span == layout.inputs.embed;
        let is_output = !is_input || layout.config.tie_embeddings;
        let width = table.span.len() / VOCAB;
        for (row, grad) in table.span.of_mut(&mut all).chunks_exact_mut(width).enumerate() {
            if !(is_input && is_input_row(row) || is_output && is_output_row(row)) {
                grad.fill(0.0);
            }
        }
    }
    // Padding has no gradient.
    let is_used = |i: usize| layout.tensors.iter().any(|t| (t.span.start..t.span.end).contains(&i));
    all.iter_mut().enumerate().filter(|(i, _)| !is_used(*i)).for_each(|(_, grad)| *grad = 0.0);
    let (own, shared) = all.split_at(layout.lane_len);
    let (grads, _) = lanes.gradients();
    grads.lanes[0].grads.copy_from_slice(own);
    // Rows that are not in use keep stale gradients, which nothing reads.
    let moves = grads.shared.iter_mut().zip(shared).filter(|(_, grad)| **grad != 0.0);
    moves.for_each(|(to, grad)| *to = *grad);
    all
}

/// One dense update, by the definition.
fn define(layout: &Layout, [p, m, v]: &mut State, grads: &[f64], step: u64, lr: f32) {
    let AdamWOptions { beta1, beta2, weight_decay, .. } = AdamWOptions::default();
    for tensor in &layout.tensors {
        let step = AdamwStep {
            lr,
            beta1,
            beta2,
            eps: EPS,
            weight_decay: if tensor.decay { weight_decay } else { 0.0 },
            bias1: bias_correction(beta1, step + 1) as f32,
            bias2: bias_correction(beta2, step + 1) as f32,
            grad_scale: 0.5,
            idle1: 1.0,
            idle2: 1.0,
        };
        let [p, m, v] = [&mut *p, m, v].map(|all| tensor.span.of_mut(all));
        naive::adamw_update(p, m, v, tensor.span.of(grads), &step);
    }
}

/// Largest distance of the parameters from the definition, in units of the tolerance.
///
/// Each update rounds a dozen times, each time by 2^-24 of a parameter or of its change.
/// Independent roundings add up with the root of the number of updates; the tolerance is four times
/// that.
fn worst(found: &State, expected: &State) -> f64 {
    let bound = 4.0 * (N_UPDATES as f64).sqrt() * 12.0 * f32::EPSILON as f64 / 2.0;
    let apart = found[0].iter().zip(&expected[0]);
    apart.map(|(a, b)| (a - b).abs() / (bound * (b.abs() + 0.05))).fold(0.0, f64::max)
}

#[test]
fn lazy_rows_equal_densely_updated_rows() {
    for tie_embeddings in [true, false] {
        let (behind, lazy, expected) = optimised(tie_embeddings, RowUpdates::Lazy);
        assert!(worst(&lazy, &expected) <= 1.0, "{}", worst(&lazy, &expected));
        // Rows that have not caught up are far off.
        assert!(worst(&behind, &expected) > 10.0);
        let (behind, dense, expected) = optimised(tie_embeddings, RowUpdates::Dense);
        assert!(worst(&dense, &expected) <= 1.0, "{}", worst(&dense, &expected));
        assert_eq!(behind, dense);
    }
}

#[test]
fn bias_correction_is_one_minus_the_power() {
    for n in [1, 2, 3, 10, 1000] {
        let expected = 1.0 - (0.95f32 as f64).powi(n);
        assert!((bias_correction(0.95, n as u64) - expected).abs() < 1e-7);
    }
}
