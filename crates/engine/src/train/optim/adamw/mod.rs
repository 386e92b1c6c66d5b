//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).
//!
//! In the shared tables an update may write only the rows in use. A row that missed updates catches
//! up on all of them at once when it is next used (`docs/lazy-adamw.md`).

mod history;
mod lazy;
mod state;
#[cfg(test)]
mod tests;

use super::pieces::PIECE_FLOATS;
use super::{Optimizer, Pieces, ReadTensor, RestoreError, StateTensor, StepGradients};
use crate::model::{ActiveRows, Layout, ModelConfig, Tensor};
use history::History;
use kernels::adamw::{AdamwStep, adamw_update};
use kernels::reduce::{all_finite, sum_squares};
use kernels::{AlignedVec, Pool};
use lazy::LazyTables;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Constants of the optimiser. A run's file has them all: a default could be another value than the
/// one that the run began with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the square root of the second moment.
    pub eps: f32,
    /// Decoupled decay of matrices, per step and unit of learning rate.
    pub weight_decay: f32,
    /// Treatment of the rows that a batch does not use. Absent from files older than this setting,
    /// whose runs were dense.
    #[serde(default, rename = "idle_rows", skip_serializing_if = "RowUpdates::is_dense")]
    pub row_updates: RowUpdates,
}

/// Treatment of table rows that the batch does not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowUpdates {
    /// Every update writes them, with zero gradient.
    #[default]
    Dense,
    /// They become stale, and catch up when they are next used.
    Lazy,
}

impl fmt::Display for RowUpdates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RowUpdates::Dense => "dense",
            RowUpdates::Lazy => "lazy",
        })
    }
}

impl RowUpdates {
    /// Choice for a model: lazy if input tokens or n-grams have tables of their own, because a
    /// batch uses few of their rows. A batch uses nearly all rows of a table that is also the
    /// output layer's.
    pub fn auto(model: &ModelConfig) -> RowUpdates {
        let uses_nearly_all = model.tie_embeddings && model.ngrams.is_empty();
        if model.head.shares_tables() && !uses_nearly_all {
            RowUpdates::Lazy
        } else {
            RowUpdates::Dense
        }
    }

    fn is_dense(&self) -> bool {
        *self == RowUpdates::Dense
    }
}

impl Default for AdamWOptions {
    fn default() -> Self {
        AdamWOptions {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            row_updates: RowUpdates::Dense,
        }
    }
}

impl AdamWOptions {
    /// Constants of update number `n`, counted from 1.
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

/// AdamW and its state.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    n_updates: u64,
    /// First and second moments, laid out as the parameters.
    m: AlignedVec<f32>,
    v: AlignedVec<f32>,
    /// Parameters of which every lane has its own gradient.
    pieces: Pieces,
    /// Tables of which all lanes share one gradient.
    tables: LazyTables,
    /// By piece of the tables: the sum of squared gradients.
    table_squares: Vec<f64>,
    /// Index of the first parameter of the tables.
    tables_start: usize,
    /// The last updates.
    history: History,
    /// Stored values of stale rows of the tables while the parameters hold caught-up ones; empty if
    /// updates are dense.
    stored: AlignedVec<f32>,
}

impl AdamW {
    /// AdamW with zero moments for the parameters of `layout`.
    pub fn new(layout: &Layout, options: AdamWOptions) -> AdamW {
        let tables = LazyTables::new(layout, options.row_updates == RowUpdates::Lazy);
        let n_stored = if tables.is_lazy() { layout.len - layout.lane_len } else { 0 };
        AdamW {
            options,
            n_updates: 0,
            m: AlignedVec::zeroed(layout.len),
            v: AlignedVec::zeroed(layout.len),
            pieces: Pieces::of_lanes(layout),
            table_squares: vec![0.0; tables.ranges().len()],
            tables_start: layout.lane_len,
            stored: AlignedVec::zeroed(n_stored),
            history: History::new(options),
            tables,
        }
    }

    fn catch_up(&mut self, params: &mut [f32], pool: &mut Pool) {
        let start = self.tables_start;
        let moments = [&self.m[start..], &self.v[start..]];
        self.tables.catch_up(&mut params[start..], &mut self.stored, moments, pool);
    }
}

impl Optimizer for AdamW {
    fn begin_step(
        &mut self,
        params: &mut [f32],
        active: &ActiveRows,
        shared_grads: &mut [f32],
        pool: &mut Pool,
    ) {
        self.tables.begin(active, &self.history, self.options.weight_decay);
        self.catch_up(params, pool);
        self.tables.zero(shared_grads, pool);
    }

    fn show_current(&mut self, params: &mut [f32], pool: &mut Pool) {
        if self.tables.is_lazy() {
            self.stored.copy_from_slice(&params[self.tables_start..]);
            self.tables.begin_all(&self.history, self.options.weight_decay);
            self.catch_up(params, pool);
        }
    }

    fn put_back(&mut self, params: &mut [f32], pool: &mut Pool) {
        self.tables.put_back(&mut params[self.tables_start..], &self.stored, pool);
    }

    fn has_pending(&self) -> bool {
        self.options.row_updates == RowUpdates::Lazy
    }

    /// Parameters are checked too, because a step may use only some of them: a NaN in the row of a
    /// token outside the batch would otherwise go unnoticed. Inactive rows were checked in the step
    /// that wrote them.
    fn sum_over_lanes(&mut self, params: &[f32], grads: StepGradients, pool: &mut Pool) -> f64 {
        let AdamW { pieces, table_squares, m, v, tables, tables_start, .. } = self;
        let Some((first, rest)) = grads.lanes.split_first_mut() else { return 0.0 };
        let is_finite = |range: Range<usize>| {
            [params, &m[..], &v[..]].into_iter().all(|all| all_finite(&all[range.clone()]))
        };
        pieces.sum(&mut first.grads, rest, pool, is_finite);
        let ranges = tables.ranges();
        pool.for_each_range_with(table_squares, [grads.shared], ranges, |i, square, [g]| {
            let start = *tables_start + ranges[i].start;
            let of_rows = |rows: Range<usize>| {
                let is_finite = is_finite(start + rows.start..start + rows.end);
                if is_finite { sum_squares(&g[rows]) } else { f64::NAN }
            };
            *square = tables.active(i).map(|(rows, _)| of_rows(rows)).sum();
        });
        pieces.squares().iter().chain(&*table_squares).sum()
    }

    fn update(
        &mut self,
        params: &mut [f32],
        grads: StepGradients,
        lr: f32,
        grad_scale: f32,
        pool: &mut Pool,
    ) {
        self.n_updates += 1;
        let step = self.options.step(self.n_updates, lr, grad_scale);
        let with_decay =
            |decays| if decays { step } else { AdamwStep { weight_decay: 0.0, ..step } };
        let AdamW { pieces, m, v, tables, tables_start, .. } = self;
        let own_grads = &grads.lanes[0].grads;
        let ranges = pieces.ranges();
        pool.for_each_range([&mut *params, m, v], ranges, |i, [p, m, v]| {
            let step = with_decay(pieces.decays(i));
            adamw_update(p, m, v, &own_grads[ranges[i].clone()], &step);
        });
        let ranges = tables.ranges();
        let start = *tables_start;
        let all = [&mut params[start..], &mut m[start..], &mut v[start..]];
        pool.for_each_range(all, ranges, |i, [p, m, v]| {
            let (grad, step) = (&grads.shared[ranges[i].clone()], with_decay(tables.decays(i)));
            for (rows, pending) in tables.active(i) {
                let step = AdamwStep { idle1: pending.keep1, idle2: pending.keep2, ..step };
                let [p, m, v] = [&mut *p, &mut *m, &mut *v].map(|all| &mut all[rows.clone()]);
                adamw_update(p, m, v, &grad[rows], &step);
            }
        });
        self.tables.end();
        self.history.push(self.n_updates, lr);
    }

    fn n_updates(&self) -> u64 {
        self.n_updates
    }

    fn not_finite(&self, layout: &Layout) -> Option<String> {
        let is_finite =
            |t: &Tensor| [&self.m, &self.v].iter().all(|all| all_finite(t.span.of(all)));
        let bad = layout.tensors.iter().find(|t| !is_finite(t));
        bad.map(|t| t.name.clone())
    }

    fn state<'a>(&'a self, layout: &Layout) -> Vec<StateTensor<'a>> {
        self.saved(layout)
    }

    fn restore(
        &mut self,
        layout: &Layout,
        params: &mut [f32],
        n_updates: u64,
        read: &mut ReadTensor,
    ) -> Result<(), RestoreError> {
        self.take_back(layout, params, n_updates, read)
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        let bytes = |values: &AlignedVec<f32>| values.size() * size_of::<f32>();
        let stored = Some(("stale rows", bytes(&self.stored))).filter(|(_, bytes)| *bytes > 0);
        [("moments", bytes(&self.m) + bytes(&self.v))].into_iter().chain(stored).collect()
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
