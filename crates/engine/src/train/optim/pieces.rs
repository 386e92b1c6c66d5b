//! Pieces of parameters: the unit of work of one thread, each within one tensor of the table.

use crate::model::{Lane, Layout, Tensor};
use kernels::Pool;
use kernels::aligned::is_planning;
use kernels::reduce::{add_into, sum_squares};
use std::ops::Range;

/// Floats of a piece: with its moments and gradient it fits in a second-level cache.
pub(super) const PIECE_FLOATS: usize = 1 << 15;

/// Parameters split into pieces.
#[derive(Debug)]
pub struct Pieces {
    /// Index of the parameter that ranges are counted from.
    start: usize,
    ranges: Vec<Range<usize>>,
    decays: Vec<bool>,
    /// By piece: the sum of squared gradients.
    squares: Vec<f64>,
}

impl Pieces {
    /// The parameters of which each lane has its own gradient.
    pub fn of_lanes(layout: &Layout) -> Pieces {
        let tensors = layout.tensors.iter().filter(|t| t.span.end <= layout.lane_len);
        Pieces::new(tensors, 0)
    }

    /// All rows of the tables of which lanes share one gradient.
    pub fn of_shared(layout: &Layout) -> Pieces {
        Pieces::new(layout.shared_tables(), layout.lane_len)
    }

    fn new<'a>(tensors: impl Iterator<Item = &'a Tensor>, start: usize) -> Pieces {
        let mut ranges = Vec::new();
        let mut decays = Vec::new();
        // A plan needs no list of its pieces, which can be long.
        let tensors = tensors.take_while(|_| !is_planning());
        for tensor in tensors {
            let (first, end) = (tensor.span.start - start, tensor.span.end - start);
            for piece in (first..end).step_by(PIECE_FLOATS) {
                ranges.push(piece..(piece + PIECE_FLOATS).min(end));
                decays.push(tensor.decay);
            }
        }
        Pieces { start, squares: vec![0.0; ranges.len()], ranges, decays }
    }

    /// Index of the parameter that the ranges are counted from.
    pub fn start(&self) -> usize {
        self.start
    }

    /// By piece: its parameters, counted from [`Pieces::start`].
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether weight decay applies to piece `i`.
    pub fn decays(&self, i: usize) -> bool {
        self.decays[i]
    }

    /// Adds the gradients of the lanes `others`, in order, into `grads`, and computes the sums of
    /// squares ([`Pieces::squares`]). The sum of a piece is NaN if `is_finite` is false for its
    /// parameters.
    pub fn sum(
        &mut self,
        grads: &mut [f32],
        others: &[Lane],
        pool: &mut Pool,
        is_finite: impl Fn(Range<usize>) -> bool + Sync,
    ) {
        let Pieces { start, ranges, squares, .. } = self;
        pool.for_each_range_with(squares, [grads], ranges, |i, square, [grads]| {
            for lane in others {
                add_into(grads, &lane.grads[ranges[i].clone()]);
            }
            let params = *start + ranges[i].start..*start + ranges[i].end;
            *square = if is_finite(params) { sum_squares(grads) } else { f64::NAN };
        });
    }

    /// By piece: the sum of squared gradients that [`Pieces::sum`] computed.
    pub fn squares(&self) -> &[f64] {
        &self.squares
    }
}
