//! Lazy tables: which rows take part in a step, and for how long the others have been stale.

use super::PIECE_FLOATS;
use super::history::{History, Idle, MAX_IDLE};
use crate::model::{ActiveRows, Layout, Span};
use kernels::Pool;
use kernels::adamw::adamw_idle;
use std::ops::Range;

/// The tables that lanes share one gradient of; where there are none, nothing happens.
#[derive(Debug)]
pub struct LazyTables {
    tables: Vec<Table>,
    /// What one thread works on at a time: some rows of a table.
    pieces: Vec<Piece>,
    /// Their floats, counted from the first of the tables.
    ranges: Vec<Range<usize>>,
}

/// One table.
#[derive(Debug)]
struct Table {
    /// Floats of a row.
    width: usize,
    /// Whether weights decay.
    decays: bool,
    /// Its place, which active rows are asked for by.
    span: Span,
    /// Whether its rows may be stale.
    is_lazy: bool,
    /// By row: the updates since it was written.
    idle: Vec<u32>,
    /// By row: these, if it takes part in the step at hand, or [`RESTS`].
    turn: Vec<u32>,
    /// What so many updates did.
    by_idle: Vec<Idle>,
}

/// Stands for a row that takes no part.
const RESTS: u32 = u32::MAX;

#[derive(Debug)]
struct Piece {
    table: usize,
    rows: Range<usize>,
}

impl LazyTables {
    /// The tables of `layout`, no row of which was idle yet; `is_lazy` says that rows may be.
    pub fn new(layout: &Layout, is_lazy: bool) -> LazyTables {
        let active = ActiveRows::new(layout);
        let mut all = LazyTables { tables: vec![], pieces: vec![], ranges: vec![] };
        for tensor in layout.shared_tables() {
            let n_rows = tensor.shape[0];
            let width = tensor.span.len() / n_rows;
            let step = (PIECE_FLOATS / width).max(1);
            for first in (0..n_rows).step_by(step) {
                let rows = first..(first + step).min(n_rows);
                let start = tensor.span.start - layout.lane_len;
                all.ranges.push(start + rows.start * width..start + rows.end * width);
                all.pieces.push(Piece { table: all.tables.len(), rows });
            }
            all.tables.push(Table {
                width,
                decays: tensor.decay,
                span: tensor.span,
                is_lazy: is_lazy && active.of(tensor.span).is_some(),
                idle: vec![0; n_rows],
                turn: vec![0; n_rows],
                by_idle: vec![Idle::NONE; MAX_IDLE + 1],
            });
        }
        all
    }

    /// Whether rows may be idle; otherwise every row takes part in each step.
    pub fn is_lazy(&self) -> bool {
        self.tables.iter().any(|table| table.is_lazy)
    }

    /// By piece: its floats, counted from the first of the tables.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether weights of piece `i` decay.
    pub fn decays(&self, i: usize) -> bool {
        self.tables[self.pieces[i].table].decays
    }

    /// The rows of piece `i` that take part, as ranges of floats counted from the piece's first,
    /// each with what the updates did that its rows were idle for.
    pub fn active(&self, i: usize) -> impl Iterator<Item = (Range<usize>, &Idle)> {
        let Piece { table, rows } = &self.pieces[i];
        let Table { width, turn, by_idle, .. } = &self.tables[*table];
        let mut end = 0;
        turn[rows.clone()].chunk_by(|a, b| a == b).filter_map(move |run| {
            let start = end;
            end += run.len() * width;
            (run[0] != RESTS).then(|| (start..end, &by_idle[run[0] as usize]))
        })
    }

    /// Begins a step on a batch: `active` rows take part, and those that were idle for as long as may
    /// be.
    pub fn begin(&mut self, active: &ActiveRows, history: &History, weight_decay: f32) {
        for table in self.tables.iter_mut().filter(|table| table.is_lazy) {
            table.look_back(history, weight_decay);
            let Some(is_active) = active.of(table.span) else { continue };
            let rows = table.turn.iter_mut().zip(&table.idle).zip(is_active);
            for ((turn, idle), is_active) in rows {
                *turn = if *is_active || *idle >= MAX_IDLE as u32 { *idle } else { RESTS };
            }
        }
    }

    /// Lets every row take part, as if a step were to use them all.
    pub fn begin_all(&mut self, history: &History, weight_decay: f32) {
        for table in &mut self.tables {
            table.look_back(history, weight_decay);
            table.turn.copy_from_slice(&table.idle);
        }
    }

    /// Ends a step with an update of the rows that took part.
    pub fn end(&mut self) {
        for Table { idle, turn, .. } in self.tables.iter_mut().filter(|t| t.is_lazy) {
            for (idle, turn) in idle.iter_mut().zip(turn) {
                *idle = if *turn == RESTS { *idle + 1 } else { 0 };
            }
        }
    }

    /// Brings the parameters of rows that take part up to date; `stored` has what they were.
    ///
    /// All slices hold the tables.
    pub fn catch_up(
        &self,
        params: &mut [f32],
        stored: &mut [f32],
        [m, v]: [&[f32]; 2],
        pool: &mut Pool,
    ) {
        if !self.is_lazy() {
            return;
        }
        pool.for_each_range([params, stored], &self.ranges, |i, [params, stored]| {
            let [m, v] = [m, v].map(|all| &all[self.ranges[i].clone()]);
            for (at, idle) in self.idle_runs(i) {
                let p = &mut params[at.clone()];
                stored[at.clone()].copy_from_slice(p);
                adamw_idle(p, &m[at.clone()], &v[at], idle.updates);
            }
        });
    }

    /// Undoes [`LazyTables::catch_up`], to the bit.
    pub fn put_back(&self, params: &mut [f32], stored: &[f32], pool: &mut Pool) {
        if !self.is_lazy() {
            return;
        }
        pool.for_each_range([params], &self.ranges, |i, [params]| {
            let stored = &stored[self.ranges[i].clone()];
            for (at, _) in self.idle_runs(i) {
                params[at.clone()].copy_from_slice(&stored[at]);
            }
        });
    }

    /// Zeroes the gradients of rows that take part.
    pub fn zero(&self, grads: &mut [f32], pool: &mut Pool) {
        pool.for_each_range([grads], &self.ranges, |i, [grads]| {
            self.active(i).for_each(|(at, _)| grads[at].fill(0.0));
        });
    }

    /// Of [`LazyTables::active`] those whose rows were idle.
    fn idle_runs(&self, i: usize) -> impl Iterator<Item = (Range<usize>, &Idle)> {
        self.active(i).filter(|(_, idle)| idle.n > 0)
    }

    /// By table: for how many updates its rows were idle.
    pub fn idle(&self) -> impl Iterator<Item = &[u32]> {
        self.tables.iter().map(|table| &table.idle[..])
    }

    /// Sets what [`LazyTables::idle`] gives.
    pub fn idle_mut(&mut self) -> impl Iterator<Item = &mut [u32]> {
        self.tables.iter_mut().map(|table| &mut table.idle[..])
    }
}

impl Table {
    fn look_back(&mut self, history: &History, weight_decay: f32) {
        let weight_decay = if self.decays { weight_decay } else { 0.0 };
        history.write_idle(weight_decay, &mut self.by_idle);
    }
}
