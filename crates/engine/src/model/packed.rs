//! The weights as matrix products read them: converted and packed once per step, for all lanes.
//! Of the classes of a factored output layer those are packed that the step's batch has.
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
    /// The class whose matrix it is, if it is a class's.
    class: Option<usize>,
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
    /// Where the output matrix's backward panels lie, when training.
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
            head_backward: None,
            tasks: Vec::new(),
            ranges: Vec::new(),
        };
        let (mut len, n_shared) = (0, layout.head.index + 1);
        for matrix in layout.matrices() {
            let class = matrix.index.checked_sub(n_shared);
            let span = packed.plan(matrix, Side::Forward, class, &mut len);
            packed.forward.push(span);
        }
        let head_backward =
            training.then(|| packed.plan(layout.head, Side::Backward, None, &mut len));
        packed.head_backward = head_backward;
        packed.words = AlignedVec::zeroed(len);
        packed
    }

    fn plan(&mut self, matrix: Matrix, side: Side, class: Option<usize>, len: &mut usize) -> Span {
        let (k, n) = side.shape(matrix);
        let start = len.next_multiple_of(16);
        let n_panels = n.div_ceil(matmul::panel_cols());
        let panel_words = matmul::packed_len(self.precision, k, n) / n_panels;
        let step = (TASK_WORDS / panel_words).max(1);
        for first in (0..n_panels).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            self.ranges.push(start + panels.start * panel_words..start + panels.end * panel_words);
            self.tasks.push(Task { matrix, side, panels, class });
        }
        *len = start + n_panels * panel_words;
        Span { start, end: *len }
    }

    /// Converts and packs all of `params` anew.
    pub fn pack(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_where(params, pool, |_| true);
    }

    /// Packs the matrices that every token goes through.
    pub fn pack_shared(&mut self, params: &[f32], pool: &mut Pool) {
        self.pack_where(params, pool, |class| class.is_none());
    }

    /// Packs the matrices of those classes that are wanted.
    pub fn pack_classes(
        &mut self,
        params: &[f32],
        is_wanted: impl Fn(usize) -> bool + Sync,
        pool: &mut Pool,
    ) {
        self.pack_where(params, pool, |class| class.is_some_and(&is_wanted));
    }

    fn pack_where(
        &mut self,
        params: &[f32],
        pool: &mut Pool,
        is_wanted: impl Fn(Option<usize>) -> bool + Sync,
    ) {
        let (tasks, precision) = (&self.tasks, self.precision);
        pool.for_each_range([&mut self.words], &self.ranges, |i, [words]| {
            let Task { matrix, side, panels, class } = &tasks[i];
            if !is_wanted(*class) {
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
    }

    /// The right operand of Y = X·Wᵀ.
    pub fn forward(&self, matrix: Matrix) -> Packed<'_> {
        self.view(matrix, Side::Forward, self.forward[matrix.index])
    }

    /// The right operand of dX = dY·W for the output matrix, `head`.
    ///
    /// # Panics
    /// If the weights were packed for inference only.
    pub fn head_backward(&self, head: Matrix) -> Packed<'_> {
        let span = self.head_backward;
        let span = span.expect("PackedWeights::head_backward: packed for inference only");
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
