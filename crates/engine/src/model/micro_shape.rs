//! Shape of a micro-batch: what a lane's memory is sized for.

use super::config::ModelConfig;
use kernels::Precision;
use kernels::attention::AttentionShape;

/// Shape of a lane's largest micro-batch, and the format of its activations.
#[derive(Clone, Debug)]
pub struct MicroShape {
    /// The model.
    pub config: ModelConfig,
    /// Sequences of a micro-batch, B.
    pub n_seqs: usize,
    /// Tokens of a sequence, T.
    pub seq_len: usize,
    /// Number format of saved activations and product operands.
    pub precision: Precision,
    /// Largest number of rows of a block of logits in the loss; the output layer may use fewer.
    pub logit_rows_max: usize,
    /// Whether values that depend on the input alone are computed once per distinct input.
    pub distinct_inputs: bool,
    /// Number of possible inputs, I: tokens and, with composed vectors, words.
    pub n_inputs: usize,
}

impl MicroShape {
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

    /// Number of attention heads in a row that are normalised: all query and key heads, or none.
    pub(super) fn n_normed_heads(&self) -> usize {
        if self.config.qk_norm { self.config.n_heads + self.config.n_kv_heads } else { 0 }
    }
}
