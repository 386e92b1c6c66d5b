//! The weights as matrix products read them: converted and packed once per step, for all lanes.
//!
//! That is every matrix for the forward products, and the head's matrix for its backward product,
//! which is computed block of rows after block of rows. The backward products of the other matrices
//! pack on their way (`matmul_straight`): a second copy of them would cost as much memory as a
//! moment of the optimiser, and save no time.
//!
//! What a step does not read need not be packed for it: of the classes of a factored output layer
//! those that the batch has no target in, and a full output matrix that is trained on some of its
//! rows. To read a matrix that was not packed since the parameters changed is an error.

use super::layout::{Layout, Matrix, Span};
use kernels::matmul::{self, Packed};
use kernels::{AlignedVec, Pool, Precision};
use std::ops::Range;

/// Which side of a layer a product is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Y = X·Wᵀ.
    Forward,
    /// dX = dY·W.
    Backward,
}

/// What of a model a matrix is part of, which tells when it must be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A block.
    Block,
    /// The softmax that every token takes part in, or a cluster of an adaptive layer.
    Output,
    /// This class of a factored layer.
    Class(usize),
}

/// A piece of packing work: some panels of one matrix for one side.
#[derive(Clone, Debug)]
struct Task {
    matrix: Matrix,
    owner: Owner,
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
    /// By matrix index: whether the panels are those of the parameters.
    is_fresh: Vec<bool>,
    /// Where the output matrix's backward panels lie, when training on all tokens.
    head_backward: Option<Span>,
    tasks: Vec<Task>,
    ranges: Vec<Range<usize>>,
}

impl PackedWeights {
    /// Room for the panels of every matrix; `training` adds those of the output
    /// matrix's backward product.
    pub fn new(layout: &Layout, precision: Precision, training: bool) -> PackedWeights {
        let mut packed = PackedWeights {
            words: AlignedVec::zeroed(0),
            precision,
            forward: Vec::new(),
            is_fresh: Vec::new(),
            head_backward: None,
            tasks: Vec::new(),
            ranges: Vec::new(),
        };
        let mut len = 0;
        for matrix in layout.matrices() {
            let span = packed.plan(matrix, Owner::of(matrix, layout), Side::Forward, &mut len);
            packed.forward.push(span);
        }
        let is_read_back = training && !layout.samples_head();
        packed.head_backward =
            is_read_back.then(|| packed.plan(layout.head, Owner::Output, Side::Backward, &mut len));
        packed.is_fresh = vec![false; packed.forward.len()];
        packed.words = AlignedVec::zeroed(len);
        packed
    }

    fn plan(&mut self, matrix: Matrix, owner: Owner, side: Side, len: &mut usize) -> Span {
        let (k, n) = side.shape(matrix);
        let start = len.next_multiple_of(16);
        let n_panels = n.div_ceil(matmul::panel_cols());
        let panel_words = matmul::packed_len(self.precision, k, n) / n_panels;
        let step = (TASK_WORDS / panel_words).max(1);
        for first in (0..n_panels).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            self.ranges.push(start + panels.start * panel_words..start + panels.end * panel_words);
            self.tasks.push(Task { matrix, owner, side, panels });
        }
        *len = start + n_panels * panel_words;
        Span { start, end: *len }
    }

    /// Tells that the parameters of some owners changed: they are no longer packed.
    pub fn forget_where(&mut self, is_changed: impl Fn(Owner) -> bool) {
        for task in self.tasks.iter().filter(|task| is_changed(task.owner)) {
            self.is_fresh[task.matrix.index] = false;
        }
    }

    /// Converts and packs all of `params`.
    pub fn pack(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_where(params, pool, |_| true);
    }

    /// Converts and packs the matrices of `params` whose owner is wanted, but for those that were
    /// packed since the parameters changed.
    pub fn pack_where(
        &mut self,
        params: &[f32],
        pool: &mut Pool,
        is_wanted: impl Fn(Owner) -> bool + Sync,
    ) {
        let (tasks, precision, is_fresh) = (&self.tasks, self.precision, &self.is_fresh);
        pool.for_each_range([&mut self.words], &self.ranges, |i, [words]| {
            let Task { matrix, owner, side, panels } = &tasks[i];
            if is_fresh[matrix.index] || !is_wanted(*owner) {
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
        for task in tasks.iter().filter(|task| is_wanted(task.owner)) {
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

    /// The right operand of dX = dY·W for the output matrix, `head`.
    ///
    /// # Panics
    /// If the weights were packed for inference, or for training on some of the tokens.
    pub fn head_backward(&self, head: Matrix) -> Packed<'_> {
        let span = self.head_backward;
        let span = span.expect("PackedWeights::head_backward: it is not packed for that");
        self.view(head, Side::Backward, span)
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

impl Owner {
    /// Whose `matrix` of the table is.
    fn of(matrix: Matrix, layout: &Layout) -> Owner {
        match (matrix.index.checked_sub(layout.head.index), &layout.factor) {
            (None, _) => Owner::Block,
            (Some(n @ 1..), Some(_)) => Owner::Class(n - 1),
            (Some(_), _) => Owner::Output,
        }
    }
}
