//! Arithmetic of a token: multiplications of the blocks and of a full softmax.

use super::config::ModelConfig;

impl ModelConfig {
    /// Model arithmetic of training with the full softmax, FLOP per token: 6·N + 6·V·C + 6·L·T·H·D,
    /// where N is the number of weights outside embedding and output layer. Causal attention counts
    /// half; recomputation does not count.
    pub fn train_flops_per_token(&self, seq_len: usize) -> f64 {
        6.0 * (self.trunk_products(seq_len) + self.full_head_products())
    }

    /// Multiplications of a token's forward pass outside the output layer.
    pub(crate) fn trunk_products(&self, seq_len: usize) -> f64 {
        let [c, l, f] = [self.model_dim, self.n_layers, self.ffn_dim].map(|n| n as f64);
        let [q, attn] = [self.qkv_dim(), self.attn_dim()].map(|n| n as f64);
        let layer = c * (q + attn + 3.0 * f) + 2.0 * c;
        l * (layer + seq_len as f64 * attn) + c
    }

    /// Multiplications of a token's forward pass in a full softmax.
    pub(crate) fn full_head_products(&self) -> f64 {
        self.vocab_size as f64 * self.model_dim as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with a count by hand for one shape.
    #[test]
    fn flops_per_token_of_nano() {
        let config = ModelConfig::new(4096, 128, 4, 4);
        let n = 4 * (4 * 128 * 128 + 3 * 128 * 352 + 2 * 128) + 128;
        let expected = 6.0 * (n + 4096 * 128 + 4 * 128 * 128) as f64;
        assert_eq!(config.train_flops_per_token(128), expected);
    }
}
