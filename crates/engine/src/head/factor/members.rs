//! The softmax over the tokens of the right class: a small product for each class.
//!
//! Rows of all lanes whose targets are in a class are gathered and multiplied by the class's rows of
//! the table. What comes of it, losses and input gradients, lies class after class until the lanes
//! fetch theirs ([`Members::fetch`]). A thread works on a class at a time, the heaviest first.

use super::ClassSort;
use super::member_block::{ClassPart, Scratch};
use crate::model::{Layout, Model};
use kernels::reduce::add_into;
use kernels::{AlignedVec, Pool, Precision, Rows};
use std::ops::Range;

/// Memory of the layer for the rows of all lanes.
#[derive(Debug)]
pub struct Members {
    /// (N) losses, class after class.
    loss: AlignedVec<f32>,
    /// (N, C) gradients of the inputs, class after class.
    dinput: AlignedVec<f32>,
    /// By class: its rows, and the floats of these.
    rows: Vec<Range<usize>>,
    row_floats: Vec<Range<usize>>,
    /// By class: its ids, and the floats of their rows in the table.
    ids: Vec<Range<usize>>,
    id_floats: Vec<Range<usize>>,
    /// (lanes, classes) the first row of a lane among those of a class.
    firsts: Vec<usize>,
    /// For each thread.
    scratch: Vec<Scratch>,
}

/// A lane's part.
#[derive(Clone, Copy, Debug)]
pub struct LaneRows<'a> {
    /// Its rows by the class of their targets.
    pub sort: &'a ClassSort,
    /// (N) the targets.
    pub targets: &'a [u32],
    /// (N, C) the layer's input.
    pub input: Rows<'a>,
}

/// The gradients of the tables, which are added into.
#[derive(Debug)]
pub struct MemberGrads<'a> {
    /// (V, C) of the rows.
    pub rows_acc: &'a mut [f32],
    /// (V) of the biases.
    pub biases_acc: &'a mut [f32],
}

impl Members {
    /// Memory for `n_rows` rows in all, of `n_lanes` lanes, on so many threads.
    ///
    /// # Panics
    /// If the layout has no factored output layer.
    pub fn new(
        layout: &Layout,
        n_lanes: usize,
        n_rows: usize,
        precision: Precision,
        threads: usize,
    ) -> Members {
        let factor = layout.factor.as_ref().expect("Members: the output layer is not factored");
        let c = layout.config.model_dim;
        let ids: Vec<Range<usize>> =
            factor.starts.windows(2).map(|pair| pair[0] as usize..pair[1] as usize).collect();
        let largest = ids.iter().map(Range::len).max().unwrap_or(0);
        Members {
            loss: AlignedVec::zeroed(n_rows),
            dinput: AlignedVec::zeroed(n_rows * c),
            rows: vec![0..0; ids.len()],
            row_floats: vec![0..0; ids.len()],
            id_floats: ids.iter().map(|ids| ids.start * c..ids.end * c).collect(),
            firsts: vec![0; n_lanes * ids.len()],
            scratch: (0..threads.max(1)).map(|_| Scratch::new(largest, c, precision)).collect(),
            ids,
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let rows = (self.loss.len() + self.dinput.len()) * size_of::<f32>();
        rows + self.scratch.iter().map(Scratch::bytes).sum::<usize>()
    }

    /// Losses and input gradients of the rows of lanes `0..n_lanes`; the tables' gradients of the
    /// classes present are added into.
    pub fn loss_and_gradient<'a>(
        &mut self,
        model: Model,
        grads: MemberGrads,
        n_lanes: usize,
        lane: impl Fn(usize) -> LaneRows<'a> + Sync,
        pool: &mut Pool,
    ) {
        self.deal(n_lanes, &lane);
        let Members { loss, dinput, rows, row_floats, ids, id_floats, scratch, .. } = self;
        let cuts = [
            (&mut loss[..], &rows[..]),
            (&mut dinput[..], &row_floats[..]),
            (grads.rows_acc, &id_floats[..]),
            (grads.biases_acc, &ids[..]),
        ];
        pool.for_each_cut(scratch, cuts, |class, scratch, [loss, dinput, drows, dbiases]| {
            let part = ClassPart::new(model, class);
            let places = places(class, n_lanes, &lane);
            part.loss_and_gradient(
                places,
                loss,
                dinput,
                MemberGrads { rows_acc: drows, biases_acc: dbiases },
                scratch,
            );
        });
    }

    /// Losses of the rows of lanes `0..n_lanes`, without gradients.
    pub fn loss<'a>(
        &mut self,
        model: Model,
        n_lanes: usize,
        lane: impl Fn(usize) -> LaneRows<'a> + Sync,
        pool: &mut Pool,
    ) {
        self.deal(n_lanes, &lane);
        let Members { loss, rows, scratch, .. } = self;
        pool.for_each_cut(scratch, [(&mut loss[..], &rows[..])], |class, scratch, [loss]| {
            ClassPart::new(model, class).loss(places(class, n_lanes, &lane), loss, scratch);
        });
    }

    /// Adds the losses and, if there are any, the input gradients of lane `index` to its own.
    pub fn fetch(
        &self,
        index: usize,
        sort: &ClassSort,
        loss_acc: &mut [f32],
        dinput_acc: Option<&mut [f32]>,
    ) {
        let n_classes = self.ids.len();
        let c = self.dinput.len() / self.loss.len().max(1);
        let firsts = &self.firsts[index * n_classes..(index + 1) * n_classes];
        for (class, first) in firsts.iter().enumerate() {
            for (place, row) in (*first..).zip(sort.rows(class)) {
                loss_acc[*row as usize] += self.loss[place];
            }
        }
        let Some(dinput_acc) = dinput_acc else { return };
        for (class, first) in firsts.iter().enumerate() {
            for (place, row) in (*first..).zip(sort.rows(class)) {
                let row = *row as usize * c;
                let found = &self.dinput[place * c..(place + 1) * c];
                add_into(&mut dinput_acc[row..row + c], found);
            }
        }
    }

    /// Gives every class its place, and every lane its within.
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

/// The rows of a class, lane after lane: (input, row, target).
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
