//! Members of classes: the softmax over the tokens of the target's class, a small product per
//! class.
//!
//! Rows of all lanes whose targets are in a class are gathered and multiplied by the class's rows
//! of the table. The results, losses and input gradients, are stored class by class until the lanes
//! fetch theirs ([`Members::fetch`]). A thread works on one class at a time.

use super::Factored;
use crate::head::class::{ClassGrads, ClassScratch, ClassSort, add_to_rows};
use crate::model::{Gradients, Weights};
use kernels::{AlignedVec, Pool, Precision, Rows};
use std::ops::Range;

/// Buffers of the layer for the rows of all lanes.
#[derive(Debug)]
pub struct Members {
    /// (N) losses, class by class.
    loss: AlignedVec<f32>,
    /// (N, C) gradients of the inputs, class by class.
    dinput: AlignedVec<f32>,
    /// By class: its rows, and their floats.
    rows: Vec<Range<usize>>,
    row_floats: Vec<Range<usize>>,
    /// By class: its ids, and the floats of their rows in the table.
    ids: Vec<Range<usize>>,
    id_floats: Vec<Range<usize>>,
    /// (lanes, classes) index of a lane's first row among those of a class.
    firsts: Vec<usize>,
    /// By thread.
    scratch: Vec<ClassScratch>,
}

/// Rows of one lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneRows<'a> {
    /// The lane's rows, sorted by the class of their targets.
    pub sort: &'a ClassSort,
    /// (N) the targets.
    pub targets: &'a [u32],
    /// (N, C) the layer's input.
    pub input: Rows<'a>,
}

impl Members {
    /// Buffers for `n_rows` rows of width C in all, from `n_lanes` lanes, on `threads` threads.
    pub fn new(
        layer: &Factored,
        n_lanes: usize,
        n_rows: usize,
        precision: Precision,
        threads: usize,
    ) -> Members {
        let c = layer.classes.matrix.n_in;
        let ids: Vec<Range<usize>> = (0..layer.n_classes()).map(|class| layer.ids(class)).collect();
        let classes = layer.members.iter().map(|rows| (*rows, None));
        let scratch = || ClassScratch::new(classes.clone(), c, precision);
        Members {
            loss: AlignedVec::zeroed(n_rows),
            dinput: AlignedVec::zeroed(n_rows * c),
            rows: vec![0..0; ids.len()],
            row_floats: vec![0..0; ids.len()],
            id_floats: ids.iter().map(|ids| ids.start * c..ids.end * c).collect(),
            firsts: vec![0; n_lanes * ids.len()],
            scratch: (0..threads.max(1)).map(|_| scratch()).collect(),
            ids,
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let rows = (self.loss.size() + self.dinput.size()) * size_of::<f32>();
        rows + self.scratch.iter().map(ClassScratch::bytes).sum::<usize>()
    }

    /// Computes losses and input gradients of the rows of lanes `0..n_lanes`, and adds the table
    /// gradients of the classes present.
    pub fn loss_and_gradient<'a>(
        &mut self,
        layer: &Factored,
        weights: Weights,
        mut shared_acc: Gradients,
        n_lanes: usize,
        lane: impl Fn(usize) -> LaneRows<'a> + Sync,
        pool: &mut Pool,
    ) {
        self.deal(n_lanes, &lane);
        let Members { loss, dinput, rows, row_floats, ids, id_floats, scratch, .. } = self;
        let [rows_acc, biases_acc] = shared_acc.of_both([layer.rows, layer.member_bias]);
        let cuts = [
            (&mut loss[..], &rows[..]),
            (&mut dinput[..], &row_floats[..]),
            (rows_acc, &id_floats[..]),
            (biases_acc, &ids[..]),
        ];
        pool.for_each_cut(scratch, cuts, |class, scratch, [loss, dinput, drows, dbiases]| {
            let places = places(class, n_lanes, &lane);
            let grads = ClassGrads { rows_acc: drows, biases_acc: dbiases, narrow_acc: &mut [] };
            layer.class(weights, class).loss_and_gradient(places, loss, dinput, grads, scratch);
        });
    }

    /// Computes losses of the rows of lanes `0..n_lanes`, without gradients.
    pub fn loss<'a>(
        &mut self,
        layer: &Factored,
        weights: Weights,
        n_lanes: usize,
        lane: impl Fn(usize) -> LaneRows<'a> + Sync,
        pool: &mut Pool,
    ) {
        self.deal(n_lanes, &lane);
        let Members { loss, rows, scratch, .. } = self;
        pool.for_each_cut(scratch, [(&mut loss[..], &rows[..])], |class, scratch, [loss]| {
            layer.class(weights, class).loss(places(class, n_lanes, &lane), loss, scratch);
        });
    }

    /// Adds the losses of lane `index` to its own.
    pub fn fetch_loss(&self, index: usize, sort: &ClassSort, loss_acc: &mut [f32]) {
        for (class, first) in self.firsts_of(index).iter().enumerate() {
            for (place, row) in (*first..).zip(sort.rows(class)) {
                loss_acc[*row as usize] += self.loss[place];
            }
        }
    }

    /// Adds the losses and input gradients of lane `index` to its own.
    pub fn fetch(
        &self,
        index: usize,
        sort: &ClassSort,
        loss_acc: &mut [f32],
        dinput_acc: &mut [f32],
    ) {
        let c = self.dinput.len() / self.loss.len().max(1);
        for (class, first) in self.firsts_of(index).iter().enumerate() {
            let (rows, first) = (sort.rows(class), *first);
            let end = first + rows.len();
            let found = (&self.loss[first..end], &self.dinput[first * c..end * c]);
            add_to_rows(rows, found, loss_acc, dinput_acc);
        }
    }

    /// (classes) index of a lane's first row in each class.
    fn firsts_of(&self, index: usize) -> &[usize] {
        let n_classes = self.ids.len();
        &self.firsts[index * n_classes..(index + 1) * n_classes]
    }

    /// Assigns every class its range of rows, and every lane its offset within each.
    fn deal<'a>(&mut self, n_lanes: usize, lane: &(impl Fn(usize) -> LaneRows<'a> + Sync)) {
        let (mut end, n_classes) = (0, self.ids.len());
        let c = self.dinput.len() / self.loss.len().max(1);
        for class in 0..n_classes {
            let start = end;
            for i in 0..n_lanes {
                self.firsts[i * n_classes + class] = end;
                end += lane(i).sort.rows(class).len();
            }
            self.rows[class] = start..end;
            self.row_floats[class] = start * c..end * c;
        }
    }
}

/// Rows of a class, lane by lane: (input, row, target).
fn places<'a>(
    class: usize,
    n_lanes: usize,
    lane: &(impl Fn(usize) -> LaneRows<'a> + Sync),
) -> impl Iterator<Item = (Rows<'a>, usize, u32)> {
    (0..n_lanes).flat_map(move |i| {
        let LaneRows { sort, targets, input } = lane(i);
        let rows = sort.rows(class).iter().map(|row| *row as usize);
        rows.map(move |row| (input, row, targets[row]))
    })
}
