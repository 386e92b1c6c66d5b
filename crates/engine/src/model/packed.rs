//! The weights as matrix products read them: converted and packed once per step, for all lanes.
//!
//! That is every matrix for the forward products, and the head's matrix for its backward product,
//! which is computed block of rows after block of rows. The backward products of the other matrices
//! pack on their way (`matmul_straight`): a second copy of them would cost as much memory as a
//! moment of the optimiser, and save no time.

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

/// A piece of packing work: some panels of one matrix for one side.
#[derive(Clone, Debug)]
struct Task {
    matrix: Matrix,
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
    /// Where the output matrix's backward panels lie, when training on all tokens.
    head_backward: Option<Span>,
    tasks: Vec<Task>,
    ranges: Vec<Range<usize>>,
    /// The number of the output matrix.
    head_index: usize,
    /// Tasks of the blocks' matrices: the first so many.
    n_block_tasks: usize,
    /// Whether the matrices of the blocks were packed since and the output matrix was not.
    is_head_stale: bool,
}

impl PackedWeights {
    /// Room for the panels of every matrix; `training` adds those of the output
    /// matrix's backward product.
    pub fn new(layout: &Layout, precision: Precision, training: bool) -> PackedWeights {
        let mut packed = PackedWeights {
            words: AlignedVec::zeroed(0),
            precision,
            forward: Vec::new(),
            head_backward: None,
            tasks: Vec::new(),
            ranges: Vec::new(),
            head_index: layout.head.index,
            n_block_tasks: 0,
            is_head_stale: false,
        };
        let mut len = 0;
        for matrix in layout.matrices() {
            if matrix == layout.head {
                packed.n_block_tasks = packed.tasks.len();
            }
            let span = packed.plan(matrix, Side::Forward, &mut len);
            packed.forward.push(span);
        }
        let is_read_back = training && !layout.samples_head();
        packed.head_backward =
            is_read_back.then(|| packed.plan(layout.head, Side::Backward, &mut len));
        packed.words = AlignedVec::zeroed(len);
        packed
    }

    fn plan(&mut self, matrix: Matrix, side: Side, len: &mut usize) -> Span {
        let (k, n) = side.shape(matrix);
        let start = len.next_multiple_of(16);
        let n_panels = n.div_ceil(matmul::panel_cols());
        let panel_words = matmul::packed_len(self.precision, k, n) / n_panels;
        let step = (TASK_WORDS / panel_words).max(1);
        for first in (0..n_panels).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            self.ranges.push(start + panels.start * panel_words..start + panels.end * panel_words);
            self.tasks.push(Task { matrix, side, panels });
        }
        *len = start + n_panels * panel_words;
        Span { start, end: *len }
    }

    /// Converts and packs `params` anew; call it after every change of them.
    pub fn pack(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_tasks(self.tasks.len(), params, pool);
        self.is_head_stale = false;
    }

    /// As [`PackedWeights::pack`] for the matrices of the blocks alone: what training on some of the
    /// tokens reads. The output matrix must not be read until all is packed again.
    pub fn pack_blocks(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_tasks(self.n_block_tasks, params, pool);
        self.is_head_stale = true;
    }

    /// Whether the output matrix is not that of the parameters.
    pub fn is_head_stale(&self) -> bool {
        self.is_head_stale
    }

    fn pack_tasks(&mut self, n: usize, params: &[f32], pool: &mut Pool) {
        let (tasks, precision) = (&self.tasks, self.precision);
        pool.for_each_range([&mut self.words], &self.ranges[..n], |i, [words]| {
            let Task { matrix, side, panels } = &tasks[i];
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
    }

    /// The right operand of Y = X·Wᵀ.
    ///
    /// # Panics
    /// If it is the output matrix, and that is not packed.
    pub fn forward(&self, matrix: Matrix) -> Packed<'_> {
        let is_stale = self.is_head_stale && matrix.index >= self.head_index;
        assert!(!is_stale, "PackedWeights::forward: the output matrix is not packed");
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
