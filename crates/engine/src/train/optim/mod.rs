//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), parallel over
//! pieces of parameters that are cut by the table, never by the number of threads.
//!
//! Of the tables with a row for each token only the rows in use need be written: what the other
//! updates did to a row is done at once when it is used again (`docs/lazy-adamw.md`).

mod history;
mod idle_state;
mod tables;
#[cfg(test)]
mod tests;

use super::lanes::Lanes;
use crate::model::{Layout, ModelConfig};
use history::History;
pub use idle_state::{IdleState, NotRestored};
use kernels::adamw::{AdamwStep, adamw_update};
use kernels::reduce::{add_into, all_finite, sum_squares};
use kernels::{AlignedVec, Pool};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tables::Tables;

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
    /// What becomes of the rows that a batch does not use; files from before there was a choice do
    /// not have it.
    #[serde(default, skip_serializing_if = "IdleRows::is_dense")]
    pub idle_rows: IdleRows,
}

/// What an update does to the rows of tables that the batch does not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleRows {
    /// It writes them like all others, with a gradient of zero.
    #[default]
    Dense,
    /// Nothing yet: they are brought up to date when they are used again.
    Lazy,
}

impl IdleRows {
    /// What suits a model: lazy where input tokens have a table of their own, or n-grams have tables,
    /// most of which a batch does not use. Of a table that is also the output layer's it uses nearly
    /// all.
    pub fn auto(model: &ModelConfig) -> IdleRows {
        match model.head.is_full() || model.tie_embeddings && model.ngrams.is_empty() {
            true => IdleRows::Dense,
            false => IdleRows::Lazy,
        }
    }

    fn is_dense(&self) -> bool {
        *self == IdleRows::Dense
    }
}

impl Default for AdamWOptions {
    fn default() -> Self {
        AdamWOptions {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            idle_rows: IdleRows::Dense,
        }
    }
}

impl AdamWOptions {
    /// Update number `n`, counted from 1.
    pub(crate) fn step(&self, n: u64, lr: f32, grad_scale: f32) -> AdamwStep {
        let AdamWOptions { beta1, beta2, eps, weight_decay, .. } = *self;
        AdamwStep {
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            bias1: bias_correction(beta1, n) as f32,
            bias2: bias_correction(beta2, n) as f32,
            grad_scale,
            idle1: 1.0,
            idle2: 1.0,
        }
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
    /// Pieces of the parameters of which every lane has a gradient, each within one tensor.
    pieces: Vec<Range<usize>>,
    /// Whether the piece decays.
    decays: Vec<bool>,
    /// Sum of squared gradients of the piece; those of the tables' pieces come last.
    squares: Vec<f64>,
    /// The tables, of which lanes share one gradient.
    tables: Tables,
    /// Where the tables begin.
    tables_start: usize,
    /// The last updates.
    history: History,
    /// What rows of the tables are in truth, laid out as they are, where the parameters hold what
    /// idle updates make of them; nothing if no row is ever idle.
    live: AlignedVec<f32>,
}

/// Floats of a piece: with its moments and gradient it fits in a second-level cache.
const CHUNK_FLOATS: usize = 1 << 15;

impl AdamW {
    /// Zero moments for the parameters of `layout`.
    pub fn new(layout: &Layout, options: AdamWOptions) -> AdamW {
        let (mut pieces, mut decays) = (Vec::new(), Vec::new());
        for tensor in layout.tensors.iter().filter(|t| t.span.end <= layout.lane_len) {
            for start in (tensor.span.start..tensor.span.end).step_by(CHUNK_FLOATS) {
                pieces.push(start..(start + CHUNK_FLOATS).min(tensor.span.end));
                decays.push(tensor.decay);
            }
        }
        let tables = Tables::new(layout, options.idle_rows == IdleRows::Lazy);
        let n_live = if tables.is_lazy() { layout.len - layout.lane_len } else { 0 };
        AdamW {
            options,
            n_updates: 0,
            m: AlignedVec::zeroed(layout.len),
            v: AlignedVec::zeroed(layout.len),
            squares: vec![0.0; pieces.len() + tables.ranges().len()],
            pieces,
            decays,
            tables_start: layout.lane_len,
            live: AlignedVec::zeroed(n_live),
            history: History::new(options),
            tables,
        }
    }

    /// Brings the rows of the tables that a batch uses up to date, and zeroes their gradients: the
    /// lanes must know the batch ([`Lanes::find_touched`]).
    pub fn begin_step(&mut self, params: &mut [f32], lanes: &mut Lanes) {
        let Some((touched, grads, pool)) = lanes.tables() else { return };
        self.tables.begin(touched, &self.history, self.options.weight_decay);
        self.catch_up(params, pool);
        self.tables.zero(grads, pool);
    }

    /// Shows every row as it is up to date, until [`AdamW::put_back`]: for whoever reads the model
    /// between steps.
    pub fn show_current(&mut self, params: &mut [f32], pool: &mut Pool) {
        if self.tables.is_lazy() {
            self.live.copy_from_slice(&params[self.tables_start..]);
            self.tables.begin_all(&self.history, self.options.weight_decay);
            self.catch_up(params, pool);
        }
    }

    fn catch_up(&mut self, params: &mut [f32], pool: &mut Pool) {
        let start = self.tables_start;
        let moments = [&self.m[start..], &self.v[start..]];
        self.tables.catch_up(&mut params[start..], &mut self.live, moments, pool);
    }

    /// Undoes what was done to parameters since the last update.
    pub fn put_back(&mut self, params: &mut [f32], pool: &mut Pool) {
        self.tables.put_back(&mut params[self.tables_start..], &self.live, pool);
    }

    /// Adds the gradients of lanes 1, 2, ... into lane 0's, in this order, and returns the sum of
    /// the squares of all gradients: not finite if a gradient, a parameter or a moment is not.
    ///
    /// Parameters are looked at because a step may use only some of them: the row of a token that
    /// is not in the batch could be NaN and nothing else would show it. Rows that take no part were
    /// looked at in the step that wrote them.
    pub fn sum_over_lanes(&mut self, params: &[f32], lanes: &mut Lanes) -> f64 {
        let AdamW { pieces, squares, m, v, tables, tables_start, .. } = self;
        let (lanes, shared_grads, pool) = lanes.parts();
        let Some((first, rest)) = lanes.split_first_mut() else { return 0.0 };
        let (own_squares, other_squares) = squares.split_at_mut(pieces.len());
        let square = |range: Range<usize>, grad: &[f32]| {
            let state = [params, &m[..], &v[..]].map(|all| &all[range.clone()]);
            let is_finite = state.into_iter().all(all_finite);
            if is_finite { sum_squares(grad) } else { f64::NAN }
        };
        pool.for_each_range_with(own_squares, [&mut first.buffers.grads], pieces, |i, sum, [g]| {
            for lane in &*rest {
                add_into(g, &lane.buffers.grads[pieces[i].clone()]);
            }
            *sum = square(pieces[i].clone(), g);
        });
        let ranges = tables.ranges();
        pool.for_each_range_with(other_squares, [shared_grads], ranges, |i, sum, [g]| {
            let start = *tables_start + ranges[i].start;
            let of_run = |at: Range<usize>| square(start + at.start..start + at.end, &g[at]);
            *sum = tables.runs(i).map(|(at, _)| of_run(at)).sum();
        });
        squares.iter().sum()
    }

    /// One update of `params` from lane 0's gradients and those of the tables, each multiplied by
    /// `grad_scale` first; of the tables, the rows that take part in the step.
    pub fn update(&mut self, params: &mut [f32], lanes: &mut Lanes, lr: f32, grad_scale: f32) {
        self.n_updates += 1;
        let step = self.options.step(self.n_updates, lr, grad_scale);
        let with_decay = |decays| match decays {
            true => step,
            false => AdamwStep { weight_decay: 0.0, ..step },
        };
        let AdamW { pieces, decays, m, v, tables, tables_start, .. } = self;
        let (lanes, shared_grads, pool) = lanes.parts();
        let grads = &lanes[0].buffers.grads;
        pool.for_each_range([&mut *params, m, v], pieces, |i, [p, m, v]| {
            adamw_update(p, m, v, &grads[pieces[i].clone()], &with_decay(decays[i]));
        });
        let ranges = tables.ranges();
        let start = *tables_start;
        let all = [&mut params[start..], &mut m[start..], &mut v[start..]];
        pool.for_each_range(all, ranges, |i, [p, m, v]| {
            let (grad, step) = (&shared_grads[ranges[i].clone()], with_decay(tables.decays(i)));
            for (at, idle) in tables.runs(i) {
                let step = AdamwStep { idle1: idle.keep1, idle2: idle.keep2, ..step };
                let [p, m, v] = [&mut *p, &mut *m, &mut *v].map(|all| &mut all[at.clone()]);
                adamw_update(p, m, v, &grad[at], &step);
            }
        });
        self.tables.end();
        self.history.push(self.n_updates, lr);
    }
}

/// 1 - beta^n, by repeated squaring in f64: the same bits on every platform, unlike `powf`.
fn bias_correction(beta: f32, n: u64) -> f64 {
    let (mut power, mut base, mut n) = (1.0f64, beta as f64, n);
    while n > 0 {
        if n & 1 == 1 {
            power *= base;
        }
        base *= base;
        n >>= 1;
    }
    1.0 - power
}
