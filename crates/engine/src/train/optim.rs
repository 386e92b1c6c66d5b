//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), parallel over
//! chunks of parameters that are cut by the table, never by the number of threads.

use super::lanes::Lanes;
use crate::model::Layout;
use kernels::AlignedVec;
use kernels::adamw::{AdamwStep, adamw_update};
use kernels::reduce::{add_into, all_finite, sum_squares};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled decay of matrices, per step and unit of learning rate.
    pub weight_decay: f32,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        AdamWOptions { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }
    }
}

/// The optimiser's state.
#[derive(Debug)]
pub struct AdamW {
    /// Its constants.
    pub options: AdamWOptions,
    /// Updates made so far.
    pub n_updates: u64,
    /// First moments, laid out as the parameters.
    pub m: AlignedVec<f32>,
    /// Second moments, laid out as the parameters.
    pub v: AlignedVec<f32>,
    /// Pieces of the parameters, each within one tensor.
    ranges: Vec<Range<usize>>,
    /// Pieces of which every lane has a gradient: the first so many. Of the others there is one.
    n_of_lanes: usize,
    /// The other pieces as ranges of that one gradient.
    shared: Vec<Range<usize>>,
    /// Whether the piece decays.
    decays: Vec<bool>,
    /// Sum of squared gradients of the piece.
    squares: Vec<f64>,
}

/// Floats of a piece: with its moments and gradient it fits in a second-level cache.
const CHUNK_FLOATS: usize = 1 << 15;

impl AdamW {
    /// Zero moments for the parameters of `layout`.
    pub fn new(layout: &Layout, options: AdamWOptions) -> AdamW {
        let (mut ranges, mut decays) = (Vec::new(), Vec::new());
        for tensor in &layout.tensors {
            for start in (tensor.span.start..tensor.span.end).step_by(CHUNK_FLOATS) {
                ranges.push(start..(start + CHUNK_FLOATS).min(tensor.span.end));
                decays.push(tensor.decay);
            }
        }
        AdamW {
            options,
            n_updates: 0,
            m: AlignedVec::zeroed(layout.len),
            v: AlignedVec::zeroed(layout.len),
            squares: vec![0.0; ranges.len()],
            n_of_lanes: ranges.partition_point(|range| range.end <= layout.lane_len),
            shared: ranges
                .iter()
                .filter(|range| range.start >= layout.lane_len)
                .map(|range| range.start - layout.lane_len..range.end - layout.lane_len)
                .collect(),
            ranges,
            decays,
        }
    }

    /// Adds the gradients of lanes 1, 2, ... into lane 0's, in this order, and returns the sum of
    /// the squares of all gradients: not finite if a gradient, a parameter or a moment is not.
    ///
    /// Parameters are looked at because a step may use only some of them: the row of a token that
    /// is not in the batch could be NaN and nothing else would show it.
    pub fn sum_over_lanes(&mut self, params: &[f32], lanes: &mut Lanes) -> f64 {
        let AdamW { ranges, n_of_lanes, shared, squares, m, v, .. } = self;
        let (lanes, shared_grads, pool) = lanes.parts();
        let Some((first, rest)) = lanes.split_first_mut() else { return 0.0 };
        let (own, others) = ranges.split_at(*n_of_lanes);
        let (own_squares, other_squares) = squares.split_at_mut(*n_of_lanes);
        let square = |range: &Range<usize>, grad: &[f32]| {
            let state = [params, &m[..], &v[..]].map(|all| &all[range.clone()]);
            let is_finite = state.into_iter().all(all_finite);
            if is_finite { sum_squares(grad) } else { f64::NAN }
        };
        pool.for_each_range_with(own_squares, [&mut first.buffers.grads], own, |i, sum, [grad]| {
            for lane in &*rest {
                add_into(grad, &lane.buffers.grads[own[i].clone()]);
            }
            *sum = square(&own[i], grad);
        });
        pool.for_each_range_with(other_squares, [shared_grads], shared, |i, sum, [grad]| {
            *sum = square(&others[i], grad);
        });
        squares.iter().sum()
    }

    /// One update of `params` from lane 0's gradients, each multiplied by `grad_scale` first.
    pub fn update(&mut self, params: &mut [f32], lanes: &mut Lanes, lr: f32, grad_scale: f32) {
        self.n_updates += 1;
        let options = self.options;
        let step = AdamwStep {
            lr,
            beta1: options.beta1,
            beta2: options.beta2,
            eps: options.eps,
            weight_decay: options.weight_decay,
            bias1: bias_correction(options.beta1, self.n_updates),
            bias2: bias_correction(options.beta2, self.n_updates),
            grad_scale,
        };
        let AdamW { ranges, n_of_lanes, shared, decays, m, v, .. } = self;
        let (lanes, shared_grads, pool) = lanes.parts();
        let grads = &lanes[0].buffers.grads;
        pool.for_each_range([params, m, v], ranges, |i, [p, m, v]| {
            let grad = match i.checked_sub(*n_of_lanes) {
                None => &grads[ranges[i].clone()],
                Some(i) => &shared_grads[shared[i].clone()],
            };
            let weight_decay = if decays[i] { step.weight_decay } else { 0.0 };
            adamw_update(p, m, v, grad, &AdamwStep { weight_decay, ..step });
        });
    }
}

/// 1 - beta^n, by repeated squaring in f64: the same bits on every platform, unlike `powf`.
pub(crate) fn bias_correction(beta: f32, n: u64) -> f32 {
    let (mut power, mut base, mut n) = (1.0f64, beta as f64, n);
    while n > 0 {
        if n & 1 == 1 {
            power *= base;
        }
        base *= base;
        n >>= 1;
    }
    (1.0 - power) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_correction_is_one_minus_the_power() {
        for n in [1, 2, 3, 10, 1000] {
            let expected = 1.0 - (0.95f32 as f64).powi(n);
            assert!((bias_correction(0.95, n as u64) as f64 - expected).abs() < 1e-7);
        }
    }
}
