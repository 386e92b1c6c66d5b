//! Layout of a model: the table of all tensors of input layer, blocks and output layer.
//!
//! [`Layout::new`] lets each of the three lay out its own tensors in turn. Under some output layers
//! a batch uses only some rows of the token tables; these tables then come last, and lanes share
//! one gradient of them.

use super::config::ModelConfig;
use super::config_error::ConfigError;
use super::inputs::InputSlots;
use super::packed::{PackedMatrix, ReadBy};
use super::table::{ALIGN_FLOATS, INIT_STD, Init, Matrix, Span, TableBuilder, Tensor};
use crate::head::{self, OutputLayer};
use std::sync::Arc;

/// Tensors of one block.
#[derive(Clone, Debug)]
pub struct LayerSlots {
    /// (C) gains before attention.
    pub attn_norm: Span,
    /// (Q, C) query, key and value projections.
    pub qkv: Matrix,
    /// (D) gains of query and key heads, if `qk_norm` is on.
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

/// Table of tensors of a model.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Configuration of the model.
    pub config: ModelConfig,
    /// All tensors, in memory order.
    pub tensors: Vec<Tensor>,
    /// Tables of the input layer.
    pub inputs: InputSlots,
    /// Tensors of the blocks.
    pub layers: Vec<LayerSlots>,
    /// (C) gains before the output layer.
    pub final_norm: Span,
    /// Output layer, which knows its own tensors.
    pub head: Arc<dyn OutputLayer>,
    /// Floats of which every lane has its own gradient; all lanes share the gradient of the rest.
    pub lane_len: usize,
    /// Floats of a parameter-shaped allocation, including padding.
    pub len: usize,
}

impl Layout {
    /// Lays out the tensors of `config`.
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn new(config: &ModelConfig) -> Result<Layout, ConfigError> {
        Layout::for_training(config, None)
    }

    /// Layout for training that compares each target with `n_samples` tokens only, if given and the
    /// output layer supports it; otherwise as [`Layout::new`].
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn for_training(
        config: &ModelConfig,
        n_samples: Option<usize>,
    ) -> Result<Layout, ConfigError> {
        let shares_tables = config.head.shares_tables() || n_samples.is_some();
        Layout::with_head(config, shares_tables, |table| head::lay_out(config, n_samples, table))
    }

    /// Layout with another output layer than that of `config`; `lay_out` lays out its tensors. If
    /// `shares_tables`, it calls [`TableBuilder::begin_shared`] before the tensors whose gradient
    /// lanes share.
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn with_head(
        config: &ModelConfig,
        shares_tables: bool,
        lay_out: impl FnOnce(&mut TableBuilder) -> Arc<dyn OutputLayer>,
    ) -> Result<Layout, ConfigError> {
        config.check()?;
        let mut table = TableBuilder::new(config.vocab_size, config.model_dim);
        if !shares_tables {
            table.embedding();
        }
        let layers = (0..config.n_layers).map(|l| layer(&mut table, config, l)).collect();
        let final_norm = table.gain("model.norm.weight", config.model_dim);
        let head = lay_out(&mut table);
        let inputs = InputSlots::lay_out(config, &mut table);
        let TableBuilder { tensors, len, shared_start, .. } = table;
        Ok(Layout {
            config: config.clone(),
            tensors,
            inputs,
            layers,
            final_norm,
            head,
            lane_len: shared_start.unwrap_or(len).next_multiple_of(ALIGN_FLOATS),
            len: len.next_multiple_of(ALIGN_FLOATS),
        })
    }

    /// The matrices of the blocks, in the order of [`Matrix::index`].
    pub fn block_matrices(&self) -> impl Iterator<Item = Matrix> {
        self.layers.iter().flat_map(|l| [l.qkv, l.out, l.gate_up, l.down])
    }

    /// Every matrix that is packed for products, in the order of [`Matrix::index`].
    pub fn packed_matrices(&self) -> impl Iterator<Item = PackedMatrix> {
        let of_block =
            |matrix| PackedMatrix { matrix, read_by: ReadBy::EveryStep, packs_backward: false };
        self.block_matrices().map(of_block).chain(self.head.matrices())
    }

    /// Whether lanes share one gradient of the token tables.
    pub fn shares_tables(&self) -> bool {
        self.lane_len < self.len
    }

    /// Tables whose gradient lanes share.
    pub fn shared_tables(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(|t| t.span.start >= self.lane_len)
    }

    /// Parameters of the model, without the padding between tensors.
    pub fn n_params(&self) -> usize {
        self.tensors.iter().map(|t| t.span.len()).sum()
    }
}

/// Lays out block `l`.
fn layer(table: &mut TableBuilder, config: &ModelConfig, l: usize) -> LayerSlots {
    let (c, d, f) = (config.model_dim, config.head_dim, config.ffn_dim);
    let (q_rows, kv_rows) = (config.attn_dim(), config.n_kv_heads * d);
    // Branches that add to the residual stream start smaller, so that the stream's variance does
    // not grow with depth (GPT-2, section 2.3).
    let branch = Init::Normal(INIT_STD / ((2 * config.n_layers) as f32).sqrt());
    let weight = Init::Normal(INIT_STD);
    let name = |rest: &str| format!("model.layers.{l}.{rest}.weight");

    let attn_norm = table.gain(&name("input_layernorm"), c);
    let q = table.matrix(&name("self_attn.q_proj"), q_rows, c, weight);
    let k = table.more_rows(&name("self_attn.k_proj"), kv_rows, c, weight);
    let v = table.more_rows(&name("self_attn.v_proj"), kv_rows, c, weight);
    let qkv = table.join(&[q, k, v], c);
    let qk_norm = config.qk_norm.then(|| {
        let q_norm = table.gain(&name("self_attn.q_norm"), d);
        (q_norm, table.gain(&name("self_attn.k_norm"), d))
    });
    let out = table.matrix(&name("self_attn.o_proj"), c, q_rows, branch);
    let out = table.join(&[out], q_rows);
    let mlp_norm = table.gain(&name("post_attention_layernorm"), c);
    let gate = table.matrix(&name("mlp.gate_proj"), f, c, weight);
    let up = table.more_rows(&name("mlp.up_proj"), f, c, weight);
    let gate_up = table.join(&[gate, up], c);
    let down = table.matrix(&name("mlp.down_proj"), c, f, branch);
    let down = table.join(&[down], f);
    LayerSlots { attn_norm, qkv, qk_norm, out, mlp_norm, gate_up, down }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadConfig;

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
            let of_head = layout.head.matrices().into_iter().map(|m| m.matrix);
            let matrices: Vec<Matrix> = layout.block_matrices().chain(of_head).collect();
            assert_eq!(matrices.len(), 13);
            for (i, matrix) in matrices.iter().enumerate() {
                assert_eq!(matrix.index, i);
                assert_eq!(matrix.span.len(), matrix.n_out * matrix.n_in);
            }
        }
    }

    #[test]
    fn shared_tables_come_last_and_the_embeddings_are_among_them() {
        let factored = HeadConfig::equal_classes(97, 5);
        for (head, n_samples) in [(factored, None), (HeadConfig::default(), Some(7))] {
            let config = ModelConfig { head, ..ModelConfig::new(97, 48, 1, 4) };
            let layout = Layout::for_training(&config, n_samples).unwrap();
            assert!(layout.shares_tables());
            assert_eq!(layout.inputs.embed.start, layout.lane_len);
            assert_eq!(layout.inputs.embed.len(), 97 * 48);
        }
        assert!(!Layout::new(&ModelConfig::new(97, 48, 1, 4)).unwrap().shares_tables());
    }

    #[test]
    fn parameters_of_the_124m_shape() {
        let layout = Layout::new(&ModelConfig::new(50257, 768, 12, 12)).unwrap();
        let block = 4 * 768 * 768 + 3 * 768 * 2048 + 2 * 768;
        assert_eq!(layout.n_params(), 50257 * 768 + 12 * block + 768);
    }
}
