//! Hugging Face `config.json`, from and to [`ModelConfig`]: Llama, Qwen3 if queries and keys are
//! normalised, or this program's own type if no other program supports the output layer or the
//! input vectors, so that others refuse the model by name.
//!
//! Fields are written in both styles: transformers 4 reads `rope_theta` and `torch_dtype`,
//! transformers 5 `rope_parameters` and `dtype`. A config that is read may be foreign and ask for
//! features that this program does not compute; those are refused by name.

use super::generation_config::TokenIds;
use super::pretty;
use crate::disk::LoadError;
use crate::head::HeadConfig;
use crate::model::{ConfigError, ModelConfig, N_PARTS_MAX, check_ngrams};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use text::vocab::ngrams::NgramTable;

/// Type of models with an output layer or input vectors of this program's own.
const OWN_TYPE: &str = "crystalline";

/// Largest `config.json` that is read; real ones have a few kilobytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Fields of the written file, in this order.
#[derive(Serialize)]
struct Written<'a> {
    architectures: [&'static str; 1],
    model_type: &'static str,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    hidden_act: &'static str,
    rms_norm_eps: f32,
    rope_theta: f32,
    rope_parameters: RopeParameters,
    attention_bias: bool,
    attention_dropout: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    mlp_bias: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_sliding_window: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qk_norm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_parts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ngrams: Option<&'a [NgramTable]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a HeadConfig>,
    initializer_range: f32,
    tie_word_embeddings: bool,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    use_cache: bool,
    dtype: &'static str,
    torch_dtype: &'static str,
}

#[derive(Serialize)]
struct RopeParameters {
    rope_type: &'static str,
    rope_theta: f32,
}

/// Text of `config.json`.
pub fn config_json(config: &ModelConfig, ids: &TokenIds) -> String {
    let is_plain = config.head.is_plain() && config.n_parts == 0 && config.ngrams.is_empty();
    let is_own = !is_plain;
    let (architecture, model_type) = match (is_own, config.qk_norm) {
        (true, _) => ("CrystallineForCausalLM", OWN_TYPE),
        (false, false) => ("LlamaForCausalLM", "llama"),
        (false, true) => ("Qwen3ForCausalLM", "qwen3"),
    };
    let rope_theta = config.rope_theta;
    pretty(&Written {
        architectures: [architecture],
        model_type,
        vocab_size: config.vocab_size,
        hidden_size: config.model_dim,
        num_hidden_layers: config.n_layers,
        num_attention_heads: config.n_heads,
        num_key_value_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        intermediate_size: config.ffn_dim,
        max_position_embeddings: config.seq_len,
        hidden_act: "silu",
        rms_norm_eps: config.norm_eps,
        rope_theta,
        rope_parameters: RopeParameters { rope_type: "default", rope_theta },
        attention_bias: false,
        attention_dropout: 0.0,
        mlp_bias: (model_type == "llama").then_some(false),
        use_sliding_window: (model_type == "qwen3").then_some(false),
        qk_norm: is_own.then_some(config.qk_norm),
        n_parts: Some(config.n_parts).filter(|n| *n > 0),
        ngrams: Some(&config.ngrams[..]).filter(|heads| !heads.is_empty()),
        head: is_own.then_some(&config.head),
        initializer_range: 0.02,
        tie_word_embeddings: config.tie_embeddings,
        bos_token_id: ids.bos,
        eos_token_id: ids.eos,
        pad_token_id: ids.pad,
        use_cache: true,
        dtype: "float32",
        torch_dtype: "float32",
    })
}

/// Upper bounds of accepted values, so that no size computed from them overflows.
const LIMITS: [(&str, u64); 8] = [
    ("vocab_size", 1 << 20),
    ("hidden_size", 1 << 16),
    ("num_hidden_layers", 512),
    ("num_attention_heads", 1024),
    ("num_key_value_heads", 1024),
    ("head_dim", 1024),
    ("intermediate_size", 1 << 18),
    ("max_position_embeddings", 1 << 20),
];

/// Relevant fields of a foreign `config.json`; `null` is the same as absent.
#[derive(Deserialize)]
struct Read {
    model_type: Option<String>,
    vocab_size: Option<u64>,
    hidden_size: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_attention_heads: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    intermediate_size: Option<u64>,
    max_position_embeddings: Option<u64>,
    hidden_act: Option<String>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f32>,
    rope_parameters: Option<serde_json::Map<String, Value>>,
    rope_scaling: Option<serde_json::Map<String, Value>>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    qk_norm: Option<bool>,
    n_parts: Option<u64>,
    ngrams: Option<Vec<NgramTable>>,
    head: Option<HeadConfig>,
    partial_rotary_factor: Option<f64>,
    quantization_config: Option<Value>,
    bos_token_id: Option<TokenId>,
    eos_token_id: Option<TokenId>,
    pad_token_id: Option<TokenId>,
}

/// Some models end at any of several tokens; the first one is used.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenId {
    One(i64),
    Several(Vec<i64>),
}

/// Parses a `config.json`, possibly of another program; `path` is for messages.
///
/// # Errors
/// [`LoadError::Damaged`] if it is not a config or contradicts itself, [`LoadError::TooLarge`]
/// beyond the limits, [`LoadError::Unsupported`] naming a feature that this program does not
/// compute.
pub fn parse_config(bytes: &[u8], path: &Path) -> Result<(ModelConfig, TokenIds), LoadError> {
    let read: Read = serde_json::from_slice(bytes)
        .map_err(|error| LoadError::damaged(path, "content", error, "a model's config"))?;
    let reader = Reader { path };
    let qk_norm = reader.check_features(&read)?;
    let [vocab_size, model_dim, n_layers, n_heads, n_kv_heads, head_dim, ffn_dim, seq_len] =
        reader.sizes(&read)?;
    let (rope_theta, norm_eps) = reader.constants(&read)?;
    let token = |field, id| reader.token(field, id, vocab_size);
    let head = reader.head(&read, vocab_size)?;
    let n_parts = reader.n_parts(&read)?;
    let ngrams = reader.ngrams(&read)?;
    let config = ModelConfig {
        vocab_size,
        model_dim,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        ffn_dim,
        seq_len,
        rope_theta,
        norm_eps,
        // Default of transformers for an absent field.
        tie_embeddings: read.tie_word_embeddings.unwrap_or(false),
        qk_norm,
        n_parts,
        ngrams,
        head,
    };
    let ids = TokenIds {
        bos: token("bos_token_id", &read.bos_token_id)?,
        eos: token("eos_token_id", &read.eos_token_id)?,
        pad: token("pad_token_id", &read.pad_token_id)?,
    };
    Ok((config, ids))
}

/// Checks the fields of one file.
struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    /// Refuses features that this program does not compute; returns whether queries and keys are
    /// normalised.
    fn check_features(&self, read: &Read) -> Result<bool, LoadError> {
        let qk_norm = match read.model_type.as_deref() {
            Some("llama") => false,
            Some("qwen3") => true,
            Some(OWN_TYPE) => read.qk_norm.unwrap_or(false),
            other => {
                return Err(self.unsupported(
                    "model_type",
                    other.unwrap_or("none"),
                    "llama, qwen3, crystalline",
                ));
            }
        };
        match read.hidden_act.as_deref() {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(self.unsupported("hidden_act", other, "silu")),
        }
        let switches = [
            ("attention_bias", read.attention_bias),
            ("mlp_bias", read.mlp_bias),
            ("use_sliding_window", read.use_sliding_window),
        ];
        for (field, switch) in switches {
            if switch == Some(true) {
                return Err(self.unsupported(field, "true", "false"));
            }
        }
        if let Some(factor) = read.partial_rotary_factor.filter(|factor| *factor != 1.0) {
            return Err(self.unsupported("partial_rotary_factor", &factor.to_string(), "1"));
        }
        if read.quantization_config.is_some() {
            return Err(self.unsupported("quantization_config", "present", "plain weights"));
        }
        for (field, rope) in
            [("rope_scaling", &read.rope_scaling), ("rope_parameters", &read.rope_parameters)]
        {
            let Some(rope) = rope else { continue };
            let kind = rope.get("rope_type").or(rope.get("type")).and_then(Value::as_str);
            if kind.is_some_and(|kind| kind != "default") || kind.is_none() && !only_theta(rope) {
                let found = Value::Object(rope.clone()).to_string();
                return Err(self.unsupported(field, &found, "rope_type default"));
            }
        }
        Ok(qk_norm)
    }

    /// Sizes in the order of [`LIMITS`], within their limits and consistent.
    fn sizes(&self, read: &Read) -> Result<[usize; 8], LoadError> {
        let n_heads = read.num_attention_heads;
        let head_dim = read.head_dim.or_else(|| {
            let (width, n_heads) = (read.hidden_size?, n_heads.filter(|n| *n > 0)?);
            width.is_multiple_of(n_heads).then(|| width / n_heads)
        });
        let found = [
            read.vocab_size,
            read.hidden_size,
            read.num_hidden_layers,
            n_heads,
            read.num_key_value_heads.or(n_heads),
            head_dim,
            read.intermediate_size,
            read.max_position_embeddings,
        ];
        let mut sizes = [0; 8];
        for (((field, limit), found), size) in LIMITS.into_iter().zip(found).zip(&mut sizes) {
            *size = match found {
                None | Some(0) => {
                    let found = found.map_or("missing", |_| "0");
                    return Err(LoadError::damaged(
                        self.path,
                        field,
                        found,
                        format!("1 to {limit}"),
                    ));
                }
                Some(found) if found > limit => {
                    let (path, field) = (self.path.to_owned(), field.to_string());
                    return Err(LoadError::TooLarge { path, field, found, limit });
                }
                Some(found) => usize::try_from(found).expect("the limits fit in 32 bits"),
            };
        }
        let [_, _, _, n_heads, n_kv_heads, head_dim, ..] = sizes;
        if !n_heads.is_multiple_of(n_kv_heads) {
            let expected = format!("a divisor of the {n_heads} query heads");
            return Err(LoadError::damaged(self.path, "num_key_value_heads", n_kv_heads, expected));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(LoadError::damaged(self.path, "head_dim", head_dim, "an even number"));
        }
        Ok(sizes)
    }

    /// Base of the rotary frequencies, and epsilon of the norms.
    fn constants(&self, read: &Read) -> Result<(f32, f32), LoadError> {
        let in_parameters = read.rope_parameters.as_ref().and_then(|rope| rope.get("rope_theta"));
        let rope_theta = match in_parameters {
            Some(theta) => theta.as_f64().map_or(f32::NAN, |theta| theta as f32),
            None => read.rope_theta.unwrap_or(10_000.0), // transformers' default
        };
        let norm_eps = read.rms_norm_eps.unwrap_or(1e-6); // transformers' default
        for (field, found, low, high) in
            [("rope_theta", rope_theta, 1.0, 1e9), ("rms_norm_eps", norm_eps, 1e-12, 1e-1)]
        {
            if !(low..=high).contains(&found) {
                let expected = format!("{low:e} to {high:e}");
                return Err(LoadError::damaged(self.path, field, found, expected));
            }
        }
        Ok((rope_theta, norm_eps))
    }

    /// Output layer; only a model of this program's own type names one.
    fn head(&self, read: &Read, vocab_size: usize) -> Result<HeadConfig, LoadError> {
        match (&read.head, read.model_type.as_deref()) {
            (Some(head), Some(OWN_TYPE)) => {
                let wrong = |error: ConfigError| {
                    LoadError::damaged(self.path, error.field, error.found, error.expected)
                };
                head.check(vocab_size).map_err(wrong)?;
                Ok(head.clone())
            }
            (None, Some(OWN_TYPE)) => {
                Err(LoadError::damaged(self.path, "head", "missing", "an output layer"))
            }
            _ => Ok(HeadConfig::default()),
        }
    }

    /// Rows of parts; only a model of this program's own type may have them.
    fn n_parts(&self, read: &Read) -> Result<usize, LoadError> {
        let is_own = read.model_type.as_deref() == Some(OWN_TYPE);
        let found = read.n_parts.filter(|_| is_own).unwrap_or(0);
        let (field, limit) = ("n_parts".to_string(), N_PARTS_MAX as u64);
        match usize::try_from(found) {
            Ok(n_parts) if found <= limit => Ok(n_parts),
            _ => Err(LoadError::TooLarge { path: self.path.to_owned(), field, found, limit }),
        }
    }

    /// N-gram tables; only a model of this program's own type may have them.
    fn ngrams(&self, read: &Read) -> Result<Vec<NgramTable>, LoadError> {
        let is_own = read.model_type.as_deref() == Some(OWN_TYPE);
        let heads = read.ngrams.clone().filter(|_| is_own).unwrap_or_default();
        let wrong = |error: ConfigError| {
            LoadError::damaged(self.path, error.field, error.found, error.expected)
        };
        check_ngrams(&heads).map(|()| heads).map_err(wrong)
    }

    /// A special token; a negative number means none.
    fn token(
        &self,
        field: &str,
        id: &Option<TokenId>,
        vocab_size: usize,
    ) -> Result<Option<u32>, LoadError> {
        let id = match id {
            None => return Ok(None),
            Some(TokenId::One(id)) => *id,
            Some(TokenId::Several(ids)) => match ids.first() {
                Some(id) => *id,
                None => return Ok(None),
            },
        };
        match u32::try_from(id) {
            Ok(id) if (id as usize) < vocab_size => Ok(Some(id)),
            _ if id < 0 => Ok(None),
            _ => Err(LoadError::damaged(self.path, field, id, format!("below {vocab_size}"))),
        }
    }

    fn unsupported(&self, field: &str, found: &str, supported: &str) -> LoadError {
        LoadError::Unsupported {
            path: self.path.to_owned(),
            field: field.to_string(),
            found: found.to_string(),
            supported: supported.to_string(),
        }
    }
}

/// Whether a table about rotary embeddings contains only their base.
fn only_theta(rope: &serde_json::Map<String, Value>) -> bool {
    rope.keys().all(|key| key == "rope_theta")
}
