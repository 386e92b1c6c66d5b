//! Lane memory: its micro-batch, gradients, saved activations and workspace.
//!
//! A lane works on micro-batches of a few sequences, so that activations stay near the cache and do
//! not grow with the batch. The tables of `activations` divide the memory.

use super::activations::{BlockActs, Buffer, OutputActs, Scratch, rows};
use super::config::ModelConfig;
use super::inputs::distinct::ProductRows;
use super::inputs::{InputBuffers, InputLayer, Lookups};
use super::layout::Layout;
use super::micro_shape::MicroShape;
use super::table::{Matrix, Span};
use kernels::matmul::{self, MatmulShape};
use kernels::{AlignedVec, Precision, Rows, Stop};

/// Target number of rows of a micro-batch: enough for products to run near peak, few enough for its
/// activations to stay near the cache.
const MICRO_ROWS: usize = 1024;

/// Largest size of a lane's activations, unless a single sequence needs more. Without it, the
/// activations of a large model would take as much memory as its gradients.
const ACTIVATION_BYTES: usize = 200 << 20;

impl MicroShape {
    /// Micro-batches of a lane with `lane_seqs` sequences of a batch.
    ///
    /// A pure function of the shape, because the order of sums, and so every bit, depends on it.
    pub fn new(
        config: &ModelConfig,
        seq_len: usize,
        lane_seqs: usize,
        precision: Precision,
    ) -> MicroShape {
        let of = |n_seqs: usize| MicroShape {
            config: config.clone(),
            n_seqs,
            seq_len,
            precision,
            logit_rows_max: usize::MAX,
            distinct_inputs: true,
            n_inputs: config.vocab_size,
        };
        let one_bytes = config.n_layers * BlockActs::floats(&of(1)) * size_of::<f32>();
        let most = (MICRO_ROWS / seq_len).min(ACTIVATION_BYTES / one_bytes.max(1)).max(1);
        // Equal micro-batches: a short last one would waste rows.
        of(lane_seqs.div_ceil(lane_seqs.div_ceil(most)))
    }
}

/// Memory of a lane.
#[derive(Debug)]
pub struct Lane {
    shape: MicroShape,
    /// (N) tokens of the current micro-batch, sequence by sequence, and their targets.
    tokens: AlignedVec<u32>,
    targets: AlignedVec<u32>,
    n_rows: usize,
    inputs: InputBuffers,
    /// Gradients, laid out as the parameters of which each lane has its own gradient.
    pub grads: AlignedVec<f32>,
    /// Gradients that all micro-batches of a step add into.
    zeroed: Vec<Span>,
    /// (L + 1, N, C) the residual stream before each block and after the last.
    stream: AlignedVec<f32>,
    blocks: AlignedVec<f32>,
    /// Whether every block keeps its activations; otherwise all blocks share one buffer.
    keeps_blocks: bool,
    output: AlignedVec<f32>,
    /// Offset of the output layer's input in `output`.
    input_start: usize,
    scratch: AlignedVec<f32>,
    /// Panels of the operands of backward products.
    panels: AlignedVec<u32>,
    /// Request to end a pass early.
    pub(crate) stop: Stop,
}

/// One block's view of a lane's memory.
pub(super) struct Block<'a> {
    /// (N, C) the stream before the block, and after it.
    pub input: &'a mut [f32],
    pub output: &'a mut [f32],
    pub acts: BlockActs<'a>,
    pub scratch: Scratch<'a>,
    pub grads: &'a mut [f32],
    pub panels: &'a mut [u32],
    /// Lookups of the micro-batch's input vectors.
    pub lookups: Lookups<'a>,
    /// Rows of the block's query-key-value product.
    pub rows: ProductRows<'a>,
}

/// A lane's view of the final norm.
pub(super) struct FinalNorm<'a> {
    /// (N, C) the stream after the last block, and its gradient.
    pub stream: &'a [f32],
    pub dstream: &'a mut [f32],
    pub acts: OutputActs<'a>,
    pub grads: &'a mut [f32],
}

/// The output layer's view of a lane.
#[derive(Debug)]
pub struct LaneOutput<'a> {
    /// (N, C) the layer's input.
    pub input: Rows<'a>,
    /// (N, C) gradient of that input, to be written.
    pub dinput: &'a mut [f32],
    /// (N) target of each position, or `cross_entropy::IGNORE`.
    pub targets: &'a [u32],
    /// The lane's gradients.
    pub grads: &'a mut [f32],
    /// Workspace of backward products, as large as the layer requested.
    pub panels: &'a mut [u32],
}

impl Lane {
    /// Allocates for micro-batches up to `shape`; `training` adds gradients and the buffers of the
    /// backward pass.
    pub fn new(layout: &Layout, shape: MicroShape, training: bool) -> Lane {
        let (n, c, l) = (shape.n_rows(), layout.config.model_dim, layout.config.n_layers);
        let n_kept = if training { l } else { 1 };
        let n_panels = if training { panel_words(layout, &shape) } else { 0 };
        let n_distinct = shape.distinct_inputs.then_some(shape.n_inputs);
        Lane {
            tokens: AlignedVec::zeroed(n),
            targets: AlignedVec::zeroed(n),
            n_rows: 0,
            inputs: InputBuffers::new(&shape.config, n, shape.seq_len, n_distinct),
            grads: AlignedVec::zeroed(if training { layout.lane_len } else { 0 }),
            zeroed: if training { added_into(layout) } else { Vec::new() },
            stream: AlignedVec::zeroed((l + 1) * n * c),
            blocks: AlignedVec::zeroed(n_kept * BlockActs::floats(&shape)),
            keeps_blocks: training,
            output: AlignedVec::zeroed(OutputActs::floats(&shape)),
            // After the norm's (N) scales.
            input_start: OutputActs::buffers(&shape)[0].floats,
            scratch: AlignedVec::zeroed(Scratch::floats(&shape)),
            panels: AlignedVec::zeroed(n_panels),
            stop: Stop::default(),
            shape,
        }
    }

    /// Shape that the lane was allocated for.
    pub fn shape(&self) -> &MicroShape {
        &self.shape
    }

    /// Name and bytes of each allocation.
    pub fn memory(&self) -> [(&'static str, usize); 5] {
        let float = size_of::<f32>();
        let batch = (self.tokens.size() + self.targets.size()) * size_of::<u32>();
        let workspace = self.output.size() + self.scratch.size();
        [
            ("gradients", self.grads.size() * float),
            ("activations", (self.stream.size() + self.blocks.size()) * float),
            ("workspace", workspace * float),
            ("backward panels", self.panels.size() * size_of::<u32>()),
            ("inputs", self.inputs.bytes() + batch),
        ]
    }

    /// Tables of the lane's activations: those of a block, the workspace, and those between blocks
    /// and output layer.
    pub fn buffers(shape: &MicroShape) -> [Vec<Buffer>; 3] {
        [BlockActs::buffers(shape), Scratch::buffers(shape), OutputActs::buffers(shape)]
    }

    /// Starts a micro-batch of `n_seqs` sequences; returns its tokens and targets, (B·T) each, to
    /// be filled.
    ///
    /// # Panics
    /// If there are more sequences than the lane was allocated for.
    pub fn begin_micro_batch(&mut self, n_seqs: usize) -> (&mut [u32], &mut [u32]) {
        assert!(n_seqs <= self.shape.n_seqs, "Lane: more sequences than the lane was sized for");
        self.n_rows = n_seqs * self.shape.seq_len;
        (&mut self.tokens[..self.n_rows], &mut self.targets[..self.n_rows])
    }

    /// Rows of the current micro-batch.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// (N) tokens of the current micro-batch.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens[..self.n_rows]
    }

    /// (N) their targets.
    pub fn targets(&self) -> &[u32] {
        &self.targets[..self.n_rows]
    }

    /// (N, C) output layer's input of the last forward pass.
    pub fn output_input(&self) -> Rows<'_> {
        let n = self.n_rows * self.shape.config.model_dim;
        rows(&self.output[self.input_start..], n, self.shape.precision)
    }

    /// The output layer's view of the lane.
    pub fn output(&mut self) -> LaneOutput<'_> {
        let acts = OutputActs::of(&mut self.output, &self.shape, self.n_rows);
        LaneOutput {
            input: acts.input.into_rows(),
            dinput: acts.dinput,
            targets: &self.targets[..self.n_rows],
            grads: &mut self.grads,
            panels: &mut self.panels,
        }
    }

    /// Zeroes the gradients that a step's micro-batches only add into: those of gains and biases,
    /// and those of input vectors unless a matrix product overwrites them.
    pub fn begin_step(&mut self) {
        for span in &self.zeroed {
            span.of_mut(&mut self.grads).fill(0.0);
        }
    }

    /// Finds the lookups of the micro-batch's input vectors.
    pub(super) fn find_inputs(&mut self, layer: &InputLayer) {
        self.inputs.find(layer, &self.tokens[..self.n_rows]);
    }

    /// N-gram rows (N, K) that the micro-batch looks up; empty in a model without n-grams.
    pub fn find_ngrams(&mut self, layer: &InputLayer) -> &[u32] {
        self.inputs.find_ngrams(layer, &self.tokens[..self.n_rows])
    }

    /// View for block `l`: the stream before and after it, its activations, and workspace.
    pub(super) fn block(&mut self, l: usize) -> Block<'_> {
        let (n_rows, shape) = (self.n_rows, &self.shape);
        let stride = shape.n_rows() * shape.config.model_dim;
        let len = n_rows * shape.config.model_dim;
        let (before, after) = self.stream.split_at_mut((l + 1) * stride);
        let block_floats = BlockActs::floats(shape);
        let first = if self.keeps_blocks { l * block_floats } else { 0 };
        let distinct = self.inputs.distinct().filter(|_| l == 0);
        Block {
            input: &mut before[l * stride..l * stride + len],
            output: &mut after[..len],
            acts: BlockActs::of(&mut self.blocks[first..first + block_floats], shape, n_rows),
            scratch: Scratch::of(&mut self.scratch, shape, n_rows),
            grads: &mut self.grads,
            panels: &mut self.panels,
            lookups: self.inputs.lookups(n_rows),
            rows: distinct.map_or(ProductRows::Positions, ProductRows::Distinct),
        }
    }

    /// View for the final norm.
    pub(super) fn final_norm(&mut self) -> FinalNorm<'_> {
        let shape = &self.shape;
        let start = shape.config.n_layers * shape.n_rows() * shape.config.model_dim;
        FinalNorm {
            stream: &self.stream[start..start + self.n_rows * shape.config.model_dim],
            dstream: Scratch::of(&mut self.scratch, shape, self.n_rows).dstream,
            acts: OutputActs::of(&mut self.output, shape, self.n_rows),
            grads: &mut self.grads,
        }
    }
}

/// Spans of the lane's own gradients that no product overwrites.
fn added_into(layout: &Layout) -> Vec<Span> {
    let is_overwritten = |span| layout.head.matrices().iter().any(|m| m.matrix.span == span);
    let vectors = layout.tensors.iter().filter(|t| t.shape.len() == 1).map(|t| t.span);
    let tables = layout.inputs.all().filter(|span| !is_overwritten(*span));
    vectors.chain(tables).filter(|span| span.end <= layout.lane_len).collect()
}

/// Words of panels that suffice for the backward products of every block and of the output layer.
fn panel_words(layout: &Layout, shape: &MicroShape) -> usize {
    let (m, precision) = (shape.n_rows(), shape.precision);
    let words = |matrix: Matrix| {
        let (n, k) = (matrix.n_out, matrix.n_in);
        let weight = matmul::wgrad_scratch_len(MatmulShape { m, n, k }, precision);
        let input = MatmulShape { m, n: k, k: n };
        weight.max(matmul::straight_scratch_len(input, precision))
    };
    let of_blocks = layout.block_matrices().map(words).max().unwrap_or(0);
    of_blocks.max(layout.head.panel_words(shape))
}
