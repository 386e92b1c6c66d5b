//! Packed weights: matrices converted and packed into panels once per step, for all lanes.
//!
//! That is every matrix for the forward products, and those of the output layer that ask for it for
//! their backward products, which go block of rows after block of rows. The backward products of the
//! other matrices pack on their way (`matmul_straight`): a second copy of them would cost as much
//! memory as a moment of the optimiser, and save no time.
//!
//! A matrix that a step does not read need not be packed for it ([`ReadBy`]). To read a matrix that
//! was not packed since its parameters changed is an error.

use super::table::{Matrix, Span};
use kernels::matmul::{self, Packed};
use kernels::{AlignedVec, Pool, Precision};
use std::ops::Range;

/// What the passes read of a model's parameters: the numbers, and the matrices among them packed.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// All parameters.
    pub params: &'a [f32],
    /// The matrices among them.
    pub packed: &'a PackedWeights,
}

/// Which side of a layer a product is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Y = X·Wᵀ.
    Forward,
    /// dX = dY·W.
    Backward,
}

/// Who reads a matrix, which tells when it must be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// Every step.
    EveryStep,
    /// The steps whose batch uses this part of the output layer.
    StepsThatUse(usize),
    /// No step, only what measures or predicts between steps.
    NoStep,
}

/// A matrix to be packed.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix {
    /// Its place.
    pub matrix: Matrix,
    /// Who reads it.
    pub read_by: ReadBy,
    /// Whether training reads it packed in its backward product too.
    pub packs_backward: bool,
}

/// A piece of packing work: some panels of one matrix for one side.
#[derive(Clone, Debug)]
struct PackTask {
    matrix: Matrix,
    read_by: ReadBy,
    side: Side,
    panels: Range<usize>,
}

/// Words that one packing task writes at most, so that both cores have something to do.
const TASK_WORDS: usize = 1 << 16;

/// The matrices of a model in panels.
#[derive(Debug)]
pub struct PackedWeights {
    words: AlignedVec<u32>,
    precision: Precision,
    /// By matrix index: where the forward panels lie.
    forward: Vec<Span>,
    /// By matrix index: where the backward panels lie, if there are any.
    backward: Vec<Option<Span>>,
    /// By matrix index: whether the panels are those of the parameters.
    is_fresh: Vec<bool>,
    tasks: Vec<PackTask>,
    ranges: Vec<Range<usize>>,
}

impl PackedWeights {
    /// Room for the panels of `matrices`, which are numbered in their order; `training` adds those of
    /// backward products.
    pub fn new(
        matrices: impl IntoIterator<Item = PackedMatrix>,
        precision: Precision,
        training: bool,
    ) -> PackedWeights {
        let mut packed = PackedWeights {
            words: AlignedVec::zeroed(0),
            precision,
            forward: Vec::new(),
            backward: Vec::new(),
            is_fresh: Vec::new(),
            tasks: Vec::new(),
            ranges: Vec::new(),
        };
        let mut len = 0;
        for one in matrices {
            debug_assert_eq!(one.matrix.index, packed.forward.len());
            let span = packed.plan(one, Side::Forward, &mut len);
            packed.forward.push(span);
            let is_read_back = training && one.packs_backward;
            let back = is_read_back.then(|| packed.plan(one, Side::Backward, &mut len));
            packed.backward.push(back);
        }
        packed.is_fresh = vec![false; packed.forward.len()];
        packed.words = AlignedVec::zeroed(len);
        packed
    }

    fn plan(&mut self, one: PackedMatrix, side: Side, len: &mut usize) -> Span {
        let PackedMatrix { matrix, read_by, .. } = one;
        let (k, n) = side.shape(matrix);
        let start = len.next_multiple_of(16);
        let n_panels = n.div_ceil(matmul::panel_cols());
        let panel_words = matmul::packed_len(self.precision, k, n) / n_panels;
        let step = (TASK_WORDS / panel_words).max(1);
        for first in (0..n_panels).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            self.ranges.push(start + panels.start * panel_words..start + panels.end * panel_words);
            self.tasks.push(PackTask { matrix, read_by, side, panels });
        }
        *len = start + n_panels * panel_words;
        Span { start, end: *len }
    }

    /// Notes that the parameters of some matrices changed: they are no longer packed.
    pub fn forget_where(&mut self, is_changed: impl Fn(ReadBy) -> bool) {
        for task in self.tasks.iter().filter(|task| is_changed(task.read_by)) {
            self.is_fresh[task.matrix.index] = false;
        }
    }

    /// Converts and packs all of `params`.
    pub fn pack(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_where(params, pool, |_| true);
    }

    /// Converts and packs the matrices of `params` that are wanted, but for those that were packed
    /// since their parameters changed.
    pub fn pack_where(
        &mut self,
        params: &[f32],
        pool: &mut Pool,
        is_wanted: impl Fn(ReadBy) -> bool + Sync,
    ) {
        let (tasks, precision, is_fresh) = (&self.tasks, self.precision, &self.is_fresh);
        pool.for_each_range([&mut self.words], &self.ranges, |i, [words]| {
            let PackTask { matrix, read_by, side, panels } = &tasks[i];
            if is_fresh[matrix.index] || !is_wanted(*read_by) {
                return;
            }
            let weights = matrix.span.of(params);
            let (k, n) = side.shape(*matrix);
            match side {
                Side::Forward => {
                    matmul::pack_transposed_panels(words, weights, k, n, precision, panels.clone())
                }
                Side::Backward => {
                    matmul::pack_straight_panels(words, weights, k, n, precision, panels.clone())
                }
            }
        });
        for task in tasks.iter().filter(|task| is_wanted(task.read_by)) {
            self.is_fresh[task.matrix.index] = true;
        }
    }

    /// The right operand of Y = X·Wᵀ.
    ///
    /// # Panics
    /// If it was not packed since the parameters changed.
    pub fn forward(&self, matrix: Matrix) -> Packed<'_> {
        assert!(self.is_fresh[matrix.index], "PackedWeights::forward: {matrix:?} is not packed");
        self.view(matrix, Side::Forward, self.forward[matrix.index])
    }

    /// The right operand of dX = dY·W.
    ///
    /// # Panics
    /// If the weights were packed for inference, or the matrix was not to be packed for this.
    pub fn backward(&self, matrix: Matrix) -> Packed<'_> {
        let span = self.backward[matrix.index];
        let span = span.expect("PackedWeights::backward: the matrix is not packed for that");
        self.view(matrix, Side::Backward, span)
    }

    fn view(&self, matrix: Matrix, side: Side, span: Span) -> Packed<'_> {
        let (k, n) = side.shape(matrix);
        Packed { words: span.of(&self.words), precision: self.precision, k, n }
    }

    /// The format of the operands.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }
}

impl Side {
    /// (K, N) of the right operand.
    fn shape(self, matrix: Matrix) -> (usize, usize) {
        match self {
            Side::Forward => (matrix.n_in, matrix.n_out),
            Side::Backward => (matrix.n_out, matrix.n_in),
        }
    }
}
