//! Arithmetic of an output layer: its share of a token's cost, and the savings by classes.

use crate::model::ModelConfig;

/// Share of a factored layer's theoretical speed-up that is achieved: its products are small, and
/// each step's work on the tables stays. Measured at V=33,278, C=128, L=4: 4.0 times as fast where
/// arithmetic promises 5.6 (docs/log.md).
const KEPT: f64 = 0.65;

impl ModelConfig {
    /// Share of a full softmax in a token's arithmetic, for sequences of the model's length.
    pub fn full_head_share(&self) -> f64 {
        let head = self.full_head_products();
        head / (self.trunk_products(self.seq_len) + head)
    }

    /// Expected speed-up of training by a factored layer of `n_classes` classes over a full
    /// softmax.
    pub fn factored_gain(&self, n_classes: usize) -> f64 {
        let trunk = self.trunk_products(self.seq_len);
        // A token is compared with all classes and the members of its own.
        let rows = n_classes as f64 + self.vocab_size as f64 / n_classes.max(1) as f64;
        let factored = trunk + rows * self.model_dim as f64;
        1.0 + KEPT * ((trunk + self.full_head_products()) / factored - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_vocabularies_gain_as_measured_and_wide_or_small_models_little() {
        let words = ModelConfig::new(33_278, 128, 4, 4);
        assert!((words.factored_gain(182) - 4.0).abs() < 0.1, "{}", words.factored_gain(182));
        assert!((words.full_head_share() - 0.83).abs() < 0.005);
        let small = ModelConfig { seq_len: 256, ..ModelConfig::new(8192, 384, 6, 6) };
        assert!((1.1..1.3).contains(&small.factored_gain(91)));
        // Four tokens: classes cost more than they save.
        assert!(ModelConfig::new(4, 128, 4, 4).factored_gain(2) <= 1.0);
    }
}
