//! Model configuration: the sizes and constants that define a model, and their checks.

use super::config_error::ConfigError;
use crate::head::HeadConfig;
use lattice::numbers::primality::is_prime;
use serde::{Deserialize, Serialize};
use text::vocab::ngrams::{N_ROWS_MAX, NGRAM_MAX, NgramTable};

/// Shape and constants of a decoder; its tensors and passes follow from these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Number of tokens, V.
    pub vocab_size: usize,
    /// Width of the residual stream, C.
    pub model_dim: usize,
    /// Number of blocks, L.
    pub n_layers: usize,
    /// Number of query heads, H.
    pub n_heads: usize,
    /// Number of key/value heads, K; query head h reads key/value head h·K/H.
    pub n_kv_heads: usize,
    /// Width of an attention head, D.
    pub head_dim: usize,
    /// Width of the gated MLP, F.
    pub ffn_dim: usize,
    /// Longest sequence, T.
    pub seq_len: usize,
    /// Whether the output matrix is the embedding table.
    pub tie_embeddings: bool,
    /// Whether queries and keys are normalised per attention head (as in Qwen3).
    pub qk_norm: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Constant added to the mean square in every RMSNorm.
    pub norm_eps: f32,
    /// Rows of the table of parts from which input vectors are composed, P; 0 without.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_parts: usize,
    /// Tables of n-grams whose rows are added to input vectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ngrams: Vec<NgramTable>,
    /// Output layer; absent from files older than this field.
    #[serde(default, skip_serializing_if = "HeadConfig::is_plain")]
    pub head: HeadConfig,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Largest number of rows of the table of parts: a token rarely has more than one of its own.
pub(crate) const N_PARTS_MAX: usize = 1 << 21;

/// Largest number of n-gram tables.
const N_NGRAM_TABLES_MAX: usize = 16;

/// Widest attention head.
pub(crate) const HEAD_DIM_MAX: usize = 1024;

/// Upper bounds for sizes in a file, so that no size computed from them overflows.
pub(crate) const LIMITS: [(&str, usize); 7] = [
    ("vocab_size", 1 << 20),
    ("model_dim", 1 << 16),
    ("n_layers", 512),
    ("n_heads", 1024),
    ("n_kv_heads", 1024),
    ("ffn_dim", 1 << 18),
    ("seq_len", 1 << 20),
];

impl ModelConfig {
    /// A model of width `model_dim` with the usual proportions: attention heads of 32 or 64, and an
    /// MLP of 8/3 the width rounded up to a multiple of 32.
    pub fn new(vocab_size: usize, model_dim: usize, n_layers: usize, n_heads: usize) -> Self {
        ModelConfig {
            vocab_size,
            model_dim,
            n_layers,
            n_heads,
            n_kv_heads: n_heads,
            head_dim: model_dim / n_heads.max(1),
            ffn_dim: default_ffn_dim(model_dim),
            seq_len: 128,
            tie_embeddings: true,
            qk_norm: false,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            n_parts: 0,
            ngrams: Vec::new(),
            head: HeadConfig::default(),
        }
    }

    /// Total rows of all n-gram tables, R.
    pub fn n_ngram_rows(&self) -> usize {
        self.ngrams.iter().map(|head| head.n_rows as usize).sum()
    }

    /// Width of a fused query-key-value row, Q = (H + 2K)·D.
    pub fn qkv_dim(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Width of the attention output, H·D.
    pub fn attn_dim(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Checks that the shape is valid.
    ///
    /// # Errors
    /// The first invalid field, with the valid values.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bad = |field, found, expected: &str| {
            Err(ConfigError { field, found, expected: expected.to_string() })
        };
        let values = [
            self.vocab_size,
            self.model_dim,
            self.n_layers,
            self.n_heads,
            self.n_kv_heads,
            self.ffn_dim,
            self.seq_len,
        ];
        for ((field, limit), found) in LIMITS.into_iter().zip(values) {
            if found == 0 || found > limit {
                return bad(field, found, &format!("expected 1 to {limit}"));
            }
        }
        for (field, found) in [("model_dim", self.model_dim), ("ffn_dim", self.ffn_dim)] {
            if !found.is_multiple_of(2) {
                return bad(field, found, "expected an even number, best a multiple of 32");
            }
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) || self.head_dim > HEAD_DIM_MAX {
            let expected = format!("expected an even number up to {HEAD_DIM_MAX}");
            return bad("head_dim", self.head_dim, &expected);
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return bad("n_kv_heads", self.n_kv_heads, "expected a divisor of n_heads");
        }
        if self.n_parts > N_PARTS_MAX {
            return bad("n_parts", self.n_parts, &format!("expected 0 to {N_PARTS_MAX}"));
        }
        check_ngrams(&self.ngrams)?;
        self.head.check(self.vocab_size)?;
        if self.tie_embeddings && !self.head.can_be_tied() {
            return bad("tie_embeddings", 1, "expected false: an adaptive layer has its own rows");
        }
        Ok(())
    }
}

/// Checks n-gram tables. Their sizes must be different primes, so that two n-grams seldom share all
/// their rows.
///
/// # Errors
/// `ngrams` with the invalid size or number.
pub(crate) fn check_ngrams(heads: &[NgramTable]) -> Result<(), ConfigError> {
    let bad = |found, expected: String| Err(ConfigError { field: "ngrams", found, expected });
    if heads.len() > N_NGRAM_TABLES_MAX {
        return bad(heads.len(), format!("at most {N_NGRAM_TABLES_MAX} tables"));
    }
    for (i, head) in heads.iter().enumerate() {
        let NgramTable { n, n_rows } = *head;
        let is_prime = n_rows <= N_ROWS_MAX && is_prime(n_rows.into());
        if !is_prime || heads[..i].iter().any(|other| other.n_rows == n_rows) {
            let expected = format!("primes up to {N_ROWS_MAX}, each once");
            return bad(n_rows as usize, expected);
        }
        if !(2..=NGRAM_MAX).contains(&n) {
            return bad(n, format!("2 to {NGRAM_MAX} tokens"));
        }
    }
    Ok(())
}

/// 8/3 of the width, rounded up to a multiple of 32: as many parameters as an ungated MLP of width
/// 4·C.
pub fn default_ffn_dim(model_dim: usize) -> usize {
    (8 * model_dim).div_ceil(3).div_ceil(32) * 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_shapes_pass() {
        for (v, c, l, h) in [(4096, 128, 4, 4), (8192, 384, 6, 6), (50257, 768, 12, 12)] {
            ModelConfig::new(v, c, l, h).check().unwrap();
        }
        assert_eq!(default_ffn_dim(128), 352);
        assert_eq!(default_ffn_dim(384), 1024);
        assert_eq!(default_ffn_dim(768), 2048);
    }

    #[test]
    fn impossible_shapes_are_named() {
        let good = ModelConfig::new(100, 64, 2, 4);
        let with_ngrams = |heads: &[(usize, u32)]| ModelConfig {
            ngrams: heads.iter().map(|&(n, n_rows)| NgramTable { n, n_rows }).collect(),
            ..good.clone()
        };
        with_ngrams(&[(2, 97), (3, 89)]).check().unwrap();
        let cases = [
            (ModelConfig { vocab_size: 0, ..good.clone() }, "vocab_size"),
            (ModelConfig { model_dim: 61, ..good.clone() }, "model_dim"),
            (ModelConfig { n_kv_heads: 3, ..good.clone() }, "n_kv_heads"),
            (ModelConfig { head_dim: 15, ..good.clone() }, "head_dim"),
            (ModelConfig { n_layers: 100_000, ..good.clone() }, "n_layers"),
            (ModelConfig { n_parts: 1 << 30, ..good.clone() }, "n_parts"),
            (with_ngrams(&[(2, 100)]), "ngrams"),
            (with_ngrams(&[(2, 97), (3, 97)]), "ngrams"),
            (with_ngrams(&[(1, 97)]), "ngrams"),
        ];
        for (config, field) in cases {
            assert_eq!(config.check().unwrap_err().field, field);
        }
    }
}
