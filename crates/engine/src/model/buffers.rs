//! The memory of one lane: gradients, saved activations and workspace, one allocation each.
//!
//! A lane works on micro-batches of a few sequences, so that activations stay near the cache and
//! their size does not grow with the batch. Every buffer is named in one of the `*_lens` lists
//! below; the allocations, the slices and the printed memory plan all come from them.

use super::config::ModelConfig;
use super::forward::Model;
use super::inputs::Inputs;
use super::layout::{Layout, Span};
use super::unique::UniqueTokens;
use crate::head;
use kernels::attention::{self, AttentionShape};
use kernels::matmul::{self, MatmulShape};
use kernels::{AlignedVec, Precision, Rows, RowsMut};
use text::vocab::ngrams::Ngrams;

/// The largest micro-batch of a lane and how its activations are kept.
#[derive(Clone, Debug)]
pub struct MicroShape {
    /// The model.
    pub config: ModelConfig,
    /// Sequences of a micro-batch, B.
    pub n_seqs: usize,
    /// Tokens of a sequence, T.
    pub seq_len: usize,
    /// Format of saved activations and product operands.
    pub precision: Precision,
    /// Rows of a block of logits in the loss.
    pub head_rows: usize,
    /// Whether what depends on the token alone is computed once per different token.
    pub unique_tokens: bool,
    /// Different inputs that there are: tokens, and words where vectors are composed, I.
    pub n_inputs: usize,
}

/// Tokens of a micro-batch, sequence after sequence, and what follows each.
#[derive(Clone, Copy, Debug)]
pub struct MicroBatch<'a> {
    /// (B·T) token ids.
    pub tokens: &'a [u32],
    /// (B·T) the token that follows, or `cross_entropy::IGNORE`.
    pub targets: &'a [u32],
}

/// A lane's memory.
#[derive(Debug)]
pub struct LaneBuffers {
    /// What it was sized for.
    pub shape: MicroShape,
    /// Gradients, laid out as the parameters of which each lane has its own.
    pub grads: AlignedVec<f32>,
    /// (L + 1, N, C) the residual stream before each block and after the last.
    pub stream: AlignedVec<f32>,
    /// Activations of each block that its backward pass reads.
    layers: AlignedVec<f32>,
    /// Workspace: nothing in it outlives the call that wrote it.
    scratch: AlignedVec<f32>,
    /// Workspace of backward products: panels of their operands.
    pub words: AlignedVec<u32>,
    /// (N) what stands at each place of the micro-batch.
    inputs: AlignedVec<u32>,
    /// (N, K) the rows of the n-grams that end there.
    ngrams: AlignedVec<u32>,
    /// The different inputs, if they are to be told apart and vectors are functions of them.
    unique: Option<UniqueTokens>,
}

/// Activations of one block, kept for its backward pass.
#[derive(Debug)]
pub(super) struct LayerActs<'a> {
    pub attn_rstd: &'a mut [f32],
    pub attn_in: RowsMut<'a>,
    pub qk_normed: RowsMut<'a>,
    pub qk_rstd: &'a mut [f32],
    pub qkv: RowsMut<'a>,
    pub lse: &'a mut [f32],
    pub attn_out: RowsMut<'a>,
    pub mid: &'a mut [f32],
    pub mlp_rstd: &'a mut [f32],
    pub mlp_in: RowsMut<'a>,
    pub gate_up: RowsMut<'a>,
    pub hidden: RowsMut<'a>,
}

/// Workspace shared by all blocks.
#[derive(Debug)]
pub(super) struct Scratch<'a> {
    /// (N, Q) f32: query-key-value rows and their gradient.
    pub qkv: &'a mut [f32],
    /// (N, max(2F, Q)) f32: gate and up before activation, or the first block's query-key-value
    /// rows of the different tokens, and their gradient.
    pub wide: &'a mut [f32],
    /// (N, max(C, H·D, F)) f32: a gradient on its way through a layer.
    pub flow: &'a mut [f32],
    /// (N, C) f32: the gradient of the residual stream.
    pub dstream: &'a mut [f32],
    /// (N, C) f32: a branch before dropout, or its gradient after.
    pub branch: &'a mut [f32],
    /// (N, max(C, Q, 2F)) operands made from f32 for one product.
    pub operand: RowsMut<'a>,
    /// Scratch of the attention kernels.
    pub attention: &'a mut [f32],
}

/// What the output layer works with.
#[derive(Debug)]
pub struct HeadActs<'a> {
    /// (N, C) the stream after the last block.
    pub stream: &'a [f32],
    /// (N) of the final norm.
    pub rstd: &'a mut [f32],
    /// (N, C) the normalised stream: the head's input.
    pub input: RowsMut<'a>,
    /// (N, C) its gradient.
    pub dinput: &'a mut [f32],
    /// (N, C) the gradient of `stream`, which the backward pass starts from.
    pub dstream: &'a mut [f32],
    /// (R, V) a block of logits, of tokens or of classes.
    pub logits: &'a mut [f32],
    /// (R, V) their gradient.
    pub dlogits: RowsMut<'a>,
    /// (N) loss of each token in nats.
    pub loss: &'a mut [f32],
}

/// Rows that a micro-batch aims at: enough for products to run near peak, few enough for its
/// activations to stay near the cache.
const MICRO_ROWS: usize = 1024;

/// The place of the output layer's input among the parts of a lane's workspace.
const HEAD_INPUT: usize = 8;

/// Activations of a lane, at most, where a sequence takes less: a large model's would otherwise
/// take as much memory as its gradients.
const ACTIVATION_BYTES: usize = 200 << 20;

impl MicroShape {
    /// The micro-batches of a lane that has `lane_seqs` sequences of a batch.
    ///
    /// A pure function of the shape: the order of sums, and so every bit, depends on it.
    pub fn new(
        config: &ModelConfig,
        seq_len: usize,
        lane_seqs: usize,
        precision: Precision,
    ) -> MicroShape {
        let n_outputs = config.head.n_outputs(config.vocab_size);
        let of = |n_seqs: usize| MicroShape {
            config: config.clone(),
            n_seqs,
            seq_len,
            precision,
            head_rows: head::softmax::block_rows(n_outputs, n_seqs * seq_len),
            unique_tokens: true,
            n_inputs: config.vocab_size,
        };
        let one_bytes = config.n_layers * padded_sum(&of(1).layer_lens()) * size_of::<f32>();
        let most = (MICRO_ROWS / seq_len).min(ACTIVATION_BYTES / one_bytes.max(1)).max(1);
        // Equal micro-batches: a short last one would waste the rows it lacks.
        of(lane_seqs.div_ceil(lane_seqs.div_ceil(most)))
    }

    /// Outputs of the softmax that every token takes part in.
    pub fn n_outputs(&self) -> usize {
        self.config.head.n_outputs(self.config.vocab_size)
    }

    /// Rows of the largest micro-batch, N.
    pub fn n_rows(&self) -> usize {
        self.n_seqs * self.seq_len
    }

    /// The attention kernels' shape.
    pub fn attention(&self) -> AttentionShape {
        AttentionShape {
            n_heads: self.config.n_heads,
            n_kv_heads: self.config.n_kv_heads,
            head_dim: self.config.head_dim,
            seq_len: self.seq_len,
        }
    }

    /// Floats that hold `n` operands.
    fn operand_len(&self, n: usize) -> usize {
        match self.precision {
            Precision::F32 => n,
            Precision::Bf16 => n.div_ceil(2),
        }
    }

    fn layer_lens(&self) -> [usize; 12] {
        let (n, m) = (self.n_rows(), &self.config);
        let qk = if m.qk_norm { n * (m.n_heads + m.n_kv_heads) } else { 0 };
        [
            n,
            self.operand_len(n * m.model_dim),
            self.operand_len(qk * m.head_dim),
            qk,
            self.operand_len(n * m.qkv_dim()),
            n * m.n_heads,
            self.operand_len(n * m.attn_dim()),
            n * m.model_dim,
            n,
            self.operand_len(n * m.model_dim),
            self.operand_len(n * 2 * m.ffn_dim),
            self.operand_len(n * m.ffn_dim),
        ]
    }

    fn scratch_lens(&self) -> [usize; 13] {
        let (n, m) = (self.n_rows(), &self.config);
        let logits = self.head_rows * self.n_outputs();
        [
            n * m.qkv_dim(),
            n * m.qkv_dim().max(2 * m.ffn_dim),
            n * m.model_dim.max(m.attn_dim()).max(m.ffn_dim),
            n * m.model_dim,
            n * m.model_dim,
            self.operand_len(n * m.model_dim.max(m.qkv_dim()).max(2 * m.ffn_dim)),
            attention::attention_scratch_len(self.attention(), self.precision),
            n,
            self.operand_len(n * m.model_dim),
            n * m.model_dim,
            logits,
            self.operand_len(logits),
            n,
        ]
    }

    /// Words of scratch that the backward products of every matrix fit in.
    fn backward_words(&self, layout: &Layout) -> usize {
        let precision = self.precision;
        let len = |matrix: super::Matrix| {
            let is_head = matrix == layout.head;
            let m = if is_head { self.head_rows } else { self.n_rows() };
            let (n, k) = (matrix.n_out, matrix.n_in);
            let weight = matmul::wgrad_scratch_len(MatmulShape { m, n, k }, precision);
            let dx = MatmulShape { m, n: k, k: n };
            // The output matrix's panels are there already.
            let input = if is_head { 0 } else { matmul::straight_scratch_len(dx, precision) };
            weight.max(input)
        };
        layout.trunk().chain([layout.head]).map(len).max().unwrap_or(0)
    }
}

impl LaneBuffers {
    /// Allocates for micro-batches up to `shape`; `training` adds gradients and what backward
    /// passes read, otherwise every block writes over the activations of the one before.
    pub fn new(layout: &Layout, shape: MicroShape, training: bool) -> LaneBuffers {
        let stream = (layout.config.n_layers + 1) * shape.n_rows() * layout.config.model_dim;
        let n_kept = if training { layout.config.n_layers } else { 1 };
        let unique = || UniqueTokens::new(shape.n_rows(), shape.n_inputs);
        LaneBuffers {
            inputs: AlignedVec::zeroed(shape.n_rows()),
            ngrams: AlignedVec::zeroed(shape.n_rows() * shape.config.ngrams.len()),
            unique: (shape.unique_tokens && shape.config.ngrams.is_empty()).then(unique),
            grads: AlignedVec::zeroed(if training { layout.lane_len } else { 0 }),
            stream: AlignedVec::zeroed(stream),
            layers: AlignedVec::zeroed(n_kept * padded_sum(&shape.layer_lens())),
            scratch: AlignedVec::zeroed(padded_sum(&shape.scratch_lens())),
            words: AlignedVec::zeroed(if training { shape.backward_words(layout) } else { 0 }),
            shape,
        }
    }

    /// Name and bytes of each allocation.
    pub fn plan(&self) -> [(&'static str, usize); 5] {
        let float = size_of::<f32>();
        let unique = self.unique.as_ref().map_or(0, UniqueTokens::bytes);
        let inputs = (self.inputs.len() + self.ngrams.len()) * size_of::<u32>();
        [
            ("gradients", self.grads.len() * float),
            ("activations", (self.stream.len() + self.layers.len()) * float),
            ("workspace", self.scratch.len() * float),
            ("backward panels", self.words.len() * size_of::<u32>()),
            ("inputs", unique + inputs),
        ]
    }

    /// The rows (N, K) of the n-grams that end at the places of a micro-batch.
    pub(crate) fn find_ngrams(&mut self, ngrams: &Ngrams, tokens: &[u32]) -> &[u32] {
        let (t, k) = (self.shape.seq_len, ngrams.n_heads());
        let rows = &mut self.ngrams[..tokens.len() * k];
        for (tokens, rows) in tokens.chunks_exact(t).zip(rows.chunks_exact_mut(t * k)) {
            ngrams.rows(tokens, rows);
        }
        rows
    }

    /// Finds what stands at the places of a micro-batch, and tells the different ones apart if that
    /// is wanted.
    pub(super) fn find_inputs(&mut self, model: Model, tokens: &[u32]) {
        if !self.ngrams.is_empty() {
            self.find_ngrams(model.ngrams(), tokens);
        }
        let t = self.shape.seq_len;
        let inputs = &mut self.inputs[..tokens.len()];
        match model.composer {
            None => inputs.copy_from_slice(tokens),
            Some(composer) => {
                for (tokens, inputs) in tokens.chunks_exact(t).zip(inputs.chunks_exact_mut(t)) {
                    composer.inputs(tokens, inputs);
                }
            }
        }
        if let Some(unique) = &mut self.unique {
            unique.find(inputs);
        }
    }

    /// The residual stream before block `l` and after it, the block's activations, and workspace,
    /// for `n_rows` rows.
    pub(super) fn block(&mut self, l: usize, n_rows: usize) -> Block<'_> {
        let stride = self.shape.n_rows() * self.shape.config.model_dim;
        let len = n_rows * self.shape.config.model_dim;
        let (before, after) = self.stream.split_at_mut((l + 1) * stride);
        Block {
            input: &mut before[l * stride..l * stride + len],
            output: &mut after[..len],
            acts: layer_acts(&mut self.layers, &self.shape, l, n_rows),
            scratch: scratch(&mut self.scratch, &self.shape, n_rows),
            grads: &mut self.grads,
            words: &mut self.words,
            inputs: Inputs {
                ids: &self.inputs[..n_rows],
                ngrams: &self.ngrams[..n_rows * self.shape.config.ngrams.len()],
            },
            unique: self.unique.as_ref().filter(|_| l == 0),
        }
    }

    /// What the output layer works with, the gradients and its panels, for `n_rows` rows.
    pub fn head(&mut self, n_rows: usize) -> (HeadActs<'_>, &mut [f32], &mut [u32]) {
        let (shape, m) = (&self.shape, &self.shape.config);
        let wide = n_rows * m.model_dim;
        let start = m.n_layers * shape.n_rows() * m.model_dim;
        let [_, _, _, dstream, _, _, _, rstd, input, dinput, logits, dlogits, loss] =
            split(&mut self.scratch, shape.scratch_lens());
        let acts = HeadActs {
            stream: &self.stream[start..start + wide],
            rstd: &mut rstd[..n_rows],
            input: as_rows(input, wide, shape.precision),
            dinput: &mut dinput[..wide],
            dstream: &mut dstream[..wide],
            logits: &mut logits[..shape.head_rows * shape.n_outputs()],
            dlogits: as_rows(dlogits, shape.head_rows * shape.n_outputs(), shape.precision),
            loss: &mut loss[..n_rows],
        };
        (acts, &mut self.grads, &mut self.words)
    }

    /// (N, C) the output layer's input, once it was computed.
    pub fn head_input(&self, n_rows: usize) -> Rows<'_> {
        let lens = self.shape.scratch_lens().map(|len| len.next_multiple_of(ALIGN_FLOATS));
        let start = lens[..HEAD_INPUT].iter().sum();
        let (len, input) = (n_rows * self.shape.config.model_dim, &self.scratch[start..]);
        match self.shape.precision {
            Precision::F32 => Rows::F32(&input[..len]),
            Precision::Bf16 => Rows::Bf16(&bytemuck::cast_slice(input)[..len]),
        }
    }

    /// Zeroes what a step's micro-batches only add into: the gradients of gains, parts and n-grams,
    /// and the embeddings' where no output matrix overwrites them.
    pub fn begin_step(&mut self, layout: &Layout) {
        let is_here = |span: &Span| span.end <= layout.lane_len;
        for tensor in layout.tensors.iter().filter(|t| t.shape.len() == 1 && is_here(&t.span)) {
            tensor.span.of_mut(&mut self.grads).fill(0.0);
        }
        let embed = Some(layout.embed).filter(|embed| *embed != layout.head.span);
        let added = [layout.parts, layout.ngrams];
        for span in embed.iter().chain(added.iter().flatten()).filter(|span| is_here(span)) {
            span.of_mut(&mut self.grads).fill(0.0);
        }
    }
}

/// One block's view of a lane's memory.
pub(super) struct Block<'a> {
    pub input: &'a mut [f32],
    pub output: &'a mut [f32],
    pub acts: LayerActs<'a>,
    pub scratch: Scratch<'a>,
    pub grads: &'a mut [f32],
    pub words: &'a mut [u32],
    /// What vectors are made of.
    pub inputs: Inputs<'a>,
    /// The different ones of them, in the first block only.
    pub unique: Option<&'a UniqueTokens>,
}

fn layer_acts<'a>(
    all: &'a mut [f32],
    shape: &MicroShape,
    l: usize,
    n_rows: usize,
) -> LayerActs<'a> {
    let lens = shape.layer_lens();
    let stride = padded_sum(&lens);
    let l = if all.len() == stride { 0 } else { l };
    let m = &shape.config;
    let qk = if m.qk_norm { n_rows * (m.n_heads + m.n_kv_heads) } else { 0 };
    let parts = split(&mut all[l * stride..(l + 1) * stride], lens);
    let [
        attn_rstd,
        attn_in,
        qk_normed,
        qk_rstd,
        qkv,
        lse,
        attn_out,
        mid,
        mlp_rstd,
        mlp_in,
        gate_up,
        hidden,
    ] = parts;
    let rows = |part, n| as_rows(part, n, shape.precision);
    LayerActs {
        attn_rstd: &mut attn_rstd[..n_rows],
        attn_in: rows(attn_in, n_rows * m.model_dim),
        qk_normed: rows(qk_normed, qk * m.head_dim),
        qk_rstd: &mut qk_rstd[..qk],
        qkv: rows(qkv, n_rows * m.qkv_dim()),
        lse: &mut lse[..n_rows * m.n_heads],
        attn_out: rows(attn_out, n_rows * m.attn_dim()),
        mid: &mut mid[..n_rows * m.model_dim],
        mlp_rstd: &mut mlp_rstd[..n_rows],
        mlp_in: rows(mlp_in, n_rows * m.model_dim),
        gate_up: rows(gate_up, n_rows * 2 * m.ffn_dim),
        hidden: rows(hidden, n_rows * m.ffn_dim),
    }
}

fn scratch<'a>(all: &'a mut [f32], shape: &MicroShape, n_rows: usize) -> Scratch<'a> {
    let m = &shape.config;
    let [qkv, wide, flow, dstream, branch, operand, attention, ..] =
        split(all, shape.scratch_lens());
    let operand_len = shape.n_rows() * m.model_dim.max(m.qkv_dim()).max(2 * m.ffn_dim);
    Scratch {
        qkv: &mut qkv[..n_rows * m.qkv_dim()],
        wide,
        flow,
        dstream: &mut dstream[..n_rows * m.model_dim],
        branch: &mut branch[..n_rows * m.model_dim],
        operand: as_rows(operand, operand_len, shape.precision),
        attention,
    }
}

/// The first `n` operands of the given format in a workspace of floats.
pub(crate) fn as_rows(part: &mut [f32], n: usize, precision: Precision) -> RowsMut<'_> {
    match precision {
        Precision::F32 => RowsMut::F32(&mut part[..n]),
        Precision::Bf16 => RowsMut::Bf16(&mut bytemuck::cast_slice_mut(part)[..n]),
    }
}

/// Buffers start at multiples of this many floats: one cache line.
const ALIGN_FLOATS: usize = 16;

fn padded_sum(lens: &[usize]) -> usize {
    lens.iter().map(|len| len.next_multiple_of(ALIGN_FLOATS)).sum()
}

/// Cuts `all` into parts of at least these lengths, each starting at a cache line.
fn split<const P: usize>(all: &mut [f32], lens: [usize; P]) -> [&mut [f32]; P] {
    let mut rest = all;
    lens.map(|len| {
        let (part, tail) =
            std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(ALIGN_FLOATS));
        rest = tail;
        part
    })
}
