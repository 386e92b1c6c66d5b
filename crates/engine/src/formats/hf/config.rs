//! Hugging Face `config.json`, from and to [`ModelConfig`]: Llama, Qwen3 if queries and keys are
//! normalised, or this program's own type if no other program supports the output layer or the
//! input vectors, so that others refuse the model by name.
//!
//! Fields are written in both styles: transformers 4 reads `rope_theta` and `torch_dtype`,
//! transformers 5 `rope_parameters` and `dtype`. A config that is read may be foreign and ask for
//! features that this program does not compute; those are refused by name.

use super::foreign::first_foreign;
use super::generation_config::{TokenField, TokenIds};
use super::model_type::{ModelType, NORM_EPS, ROPE_THETA};
use super::pretty;
use crate::disk::LoadError;
use crate::head::HeadConfig;
use crate::model::{ConfigError, ModelConfig, N_PARTS_MAX, SIZES_MAX};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::Path;
use text::vocab::ngrams::NgramTable;

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
    eos_token_id: Value,
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

/// Whether other programs compute this model.
pub(super) fn is_plain(config: &ModelConfig) -> bool {
    config.head.is_plain() && config.n_parts == 0 && config.ngrams.is_empty()
}

/// Text of `config.json`.
pub fn config_json(config: &ModelConfig, ids: &TokenIds) -> String {
    let (architecture, model_type) = match (is_plain(config), config.qk_norm) {
        (false, _) => ("CrystallineForCausalLM", ModelType::Own),
        (true, false) => ("LlamaForCausalLM", ModelType::Llama),
        (true, true) => ("Qwen3ForCausalLM", ModelType::Qwen3),
    };
    let is = |other| model_type == other;
    let rope_theta = config.rope_theta;
    pretty(&Written {
        architectures: [architecture],
        model_type: model_type.name(),
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
        mlp_bias: is(ModelType::Llama).then_some(false),
        use_sliding_window: is(ModelType::Qwen3).then_some(false),
        qk_norm: is(ModelType::Own).then_some(config.qk_norm),
        n_parts: Some(config.n_parts).filter(|n| *n > 0),
        ngrams: Some(&config.ngrams[..]).filter(|heads| !heads.is_empty()),
        head: is(ModelType::Own).then_some(&config.head),
        initializer_range: 0.02,
        tie_word_embeddings: config.tie_embeddings,
        bos_token_id: ids.bos,
        eos_token_id: ids.eos_json(),
        pad_token_id: ids.pad,
        use_cache: true,
        dtype: "float32",
        torch_dtype: "float32",
    })
}

/// Names of the sizes in the order of [`SIZES_MAX`], which has their limits.
const SIZES: [&str; 8] = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
];

/// Name in this file of a field of [`ModelConfig`].
fn name_of(field: &'static str) -> &'static str {
    let sizes = SIZES_MAX.into_iter().map(|(own, _)| own).zip(SIZES);
    let others = [("norm_eps", "rms_norm_eps"), ("tie_embeddings", "tie_word_embeddings")];
    sizes.chain(others).find(|(own, _)| *own == field).map_or(field, |(_, name)| name)
}

/// Relevant fields of a foreign `config.json`. Null is the same as absent, except where the type
/// has a default of its own.
#[derive(Deserialize)]
struct Read {
    model_type: Option<String>,
    vocab_size: Option<u64>,
    hidden_size: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_attention_heads: Option<u64>,
    #[serde(default, deserialize_with = "null_or")]
    num_key_value_heads: Option<Option<u64>>,
    head_dim: Option<u64>,
    intermediate_size: Option<u64>,
    max_position_embeddings: Option<u64>,
    hidden_act: Option<String>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f64>,
    rope_parameters: Option<Map<String, Value>>,
    rope_scaling: Option<Map<String, Value>>,
    tie_word_embeddings: Option<bool>,
    sliding_window: Option<u64>,
    qk_norm: Option<bool>,
    n_parts: Option<u64>,
    ngrams: Option<Vec<NgramTable>>,
    head: Option<HeadConfig>,
    #[serde(default, deserialize_with = "null_or")]
    bos_token_id: Option<Option<TokenField>>,
    #[serde(default, deserialize_with = "null_or")]
    eos_token_id: Option<Option<TokenField>>,
    pad_token_id: Option<TokenField>,
    /// All other fields.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Tells null, the inner `None`, from a field that is absent.
fn null_or<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
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
    let model_type = model_type(&read, path)?;
    let reader = Reader { path, model_type };
    let qk_norm = reader.check_features(&read)?;
    let [vocab_size, model_dim, n_layers, n_heads, n_kv_heads, head_dim, ffn_dim, seq_len] =
        reader.sizes(&read)?;
    reader.check_window(&read, seq_len)?;
    let rope_theta = reader.rope_theta(&read)?;
    let norm_eps = read.rms_norm_eps.unwrap_or(NORM_EPS);
    let head = reader.head(&read)?;
    let n_parts = reader.n_parts(&read)?;
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
        ngrams: read.ngrams.unwrap_or_default(),
        head,
    };
    config.check().map_err(|ConfigError { field, found, expected }| {
        let expected = expected.strip_prefix("expected ").unwrap_or(&expected);
        LoadError::damaged(path, name_of(field), found, expected)
    })?;
    let defaults = model_type.defaults();
    let or = |field: Option<Option<TokenField>>, default: Option<i64>| {
        field.unwrap_or(default.map(TokenField::One)).unwrap_or_default()
    };
    let ids = |name, field: TokenField| field.ids(name, vocab_size, path);
    let ids = TokenIds {
        bos: ids("bos_token_id", or(read.bos_token_id, defaults.bos))?.first().copied(),
        eos: ids("eos_token_id", or(read.eos_token_id, defaults.eos))?,
        pad: ids("pad_token_id", read.pad_token_id.unwrap_or_default())?.first().copied(),
    };
    Ok((config, ids))
}

fn model_type(read: &Read, path: &Path) -> Result<ModelType, LoadError> {
    let name = read.model_type.as_deref();
    name.and_then(ModelType::of_name).ok_or_else(|| LoadError::Unsupported {
        path: path.to_owned(),
        field: "model_type".to_string(),
        found: name.unwrap_or("none").to_string(),
        supported: ModelType::names(),
    })
}

/// Checks the fields of one file.
struct Reader<'a> {
    path: &'a Path,
    model_type: ModelType,
}

impl Reader<'_> {
    /// Refuses features that this program does not compute; returns whether queries and keys are
    /// normalised.
    fn check_features(&self, read: &Read) -> Result<bool, LoadError> {
        let qk_norm = match self.model_type {
            ModelType::Llama => false,
            ModelType::Qwen3 => true,
            ModelType::Own => read.qk_norm.unwrap_or(false),
        };
        match read.hidden_act.as_deref() {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(self.unsupported("hidden_act", other, "silu")),
        }
        if let Some(field) = first_foreign(&read.others, qk_norm) {
            return Err(self.unsupported(field.name, &field.found, &field.supported));
        }
        self.check_own_fields(read, qk_norm)?;
        for (field, rope) in rope_tables(read) {
            let kind = rope.get("rope_type").or(rope.get("type")).and_then(Value::as_str);
            let is_part = rope.get("partial_rotary_factor").is_some_and(|part| *part != 1.0);
            let is_plain = match kind {
                Some(kind) => kind == "default" && !is_part,
                None => rope.keys().all(|key| key == "rope_theta"),
            };
            if !is_plain {
                let found = Value::Object(rope.clone()).to_string();
                return Err(self.unsupported(field, &found, "rope_type default"));
            }
        }
        Ok(qk_norm)
    }

    /// Refuses fields of this program's own type in a config of another.
    fn check_own_fields(&self, read: &Read, qk_norm: bool) -> Result<(), LoadError> {
        let fields = [
            ("qk_norm", read.qk_norm.is_some_and(|found| found != qk_norm)),
            ("n_parts", read.n_parts.is_some_and(|n| n > 0)),
            ("ngrams", read.ngrams.as_ref().is_some_and(|tables| !tables.is_empty())),
            ("head", read.head.as_ref().is_some_and(|head| !head.is_plain())),
        ];
        match fields.into_iter().find(|(_, is_used)| *is_used) {
            Some((field, _)) if self.model_type != ModelType::Own => {
                let found = format!("in a {}", self.model_type.name());
                Err(self.unsupported(field, &found, "only in a crystalline"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a window that would hide the beginning of a sequence of `seq_len` tokens. A Qwen3
    /// has one in its config even if it does not use it.
    fn check_window(&self, read: &Read, seq_len: usize) -> Result<(), LoadError> {
        let is_off = self.model_type == ModelType::Qwen3
            || read.others.get("use_sliding_window") == Some(&Value::Bool(false));
        match read.sliding_window.filter(|window| *window < seq_len as u64) {
            Some(window) if !is_off => {
                let supported = format!("{seq_len} or more");
                Err(self.unsupported("sliding_window", &window.to_string(), &supported))
            }
            _ => Ok(()),
        }
    }

    /// Sizes in the order of [`SIZES`], within their limits.
    fn sizes(&self, read: &Read) -> Result<[usize; 8], LoadError> {
        let n_heads = read.num_attention_heads;
        let defaults = self.model_type.defaults();
        let head_dim = read.head_dim.or(defaults.head_dim).or_else(|| {
            let (width, n_heads) = (read.hidden_size?, n_heads.filter(|n| *n > 0)?);
            width.is_multiple_of(n_heads).then(|| width / n_heads)
        });
        let found = [
            read.vocab_size,
            read.hidden_size,
            read.num_hidden_layers,
            n_heads,
            read.num_key_value_heads.unwrap_or(defaults.n_kv_heads).or(n_heads),
            head_dim,
            read.intermediate_size,
            read.max_position_embeddings.or(defaults.seq_len),
        ];
        let mut sizes = [0; 8];
        let limits = SIZES_MAX.into_iter().map(|(_, limit)| limit as u64);
        for (((field, limit), found), size) in
            SIZES.into_iter().zip(limits).zip(found).zip(&mut sizes)
        {
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
        Ok(sizes)
    }

    /// Base of the rotary frequencies, the same wherever the file has it.
    fn rope_theta(&self, read: &Read) -> Result<f32, LoadError> {
        let in_tables = rope_tables(read).filter_map(|(_, rope)| rope.get("rope_theta"));
        let in_tables = in_tables.map(|theta| theta.as_f64().unwrap_or(f64::NAN));
        let mut thetas = in_tables.chain(read.rope_theta).map(|theta| theta as f32);
        let rope_theta = thetas.next().unwrap_or(ROPE_THETA);
        if let Some(other) = thetas.find(|theta| *theta != rope_theta) {
            let expected = format!("{rope_theta} as elsewhere in the file");
            return Err(LoadError::damaged(self.path, "rope_theta", other, expected));
        }
        Ok(rope_theta)
    }

    /// Output layer; only a model of this program's own type names one.
    fn head(&self, read: &Read) -> Result<HeadConfig, LoadError> {
        match (&read.head, self.model_type) {
            (Some(head), ModelType::Own) => Ok(head.clone()),
            (None, ModelType::Own) => {
                Err(LoadError::damaged(self.path, "head", "missing", "an output layer"))
            }
            _ => Ok(HeadConfig::default()),
        }
    }

    /// Rows of parts.
    fn n_parts(&self, read: &Read) -> Result<usize, LoadError> {
        let found = read.n_parts.unwrap_or(0);
        let (field, limit) = ("n_parts".to_string(), N_PARTS_MAX as u64);
        match usize::try_from(found) {
            Ok(n_parts) if found <= limit => Ok(n_parts),
            _ => Err(LoadError::TooLarge { path: self.path.to_owned(), field, found, limit }),
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

/// Tables about rotary embeddings, with the names of their fields.
fn rope_tables(read: &Read) -> impl Iterator<Item = (&'static str, &Map<String, Value>)> {
    let tables = [("rope_parameters", &read.rope_parameters), ("rope_scaling", &read.rope_scaling)];
    tables.into_iter().filter_map(|(field, table)| Some((field, table.as_ref()?)))
}
