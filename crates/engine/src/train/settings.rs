//! Configuration of a run: settings as given, all optional, and as resolved.
//!
//! Both have the same keys, so that the resolved configuration in a run's folder is itself a
//! settings file, and reproduces the run.

use super::optim::{AdamWOptions, RowUpdates};
use crate::head::{HeadConfig, HeadName};
use crate::model::{Layout, ModelConfig, default_ffn_dim};
use kernels::Precision;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use text::corpus::{LineEnds, NormalForm};
use text::tokenizer::TokenizerKind;
use text::vocab::classes::ClassMethod;
use text::vocab::ngrams::NgramTable;
use text::vocab::order::TokenOrder;

/// Settings as a user gives them; missing ones are chosen from the text and the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The text.
    pub data: DataSettings,
    /// The tokeniser.
    pub tokenizer: TokenizerSettings,
    /// The order of the vocabulary and the output layer.
    pub vocab: VocabSettings,
    /// The model.
    pub model: ModelSettings,
    /// The training.
    pub train: TrainSettings,
}

/// Settings of the text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // each is described where it is resolved: `DataConfig`
pub struct DataSettings {
    pub files: Option<Vec<PathBuf>>,
    pub valid: Option<PathBuf>,
    pub holdout: Option<f64>,
    pub replace_invalid_utf8: Option<bool>,
    pub line_ends: Option<LineEnds>,
    pub normal_form: Option<NormalForm>,
    pub separator: Option<String>,
    pub reads_specials: Option<bool>,
}

/// Settings of the tokeniser.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `TokenizerConfig`
pub struct TokenizerSettings {
    pub kind: Option<TokenizerKind>,
    pub vocab_size: Option<usize>,
    pub min_count: Option<u64>,
    pub file: Option<PathBuf>,
    pub blake3: Option<String>,
}

/// Settings of the vocabulary.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `VocabConfig`
pub struct VocabSettings {
    pub head: Option<HeadName>,
    pub classes: Option<ClassMethod>,
    pub n_classes: Option<usize>,
    pub cutoffs: Option<Vec<u32>>,
    pub n_samples: Option<usize>,
    pub compose: Option<bool>,
    pub order: Option<TokenOrder>,
    pub ngram_embed: Option<bool>,
    pub ngram_rows: Option<usize>,
    pub ngram_min_count: Option<usize>,
}

/// Settings of the model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `ModelConfig`
pub struct ModelSettings {
    pub vocab_size: Option<usize>,
    pub model_dim: Option<usize>,
    pub n_layers: Option<usize>,
    pub n_heads: Option<usize>,
    pub n_kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub ffn_dim: Option<usize>,
    pub seq_len: Option<usize>,
    pub tie_embeddings: Option<bool>,
    pub qk_norm: Option<bool>,
    pub rope_theta: Option<f32>,
    pub norm_eps: Option<f32>,
    pub n_parts: Option<usize>,
    pub ngrams: Option<Vec<NgramTable>>,
    pub head: Option<HeadConfig>,
}

/// Settings of the training.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `TrainConfig`
pub struct TrainSettings {
    pub batch_seqs: Option<usize>,
    pub n_steps: Option<u64>,
    pub lr: Option<f32>,
    pub warmup_steps: Option<u64>,
    pub decay_steps: Option<u64>,
    pub optimizer: Option<OptimizerSettings>,
    pub grad_norm_max: Option<f32>,
    pub dropout: Option<f32>,
    pub seed: Option<u64>,
    pub n_lanes: Option<usize>,
    pub unique_tokens: Option<bool>,
    pub precision: Option<PrecisionName>,
    pub isa: Option<String>,
    pub eval_every: Option<u64>,
    pub eval_tokens: Option<usize>,
    pub save_every: Option<u64>,
    pub sample_every: Option<u64>,
    pub sample_prompt: Option<String>,
}

/// Constants of AdamW; those left out have their defaults, and rows are then dense.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `AdamWOptions`
pub struct OptimizerSettings {
    pub beta1: Option<f32>,
    pub beta2: Option<f32>,
    pub eps: Option<f32>,
    pub weight_decay: Option<f32>,
    #[serde(rename = "idle_rows")]
    pub row_updates: Option<RowUpdates>,
}

/// Number format of matrix products, as named in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionName {
    /// Single precision.
    F32,
    /// Operands rounded to bf16.
    Bf16,
}

impl PrecisionName {
    /// Best choice for this processor: bf16 if it has bf16 product instructions.
    pub fn auto() -> PrecisionName {
        match kernels::Isa::active() {
            kernels::Isa::Avx512Bf16 => PrecisionName::Bf16,
            _ => PrecisionName::F32,
        }
    }

    /// Corresponding type of the kernels.
    pub fn kernels(self) -> Precision {
        match self {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::Bf16 => Precision::Bf16,
        }
    }
}

/// The configuration of a run, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The text.
    pub data: DataConfig,
    /// The tokeniser.
    pub tokenizer: TokenizerConfig,
    /// The output layer and the vocabulary's order; absent from files older than these settings.
    #[serde(default)]
    pub vocab: VocabConfig,
    /// The model.
    pub model: ModelConfig,
    /// The training.
    pub train: TrainConfig,
}

/// The text of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Files to train on.
    pub files: Vec<PathBuf>,
    /// Validation file; without one, part of the text is held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// Share of the text that is held out for validation, in blocks from all over it; in older
    /// runs, at its end.
    pub holdout: f64,
    /// Whether bytes that are not UTF-8 are read as U+FFFD instead of refused.
    pub replace_invalid_utf8: bool,
    /// Treatment of line ends of other systems; older runs keep them.
    #[serde(default)]
    pub line_ends: LineEnds,
    /// Treatment of decomposed characters; older runs keep them.
    #[serde(default)]
    pub normal_form: NormalForm,
    /// What stands between documents in a file; without it each file is one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Whether names of special tokens in the text stand for these tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_specials: bool,
}

/// The tokeniser of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Kind: words, pre-tokenised words, BPE or characters.
    pub kind: TokenizerKind,
    /// Largest number of tokens.
    pub vocab_size: usize,
    /// Fewest occurrences of a word or character with a token of its own; absent if the tokeniser
    /// was given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_count: u64,
    /// The tokeniser that was given: a tokenizer.json, or a folder with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// BLAKE3 of that tokeniser as this program writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The vocabulary of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabConfig {
    /// The output layer.
    pub head: HeadName,
    /// Method that finds the classes of a factored layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassMethod>,
    /// Number of classes of a factored layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_classes: Option<usize>,
    /// First ids of the clusters of an adaptive layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutoffs: Option<Vec<u32>>,
    /// Number of tokens that a step's targets are compared with, if a full softmax is trained on a
    /// sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_samples: Option<usize>,
    /// Whether input vectors are composed of the parts of words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compose: bool,
    /// Order of token ids. If absent, a full layer keeps the tokeniser's order; a factored layer,
    /// in files older than this setting, is ordered by frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<TokenOrder>,
    /// Whether rows of n-grams are added to input vectors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ngram_embed: bool,
    /// Largest number of rows of an n-gram table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ngram_rows: Option<usize>,
    /// Fewest occurrences in the text of an n-gram with rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ngram_min_count: Option<usize>,
}

/// The training of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Sequences in a batch.
    pub batch_seqs: usize,
    /// Optimiser steps.
    pub n_steps: u64,
    /// Peak learning rate.
    pub lr: f32,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Steps of linear decay at the end.
    pub decay_steps: u64,
    /// Gradients with a larger norm are scaled down to this norm.
    pub grad_norm_max: f32,
    /// Probability of residual dropout.
    pub dropout: f32,
    /// Seed of initial weights, data order and dropout.
    pub seed: u64,
    /// Data-parallel lanes.
    pub n_lanes: usize,
    /// Whether values that depend on the input alone are computed once per distinct input.
    pub unique_tokens: bool,
    /// Number format of matrix products.
    pub precision: PrecisionName,
    /// Instruction path on which the run began.
    pub isa: String,
    /// Steps between evaluations.
    pub eval_every: u64,
    /// Held-out tokens of an evaluation during the run; the last evaluation uses all.
    pub eval_tokens: usize,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Steps between samples.
    pub sample_every: u64,
    /// Prompt of the samples.
    pub sample_prompt: String,
    /// Constants of AdamW.
    pub optimizer: AdamWOptions,
}

impl ModelSettings {
    /// Model with the full softmax for a vocabulary and a text of this size. A longer text gets a
    /// larger model, because a large model memorises a small text.
    pub fn resolve(&self, vocab_size: usize, n_tokens: usize, is_char: bool) -> ModelConfig {
        let (dim, layers) = match n_tokens {
            0..200_000 => (96, 3),
            200_000..20_000_000 if is_char => (192, 4),
            200_000..5_000_000 => (128, 4),
            5_000_000..50_000_000 => (256, 6),
            _ => (384, 6),
        };
        let model_dim = self.model_dim.unwrap_or(dim);
        let per_head = if model_dim >= 384 && model_dim.is_multiple_of(64) { 64 } else { 32 };
        let n_heads = self.n_heads.unwrap_or((model_dim / per_head).max(1));
        ModelConfig {
            vocab_size,
            model_dim,
            n_layers: self.n_layers.unwrap_or(layers),
            n_heads,
            n_kv_heads: self.n_kv_heads.unwrap_or(n_heads),
            head_dim: self.head_dim.unwrap_or(model_dim / n_heads.max(1)),
            ffn_dim: self.ffn_dim.unwrap_or_else(|| default_ffn_dim(model_dim)),
            // A short text is one window.
            seq_len: self.seq_len.unwrap_or(n_tokens.saturating_sub(1).clamp(1, 128)),
            tie_embeddings: self.tie_embeddings.unwrap_or(true),
            qk_norm: self.qk_norm.unwrap_or(false),
            rope_theta: self.rope_theta.unwrap_or(10_000.0),
            norm_eps: self.norm_eps.unwrap_or(1e-5),
            n_parts: 0,
            ngrams: Vec::new(),
            head: HeadConfig::default(),
        }
    }
}

impl OptimizerSettings {
    fn resolve(&self) -> AdamWOptions {
        let default = AdamWOptions::default();
        AdamWOptions {
            beta1: self.beta1.unwrap_or(default.beta1),
            beta2: self.beta2.unwrap_or(default.beta2),
            eps: self.eps.unwrap_or(default.eps),
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
            row_updates: self.row_updates.unwrap_or(default.row_updates),
        }
    }
}

/// Tokens of a lane, if there are enough.
const LANE_TOKENS: usize = 512;
/// Most lanes that are chosen.
const LANES_MAX: usize = 8;
/// Most bytes of the lanes' gradients that are chosen.
const LANES_BYTES_MAX: usize = 512 << 20;

impl TrainSettings {
    /// The training of `model`, for `n_steps` steps over a text of `n_tokens` tokens.
    pub fn resolve(
        &self,
        model: &ModelConfig,
        batch_seqs: usize,
        n_steps: u64,
        n_tokens: usize,
    ) -> TrainConfig {
        let epochs = n_steps as f64 * batch_seqs.saturating_mul(model.seq_len) as f64
            / n_tokens.max(1) as f64;
        TrainConfig {
            batch_seqs,
            n_steps,
            lr: self.lr.unwrap_or(5e-3 * (128.0 / model.model_dim as f32).clamp(0.1, 1.0)),
            // A short run that reaches the full rate too soon never recovers (`docs/log.md`).
            warmup_steps: self.warmup_steps.unwrap_or((n_steps / 4).clamp(1, 150)),
            decay_steps: self.decay_steps.unwrap_or((u128::from(n_steps) * 8 / 10) as u64),
            optimizer: match &self.optimizer {
                Some(settings) => settings.resolve(),
                None => {
                    AdamWOptions { row_updates: RowUpdates::auto(model), ..AdamWOptions::default() }
                }
            },
            grad_norm_max: self.grad_norm_max.unwrap_or(1.0),
            // A text read a few times needs no dropout; one read many times is memorised.
            dropout: self.dropout.unwrap_or(if epochs > 4.0 { 0.1 } else { 0.0 }),
            seed: self.seed.unwrap_or(1),
            n_lanes: self.n_lanes(model, batch_seqs),
            unique_tokens: self.unique_tokens.unwrap_or(true),
            precision: self.precision.unwrap_or_else(PrecisionName::auto),
            isa: kernels::Isa::active().name().to_string(),
            eval_every: self.eval_every.unwrap_or((n_steps / 12).max(1)),
            eval_tokens: self.eval_tokens.unwrap_or(40_000),
            save_every: self.save_every.unwrap_or((n_steps / 6).max(1)),
            sample_every: self.sample_every.unwrap_or((n_steps / 6).max(1)),
            sample_prompt: self.sample_prompt.clone().unwrap_or_default(),
        }
    }

    /// Lanes of a batch. They are part of the result, so they follow the work and not the machine:
    /// one for each 512 tokens of the batch, up to eight, as long as the gradients that they keep
    /// each for itself take no more than 512 MiB; but at least two. More lanes than threads cost
    /// up to three hundredths of the speed (`docs/log.md`).
    pub fn n_lanes(&self, model: &ModelConfig, batch_seqs: usize) -> usize {
        let by_work = (batch_seqs.saturating_mul(model.seq_len) / LANE_TOKENS).min(LANES_MAX);
        let gradient_bytes = Layout::new(model).map_or(0, |layout| layout.len * size_of::<f32>());
        let by_memory = LANES_BYTES_MAX / gradient_bytes.max(1);
        let chosen = by_work.min(by_memory).max(2);
        self.n_lanes.unwrap_or(chosen).min(batch_seqs).max(1)
    }

    /// Sequences of a batch: about 4,096 tokens, fewer for a short text.
    pub fn batch_seqs(&self, seq_len: usize, n_tokens: usize) -> usize {
        let tokens = if n_tokens < 50_000 { 1_024 } else { 4_096 };
        self.batch_seqs.unwrap_or((tokens / seq_len.max(1)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run goes on with the constants that it began with, never with later defaults.
    #[test]
    fn a_run_names_every_constant_of_its_optimiser() {
        let constants = ["beta1 = 0.8", "beta2 = 0.9", "eps = 1e-7", "weight_decay = 0.2"];
        let parse = |lines: &[&str]| toml::from_str::<AdamWOptions>(&lines.join("\n"));
        // Rows were dense before there was a choice.
        let options = parse(&constants).unwrap();
        assert_eq!((options.beta2, options.row_updates), (0.9, RowUpdates::default()));
        for i in 0..constants.len() {
            let mut lines = constants.to_vec();
            let name = lines.remove(i).split(' ').next().unwrap();
            let error = parse(&lines).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{name}`")), "{error}");
        }
    }

    #[test]
    fn a_settings_file_may_leave_constants_out() {
        let settings: Settings = toml::from_str("[train.optimizer]\nbeta2 = 0.9").unwrap();
        let model = ModelConfig::new(100, 32, 1, 1);
        let found = settings.train.resolve(&model, 1, 1, 1000).optimizer;
        assert_eq!(found, AdamWOptions { beta2: 0.9, ..AdamWOptions::default() });
    }
}
