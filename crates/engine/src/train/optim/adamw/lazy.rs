//! Lazy tables: the rows that are active in a step, and how many updates the others have missed.

use super::PIECE_FLOATS;
use super::history::{History, Idle, MAX_IDLE};
use crate::model::{ActiveRows, Layout, Span};
use kernels::Pool;
use kernels::adamw::adamw_idle;
use std::ops::Range;

/// The tables whose gradient all lanes share; may be empty.
#[derive(Debug)]
pub struct LazyTables {
    tables: Vec<Table>,
    /// Pieces, each the work of one thread at a time: some rows of one table.
    pieces: Vec<Piece>,
    /// By piece: its floats, counted from the first table.
    ranges: Vec<Range<usize>>,
}

/// One table.
#[derive(Debug)]
struct Table {
    /// Floats of a row.
    width: usize,
    /// Whether weight decay applies.
    decays: bool,
    /// Its span in the layout, the key for looking up active rows.
    span: Span,
    /// Whether its rows may be stale.
    is_lazy: bool,
    /// By row: updates missed since it was last written.
    idle: Vec<u32>,
    /// By row: the same, if the row is active in the current step, else [`RESTS`].
    turn: Vec<u32>,
    /// Combined effect of `n` updates, by `n`.
    by_idle: Vec<Idle>,
}

/// Marks a row that is not active.
const RESTS: u32 = u32::MAX;

#[derive(Debug)]
struct Piece {
    table: usize,
    rows: Range<usize>,
}

impl LazyTables {
    /// The tables of `layout`, all rows current; with `is_lazy`, rows may become stale.
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

    /// Whether rows may be stale; otherwise every row is active in each step.
    pub fn is_lazy(&self) -> bool {
        self.tables.iter().any(|table| table.is_lazy)
    }

    /// By piece: its floats, counted from the first table.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether weight decay applies to piece `i`.
    pub fn decays(&self, i: usize) -> bool {
        self.tables[self.pieces[i].table].decays
    }

    /// The active rows of piece `i`, as ranges of floats counted from the start of the piece, each
    /// with the combined effect of the updates that its rows missed.
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

    /// Begins a step on a batch: its `active` rows become active, and so do rows that have missed
    /// [`MAX_IDLE`] updates.
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

    /// Makes every row active, as if a step used them all.
    pub fn begin_all(&mut self, history: &History, weight_decay: f32) {
        for table in &mut self.tables {
            table.look_back(history, weight_decay);
            table.turn.copy_from_slice(&table.idle);
        }
    }

    /// Ends a step: its update wrote the active rows.
    pub fn end(&mut self) {
        for Table { idle, turn, .. } in self.tables.iter_mut().filter(|t| t.is_lazy) {
            for (idle, turn) in idle.iter_mut().zip(turn) {
                *idle = if *turn == RESTS { *idle + 1 } else { 0 };
            }
        }
    }

    /// Catches up the parameters of active rows; `stored` holds their values from before.
    ///
    /// All slices cover exactly the tables.
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

    /// Undoes [`LazyTables::catch_up`], bit for bit.
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

    /// Clears the gradients of active rows.
    pub fn zero(&self, grads: &mut [f32], pool: &mut Pool) {
        pool.for_each_range([grads], &self.ranges, |i, [grads]| {
            self.active(i).for_each(|(at, _)| grads[at].fill(0.0));
        });
    }

    /// The runs of [`LazyTables::active`] whose rows have missed updates.
    fn idle_runs(&self, i: usize) -> impl Iterator<Item = (Range<usize>, &Idle)> {
        self.active(i).filter(|(_, idle)| idle.n > 0)
    }

    /// By table: the number of updates that each row has missed.
    pub fn idle(&self) -> impl Iterator<Item = &[u32]> {
        self.tables.iter().map(|table| &table.idle[..])
    }

    /// Mutable access to [`LazyTables::idle`].
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
