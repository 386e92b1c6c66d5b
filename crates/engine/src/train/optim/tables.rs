//! The tables with a row for each token: which rows take part in a step, and for how long the
//! others have been idle.

use super::CHUNK_FLOATS;
use super::history::{History, Idle, MAX_IDLE};
use crate::model::{FactorSlots, Layout, Span};
use crate::train::lanes::Touched;
use kernels::Pool;
use kernels::adamw::adamw_idle;
use std::ops::Range;

/// The tables that lanes share one gradient of; where there are none, nothing happens.
#[derive(Debug)]
pub struct Tables {
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
    /// What its rows are used for, if they may be idle.
    users: Option<Users>,
    /// By row: the updates since it was written.
    idle: Vec<u32>,
    /// By row: these, if it takes part in the step at hand, or [`RESTS`].
    turn: Vec<u32>,
    /// What so many updates did.
    by_idle: Vec<Idle>,
}

/// Stands for a row that takes no part.
const RESTS: u32 = u32::MAX;

/// What a table's rows are used for, and so which of them a batch touches.
#[derive(Clone, Copy, Debug)]
struct Users {
    /// The rows of tokens in the input.
    inputs: bool,
    /// All rows of the classes among the targets.
    outputs: bool,
    /// The rows of n-grams in the input.
    ngrams: bool,
}

#[derive(Debug)]
struct Piece {
    table: usize,
    rows: Range<usize>,
}

impl Tables {
    /// The tables of `layout`, no row of which was idle yet; `is_lazy` says that rows may be.
    pub fn new(layout: &Layout, is_lazy: bool) -> Tables {
        let mut all = Tables { tables: vec![], pieces: vec![], ranges: vec![] };
        for tensor in layout.tables() {
            let n_rows = tensor.shape[0];
            let width = tensor.span.len() / n_rows;
            let step = (CHUNK_FLOATS / width).max(1);
            for first in (0..n_rows).step_by(step) {
                let rows = first..(first + step).min(n_rows);
                let start = tensor.span.start - layout.lane_len;
                all.ranges.push(start + rows.start * width..start + rows.end * width);
                all.pieces.push(Piece { table: all.tables.len(), rows });
            }
            all.tables.push(Table {
                width,
                decays: tensor.decay,
                users: Users::of(tensor.span, layout).filter(|_| is_lazy),
                idle: vec![0; n_rows],
                turn: vec![0; n_rows],
                by_idle: vec![Idle::NONE; MAX_IDLE + 1],
            });
        }
        all
    }

    /// Whether rows may be idle; otherwise every row takes part in each step.
    pub fn is_lazy(&self) -> bool {
        self.tables.iter().any(|table| table.users.is_some())
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
    pub fn runs(&self, i: usize) -> impl Iterator<Item = (Range<usize>, &Idle)> {
        let Piece { table, rows } = &self.pieces[i];
        let Table { width, turn, by_idle, .. } = &self.tables[*table];
        let mut end = 0;
        turn[rows.clone()].chunk_by(|a, b| a == b).filter_map(move |run| {
            let start = end;
            end += run.len() * width;
            (run[0] != RESTS).then(|| (start..end, &by_idle[run[0] as usize]))
        })
    }

    /// Begins a step on a batch: `touched` rows take part, and those that were idle for as long as
    /// may be.
    pub fn begin(&mut self, touched: &Touched, history: &History, weight_decay: f32) {
        for table in &mut self.tables {
            let Some(users) = table.users else { continue };
            table.look_back(history, weight_decay);
            let Table { idle, turn, .. } = table;
            for (turn, idle) in turn.iter_mut().zip(&*idle) {
                *turn = if *idle < MAX_IDLE as u32 { RESTS } else { *idle };
            }
            if users.inputs {
                touched.inputs().for_each(|row| turn[row] = idle[row]);
            }
            if users.ngrams {
                touched.ngrams().for_each(|row| turn[row] = idle[row]);
            }
            if users.outputs {
                touched.outputs().for_each(|rows| {
                    turn[rows.clone()].copy_from_slice(&idle[rows]);
                });
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
        for Table { idle, turn, .. } in self.tables.iter_mut().filter(|t| t.users.is_some()) {
            for (idle, turn) in idle.iter_mut().zip(turn) {
                *idle = if *turn == RESTS { *idle + 1 } else { 0 };
            }
        }
    }

    /// Brings the parameters of rows that take part up to date; `live` has what they were.
    ///
    /// All slices hold the tables.
    pub fn catch_up(
        &self,
        params: &mut [f32],
        live: &mut [f32],
        [m, v]: [&[f32]; 2],
        pool: &mut Pool,
    ) {
        if !self.is_lazy() {
            return;
        }
        pool.for_each_range([params, live], &self.ranges, |i, [params, live]| {
            let [m, v] = [m, v].map(|all| &all[self.ranges[i].clone()]);
            for (at, idle) in self.idle_runs(i) {
                let p = &mut params[at.clone()];
                live[at.clone()].copy_from_slice(p);
                adamw_idle(p, &m[at.clone()], &v[at], idle.updates);
            }
        });
    }

    /// Undoes [`Tables::catch_up`], to the bit.
    pub fn put_back(&self, params: &mut [f32], live: &[f32], pool: &mut Pool) {
        if !self.is_lazy() {
            return;
        }
        pool.for_each_range([params], &self.ranges, |i, [params]| {
            let live = &live[self.ranges[i].clone()];
            for (at, _) in self.idle_runs(i) {
                params[at.clone()].copy_from_slice(&live[at]);
            }
        });
    }

    /// Zeroes the gradients of rows that take part.
    pub fn zero(&self, grads: &mut [f32], pool: &mut Pool) {
        pool.for_each_range([grads], &self.ranges, |i, [grads]| {
            self.runs(i).for_each(|(at, _)| grads[at].fill(0.0));
        });
    }

    /// Of [`Tables::runs`] those whose rows were idle.
    fn idle_runs(&self, i: usize) -> impl Iterator<Item = (Range<usize>, &Idle)> {
        self.runs(i).filter(|(_, idle)| idle.n > 0)
    }

    /// By table: for how many updates its rows were idle.
    pub fn idle(&self) -> impl Iterator<Item = &[u32]> {
        self.tables.iter().map(|table| &table.idle[..])
    }

    /// Sets what [`Tables::idle`] gives.
    pub fn idle_mut(&mut self) -> impl Iterator<Item = &mut [u32]> {
        self.tables.iter_mut().map(|table| &mut table.idle[..])
    }
}

impl Users {
    /// Of the table at `span`, if it is known which of its rows a batch uses.
    fn of(span: Span, layout: &Layout) -> Option<Users> {
        let is_classes = |factor: &FactorSlots| span == factor.rows || span == factor.member_bias;
        let inputs = span == layout.embed;
        let outputs = layout.factor.as_ref().is_some_and(is_classes);
        let ngrams = layout.ngrams == Some(span);
        // Of a full softmax that is trained on a sample, the sample is not known beforehand.
        if span == layout.head.span {
            return None;
        }
        (inputs || outputs || ngrams).then_some(Users { inputs, outputs, ngrams })
    }
}

impl Table {
    fn look_back(&mut self, history: &History, weight_decay: f32) {
        let weight_decay = if self.decays { weight_decay } else { 0.0 };
        history.write_idle(weight_decay, &mut self.by_idle);
    }
}
