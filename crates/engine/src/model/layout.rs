//! THE TABLE: every tensor's name, shape, place, initialiser and weight decay.
//!
//! Parameters, gradients and both moments are one allocation each, sliced by this table; checkpoint
//! names, optimiser groups, `inspect` and the labels of gradient tests come from it too. Tensors
//! that one product reads stand side by side, so that query, key and value are one matrix of
//! (H + 2K)·D rows to the engine and three tensors to a file. Where the output layer is not the full
//! softmax, the tables with a row for each token stand last: lanes share one gradient of them.

use super::config::{ConfigError, ModelConfig};
use super::head_config::HeadConfig;

/// Matrices and gains start at multiples of this many floats: one cache line.
const ALIGN_FLOATS: usize = 16;

/// A run of elements in a parameter-shaped allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First element.
    pub start: usize,
    /// One past the last element.
    pub end: usize,
}

impl Span {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The elements, to read.
    pub fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.start..self.end]
    }

    /// The elements, to write.
    pub fn of_mut<T>(self, all: &mut [T]) -> &mut [T] {
        &mut all[self.start..self.end]
    }
}

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Independent normal numbers of mean 0 and this standard deviation.
    Normal(f32),
    /// All ones: the gains of norms.
    Ones,
    /// All zeros: biases, until the tokens' frequencies are known.
    Zeros,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name in a checkpoint, as the Hugging Face Llama has it.
    pub name: String,
    /// (rows, columns) of a matrix or (columns) of a gain; a weight is (outputs, inputs).
    pub shape: Vec<usize>,
    /// Where it lies.
    pub span: Span,
    /// How it starts.
    pub init: Init,
    /// Whether weight decay applies: to matrices, not to gains.
    pub decay: bool,
}

/// A matrix that a product reads: possibly several tensors of the table, one under the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its number among the matrices of the model.
    pub index: usize,
    /// Where it lies.
    pub span: Span,
    /// Outputs: its rows.
    pub n_out: usize,
    /// Inputs: its columns.
    pub n_in: usize,
}

/// Where the tensors of one block lie.
#[derive(Clone, Debug)]
pub struct LayerSlots {
    /// (C) gains before attention.
    pub attn_norm: Span,
    /// (Q, C) query, key and value projections.
    pub qkv: Matrix,
    /// (D) gains of query and key heads, where `qk_norm` is on.
    pub qk_norm: Option<(Span, Span)>,
    /// (C, H·D) attention output projection.
    pub out: Matrix,
    /// (C) gains before the MLP.
    pub mlp_norm: Span,
    /// (2F, C) gate and up projections.
    pub gate_up: Matrix,
    /// (C, F) down projection.
    pub down: Matrix,
}

/// Where the tensors of a factored output layer lie, beside the classes' matrix.
#[derive(Clone, Debug)]
pub struct FactorSlots {
    /// (classes) biases of the classes.
    pub class_bias: Span,
    /// (V) biases of the tokens within their classes.
    pub member_bias: Span,
    /// (V, C) the rows of all tokens: the embeddings again where they are tied.
    pub rows: Span,
    /// Each class's part of the rows.
    pub members: Vec<Matrix>,
    /// (classes + 1) where each class's ids begin.
    pub starts: Vec<u32>,
}

/// Where the tensors of an adaptive output layer lie, beside the matrix of its first softmax.
#[derive(Clone, Debug)]
pub struct AdaptiveSlots {
    /// (clusters + 1) where each cluster's ids begin: the first is how many tokens are in none.
    pub starts: Vec<u32>,
    /// The clusters, from the most frequent to the rarest.
    pub clusters: Vec<ClusterSlots>,
}

/// Where the tensors of a cluster of an adaptive output layer lie.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSlots {
    /// (W, C) from the layer's input to the cluster's, which is narrower.
    pub narrow: Matrix,
    /// (members, W) the rows of its tokens.
    pub rows: Matrix,
}

/// The table of a model.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The model it is for.
    pub config: ModelConfig,
    /// Every tensor, in the order they lie in memory.
    pub tensors: Vec<Tensor>,
    /// The blocks' places.
    pub layers: Vec<LayerSlots>,
    /// (V, C) token embeddings.
    pub embed: Span,
    /// (P, C) rows of parts, where input vectors are composed of them.
    pub parts: Option<Span>,
    /// (R, C) rows of n-grams, where they are added: those of all tables, one after the other.
    pub ngrams: Option<Span>,
    /// (C) gains before the output layer.
    pub final_norm: Span,
    /// The matrix of the softmax that every token takes part in: (V, C), the embeddings again where
    /// they are tied, or with a factored output layer (classes, C), or with an adaptive one
    /// (tokens in no cluster + clusters, C).
    pub head: Matrix,
    /// What else a factored output layer has.
    pub factor: Option<FactorSlots>,
    /// What else an adaptive output layer has.
    pub adaptive: Option<AdaptiveSlots>,
    /// Floats of which every lane has a gradient of its own; of those from here on there is one.
    pub lane_len: usize,
    /// Floats in a parameter-shaped allocation, padding included.
    pub len: usize,
}

/// Standard deviation of a fresh weight, as GPT-2 chose it.
const INIT_STD: f32 = 0.02;

/// How many times as narrow a cluster of an adaptive layer is as what is before it.
const NARROWING: usize = 4;

impl Layout {
    /// Lays out the tensors of `config`.
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn new(config: &ModelConfig) -> Result<Layout, ConfigError> {
        Layout::build(config, !config.head.is_full())
    }

    /// As [`Layout::new`], for training a full softmax on some of the tokens: the tables with a row
    /// for each token stand last, and lanes share one gradient of them.
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn for_sampling(config: &ModelConfig) -> Result<Layout, ConfigError> {
        Layout::build(config, true)
    }

    /// Whether a full softmax is trained on some of the tokens.
    pub fn samples_head(&self) -> bool {
        self.config.head.is_full() && self.lane_len < self.len
    }

    fn build(config: &ModelConfig, shares_tables: bool) -> Result<Layout, ConfigError> {
        config.check()?;
        let c = config.model_dim;
        let weight = Init::Normal(INIT_STD);
        let mut table = Table::default();
        let embedding = |table: &mut Table| {
            table.matrix("model.embed_tokens.weight", config.vocab_size, c, weight)
        };
        let output = |table: &mut Table, embed: Span| match config.tie_embeddings {
            true => embed,
            false => table.matrix("lm_head.weight", config.vocab_size, c, weight),
        };
        let embed_first = (!shares_tables).then(|| embedding(&mut table));
        let layers = (0..config.n_layers).map(|l| table.layer(config, l)).collect();
        let final_norm = table.gain("model.norm.weight", c);
        let (mut factor, mut adaptive) = (None, None);
        let n_outputs = config.head.n_outputs(config.vocab_size);
        let (embed, head, shared_start) = match (&config.head, embed_first) {
            (HeadConfig::Factor { class_starts }, _) => {
                let class = table.matrix("head.class.weight", n_outputs, c, weight);
                let head = table.join(&[class], c);
                let class_bias = table.bias("head.class.bias", n_outputs);
                let shared_start = table.len;
                let embed = embedding(&mut table);
                let rows = output(&mut table, embed);
                let member_bias = table.bias("head.member.bias", config.vocab_size);
                let members = table.classes(rows, class_starts, c);
                let starts = class_starts.clone();
                factor = Some(FactorSlots { class_bias, member_bias, rows, members, starts });
                (embed, head, Some(shared_start))
            }
            (HeadConfig::Adaptive { cutoffs }, _) => {
                let first = table.matrix("head.first.weight", n_outputs, c, weight);
                let head = table.join(&[first], c);
                adaptive = Some(table.clusters(cutoffs, config));
                let shared_start = table.len;
                (embedding(&mut table), head, Some(shared_start))
            }
            (HeadConfig::Full, embed) => {
                let shared_start = shares_tables.then_some(table.len);
                let embed = embed.unwrap_or_else(|| embedding(&mut table));
                let rows = output(&mut table, embed);
                let head = table.join(&[rows], c);
                (embed, head, shared_start)
            }
        };
        let parts = table.added("model.embed_parts.weight", config.n_parts, c);
        let ngrams = table.added("model.embed_ngrams.weight", config.n_ngram_rows(), c);
        let lane_len = shared_start.unwrap_or(table.len).next_multiple_of(ALIGN_FLOATS);
        let Table { tensors, len, .. } = table;
        Ok(Layout {
            config: config.clone(),
            tensors,
            layers,
            embed,
            parts,
            ngrams,
            final_norm,
            head,
            factor,
            adaptive,
            lane_len,
            len: len.next_multiple_of(ALIGN_FLOATS),
        })
    }

    /// Every matrix that products read, in the order of [`Matrix::index`].
    pub fn matrices(&self) -> impl Iterator<Item = Matrix> {
        let members = self.factor.iter().flat_map(|factor| factor.members.iter().copied());
        let clusters = self.adaptive.iter().flat_map(|adaptive| &adaptive.clusters);
        let clusters = clusters.flat_map(|cluster| [cluster.narrow, cluster.rows]);
        self.trunk().chain([self.head]).chain(members).chain(clusters)
    }

    /// The matrices of the blocks.
    pub fn trunk(&self) -> impl Iterator<Item = Matrix> {
        self.layers.iter().flat_map(|l| [l.qkv, l.out, l.gate_up, l.down])
    }

    /// The tables of which lanes share one gradient: those with a row for each token.
    pub fn tables(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(|t| t.span.start >= self.lane_len)
    }

    /// Parameters of the model, without the padding between tensors.
    pub fn n_params(&self) -> usize {
        self.tensors.iter().map(|t| t.span.len()).sum()
    }
}

/// The table while it is being laid out.
#[derive(Default)]
struct Table {
    tensors: Vec<Tensor>,
    len: usize,
    n_matrices: usize,
}

impl Table {
    fn tensor(&mut self, name: &str, shape: Vec<usize>, init: Init) -> Span {
        self.len = self.len.next_multiple_of(ALIGN_FLOATS);
        self.tensor_behind(name, shape, init)
    }

    /// A tensor right behind the one before: the next rows of the same matrix.
    fn tensor_behind(&mut self, name: &str, shape: Vec<usize>, init: Init) -> Span {
        let span = Span { start: self.len, end: self.len + shape.iter().product::<usize>() };
        self.len = span.end;
        let decay = shape.len() == 2;
        self.tensors.push(Tensor { name: name.to_string(), shape, span, init, decay });
        span
    }

    fn matrix(&mut self, name: &str, n_out: usize, n_in: usize, init: Init) -> Span {
        self.tensor(name, vec![n_out, n_in], init)
    }

    fn more_rows(&mut self, name: &str, n_out: usize, n_in: usize, init: Init) -> Span {
        self.tensor_behind(name, vec![n_out, n_in], init)
    }

    fn gain(&mut self, name: &str, len: usize) -> Span {
        self.tensor(name, vec![len], Init::Ones)
    }

    fn bias(&mut self, name: &str, len: usize) -> Span {
        self.tensor(name, vec![len], Init::Zeros)
    }

    /// Block number `l`.
    fn layer(&mut self, config: &ModelConfig, l: usize) -> LayerSlots {
        let (c, d, f) = (config.model_dim, config.head_dim, config.ffn_dim);
        let (q_rows, kv_rows) = (config.attn_dim(), config.n_kv_heads * d);
        // Branches that add into the residual stream start smaller, so that the stream's variance
        // does not grow with depth (GPT-2, section 2.3).
        let branch = Init::Normal(INIT_STD / ((2 * config.n_layers) as f32).sqrt());
        let weight = Init::Normal(INIT_STD);
        let name = |rest: &str| format!("model.layers.{l}.{rest}.weight");

        let attn_norm = self.gain(&name("input_layernorm"), c);
        let q = self.matrix(&name("self_attn.q_proj"), q_rows, c, weight);
        let k = self.more_rows(&name("self_attn.k_proj"), kv_rows, c, weight);
        let v = self.more_rows(&name("self_attn.v_proj"), kv_rows, c, weight);
        let qkv = self.join(&[q, k, v], c);
        let qk_norm = config.qk_norm.then(|| {
            let q_norm = self.gain(&name("self_attn.q_norm"), d);
            (q_norm, self.gain(&name("self_attn.k_norm"), d))
        });
        let out = self.matrix(&name("self_attn.o_proj"), c, q_rows, branch);
        let out = self.join(&[out], q_rows);
        let mlp_norm = self.gain(&name("post_attention_layernorm"), c);
        let gate = self.matrix(&name("mlp.gate_proj"), f, c, weight);
        let up = self.more_rows(&name("mlp.up_proj"), f, c, weight);
        let gate_up = self.join(&[gate, up], c);
        let down = self.matrix(&name("mlp.down_proj"), c, f, branch);
        let down = self.join(&[down], f);
        LayerSlots { attn_norm, qkv, qk_norm, out, mlp_norm, gate_up, down }
    }

    /// Rows that are added to input vectors, if there are any: these begin as those of their tokens.
    fn added(&mut self, name: &str, n_rows: usize, n_in: usize) -> Option<Span> {
        (n_rows > 0).then(|| self.matrix(name, n_rows, n_in, Init::Zeros))
    }

    /// The clusters that begin at `cutoffs`.
    fn clusters(&mut self, cutoffs: &[u32], config: &ModelConfig) -> AdaptiveSlots {
        let (c, v) = (config.model_dim, config.vocab_size as u32);
        let starts: Vec<u32> = cutoffs.iter().copied().chain([v]).collect();
        let mut width = c;
        let clusters = starts.windows(2).enumerate().map(|(i, ids)| {
            // As PyTorch has it: the div_value of its AdaptiveLogSoftmaxWithLoss.
            width = (width / NARROWING).max(1);
            let n_members = (ids[1] - ids[0]) as usize;
            // The narrow input is as large in scale as the layer's.
            let narrow = Init::Normal(1.0 / (c as f32).sqrt());
            let narrow = self.matrix(&format!("head.tail.{i}.narrow.weight"), width, c, narrow);
            let narrow = self.join(&[narrow], c);
            let rows = format!("head.tail.{i}.rows.weight");
            let rows = self.matrix(&rows, n_members, width, Init::Normal(INIT_STD));
            ClusterSlots { narrow, rows: self.join(&[rows], width) }
        });
        AdaptiveSlots { clusters: clusters.collect(), starts }
    }

    /// The rows of each class as a matrix of its own.
    fn classes(&mut self, rows: Span, starts: &[u32], n_in: usize) -> Vec<Matrix> {
        let place = |id: u32| rows.start + id as usize * n_in;
        let spans =
            starts.windows(2).map(|pair| Span { start: place(pair[0]), end: place(pair[1]) });
        spans.map(|span| self.join(&[span], n_in)).collect()
    }

    /// The matrix made of tensors that lie one under the other.
    fn join(&mut self, parts: &[Span], n_in: usize) -> Matrix {
        for pair in parts.windows(2) {
            assert_eq!(pair[0].end, pair[1].start, "Layout: joined tensors do not touch");
        }
        let span = Span { start: parts[0].start, end: parts[parts.len() - 1].end };
        let index = self.n_matrices;
        self.n_matrices += 1;
        Matrix { index, span, n_out: span.len() / n_in, n_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_aligned_and_do_not_overlap() {
        for tie_embeddings in [true, false] {
            let mut config = ModelConfig::new(97, 48, 3, 4);
            config.tie_embeddings = tie_embeddings;
            config.qk_norm = true;
            let layout = Layout::new(&config).unwrap();
            let mut end = 0;
            for tensor in &layout.tensors {
                assert!(tensor.span.start >= end);
                let joins = ["k_proj", "v_proj", "up_proj"].iter().any(|n| tensor.name.contains(n));
                assert!(joins || tensor.span.start.is_multiple_of(ALIGN_FLOATS));
                end = tensor.span.end;
            }
            assert!(layout.len >= end);
            assert_eq!(layout.matrices().count(), 13);
            for (i, matrix) in layout.matrices().enumerate() {
                assert_eq!(matrix.index, i);
                assert_eq!(matrix.span.len(), matrix.n_out * matrix.n_in);
            }
        }
    }

    #[test]
    fn an_adaptive_layer_narrows_by_four_and_shares_the_embeddings_gradient() {
        let mut config = ModelConfig::new(97, 48, 1, 4);
        config.head = HeadConfig::Adaptive { cutoffs: vec![10, 30, 90] };
        assert_eq!(Layout::new(&config).unwrap_err().field, "tie_embeddings");
        config.tie_embeddings = false;
        let layout = Layout::new(&config).unwrap();
        let shape = |m: Matrix| (m.n_out, m.n_in);
        assert_eq!(shape(layout.head), (13, 48));
        let clusters = &layout.adaptive.as_ref().unwrap().clusters;
        let shapes: Vec<_> = clusters.iter().map(|c| (shape(c.narrow), shape(c.rows))).collect();
        assert_eq!(shapes, [((12, 48), (20, 12)), ((3, 48), (60, 3)), ((1, 48), (7, 1))]);
        assert!(layout.matrices().enumerate().all(|(i, matrix)| matrix.index == i));
        assert_eq!(layout.lane_len, layout.embed.start);
        assert_eq!(layout.embed.len(), 97 * 48);
    }

    #[test]
    fn parameters_of_the_124m_shape() {
        let layout = Layout::new(&ModelConfig::new(50257, 768, 12, 12)).unwrap();
        let block = 4 * 768 * 768 + 3 * 768 * 2048 + 2 * 768;
        assert_eq!(layout.n_params(), 50257 * 768 + 12 * block + 768);
    }
}
