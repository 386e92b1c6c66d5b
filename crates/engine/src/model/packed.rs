//! Packed weights: matrices converted and packed into panels once per step, for all lanes.
//!
//! Every matrix is packed for forward products. Those of the output layer that ask for it are also
//! packed for backward products, which run in row blocks. The backward products of other matrices
//! pack on the fly (`matmul_straight`): a second packed copy would cost as much memory as a moment
//! of the optimiser and save no time.
//!
//! A matrix need not be packed for a step that does not read it ([`ReadBy`]). Reading a matrix that
//! was not packed since its parameters changed is an error.

use super::table::{Matrix, Span};
use kernels::aligned::is_planning;
use kernels::matmul::{self, Packed};
use kernels::{AlignedVec, Pool, Precision};
use std::ops::Range;

/// Parameters of a model, plain and packed, as the passes read them.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// All parameters.
    pub params: &'a [f32],
    /// Packed matrices.
    pub packed: &'a PackedWeights,
}

/// Side of a layer that a product is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Y = X·Wᵀ.
    Forward,
    /// dX = dY·W.
    Backward,
}

/// Readers of a matrix, which decide when it must be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// Every step.
    EveryStep,
    /// Steps whose batch uses this part of the output layer.
    StepsThatUse(usize),
    /// No step; only evaluation and prediction between steps.
    NoStep,
}

/// A matrix to pack.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix {
    /// The matrix.
    pub matrix: Matrix,
    /// Its readers.
    pub read_by: ReadBy,
    /// Whether training also reads it packed in its backward product.
    pub packs_backward: bool,
}

/// A packing task: some panels of one matrix for one side.
#[derive(Clone, Debug)]
struct PackTask {
    matrix: Matrix,
    read_by: ReadBy,
    side: Side,
    panels: Range<usize>,
}

/// Largest number of words of a packing task, so that all threads have work.
const TASK_WORDS: usize = 1 << 16;

/// Packed matrices of a model.
#[derive(Debug)]
pub struct PackedWeights {
    words: AlignedVec<u32>,
    precision: Precision,
    /// By matrix index: span of the forward panels.
    forward: Vec<Span>,
    /// By matrix index: span of the backward panels, if any.
    backward: Vec<Option<Span>>,
    /// By matrix index: whether the panels match the parameters.
    is_fresh: Vec<bool>,
    tasks: Vec<PackTask>,
    ranges: Vec<Range<usize>>,
}

impl PackedWeights {
    /// Buffers for the panels of `matrices`, which are indexed in order; `training` adds panels of
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
        // A plan needs no list of its tasks, which can be long.
        let n_listed = if is_planning() { 0 } else { n_panels };
        for first in (0..n_listed).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            self.ranges.push(start + panels.start * panel_words..start + panels.end * panel_words);
            self.tasks.push(PackTask { matrix, read_by, side, panels });
        }
        *len = start + n_panels * panel_words;
        Span { start, end: *len }
    }

    /// Marks matrices whose parameters changed as not packed.
    pub fn forget_where(&mut self, is_changed: impl Fn(ReadBy) -> bool) {
        for task in self.tasks.iter().filter(|task| is_changed(task.read_by)) {
            self.is_fresh[task.matrix.index] = false;
        }
    }

    /// Converts and packs all of `params`.
    pub fn pack(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_where(params, pool, |_| true);
    }

    /// Packs the selected matrices of `params`, except those that are still packed.
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

    /// Right operand of Y = X·Wᵀ.
    ///
    /// # Panics
    /// If the matrix was not packed since the parameters changed.
    pub fn forward(&self, matrix: Matrix) -> Packed<'_> {
        assert!(self.is_fresh[matrix.index], "PackedWeights::forward: {matrix:?} is not packed");
        self.view(matrix, Side::Forward, self.forward[matrix.index])
    }

    /// Right operand of dX = dY·W.
    ///
    /// # Panics
    /// If the weights were packed for inference, or the matrix is not packed for backward products.
    pub fn backward(&self, matrix: Matrix) -> Packed<'_> {
        let span = self.backward[matrix.index];
        let span = span.expect("PackedWeights::backward: the matrix is not packed for that");
        self.view(matrix, Side::Backward, span)
    }

    fn view(&self, matrix: Matrix, side: Side, span: Span) -> Packed<'_> {
        let (k, n) = side.shape(matrix);
        Packed { words: span.of(&self.words), precision: self.precision, k, n }
    }

    /// Number format of the operands.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> usize {
        self.words.size() * size_of::<u32>()
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
