//! Foreign fields of a `config.json`: those of other architectures, which would change the
//! computation.
//!
//! Other programs may compute what a field asks for even where the model's type does not have it, so
//! such a config is refused by the field's name. A field with a value that changes nothing, and
//! every field that is not listed here, is ignored.

use serde_json::{Map, Value};

/// Value at which a field changes nothing; so does null at every field.
#[derive(Clone, Copy)]
enum Neutral {
    /// Null alone.
    Null,
    Bool(bool),
    Number(f64),
    Text(&'static str),
    /// A list of this text alone.
    Each(&'static str),
}

use Neutral::{Bool, Each, Null, Number, Text};

/// Foreign fields that change the computation, each with its neutral value.
const FIELDS: [(&str, Neutral); 49] = [
    // Biases.
    ("attention_bias", Bool(false)),
    ("mlp_bias", Bool(false)),
    ("qkv_bias", Bool(false)),
    ("use_qkv_bias", Bool(false)),
    ("use_bias", Bool(false)),
    ("bias", Bool(false)),
    ("lm_head_bias", Bool(false)),
    // Positions.
    ("partial_rotary_factor", Number(1.0)),
    ("rotary_pct", Number(1.0)),
    ("rotary_dim", Null),
    ("rotary_emb_base", Null),
    ("rope_local_base_freq", Null),
    ("rope_ratio", Number(1.0)),
    ("rope_interleave", Bool(false)),
    ("rope_interleaved", Bool(false)),
    ("rope_traditional", Bool(false)),
    ("no_rope_layers", Null),
    ("no_rope_layer_interval", Null),
    ("position_embedding_type", Text("rope")),
    ("alibi", Bool(false)),
    ("use_mrope", Bool(false)),
    // What a query sees.
    ("use_sliding_window", Bool(false)),
    ("layer_types", Each("full_attention")),
    ("attention_chunk_size", Null),
    ("dual_chunk_attention_config", Null),
    ("is_causal", Bool(true)),
    ("use_bidirectional_attention", Bool(false)),
    ("is_encoder_decoder", Bool(false)),
    ("add_cross_attention", Bool(false)),
    // Factors and limits.
    ("attention_multiplier", Null),
    ("query_pre_attn_scalar", Null),
    ("embedding_multiplier", Number(1.0)),
    ("residual_multiplier", Number(1.0)),
    ("logits_scaling", Number(1.0)),
    ("logit_scale", Number(1.0)),
    ("scale_emb", Number(1.0)),
    ("scale_depth", Null),
    ("dim_model_base", Null),
    ("attn_logit_softcapping", Null),
    ("final_logit_softcapping", Null),
    ("clip_qkv", Null),
    // Blocks of another form.
    ("hidden_activation", Text("silu")),
    ("parallel_attn", Bool(false)),
    ("use_parallel_residual", Bool(false)),
    ("num_experts", Number(0.0)),
    ("num_local_experts", Number(0.0)),
    ("n_routed_experts", Number(0.0)),
    // Numbers of another form.
    ("quantization_config", Null),
    ("compression_config", Null),
];

/// Names of the switch that normalises queries and keys, which a type does or does not.
const QK_NORM: [&str; 2] = ["use_qk_norm", "qk_layernorm"];

/// Field that changes the computation.
pub(super) struct ForeignField {
    pub name: &'static str,
    /// Its value, as JSON.
    pub found: String,
    /// The value that would change nothing.
    pub supported: String,
}

/// The first of `fields` that changes the computation of a model which normalises queries and keys
/// or not.
pub(super) fn first_foreign(fields: &Map<String, Value>, qk_norm: bool) -> Option<ForeignField> {
    let switches = QK_NORM.map(|name| (name, Bool(qk_norm)));
    FIELDS.into_iter().chain(switches).find_map(|(name, neutral)| {
        let value = fields.get(name).filter(|value| !neutral.is(value))?;
        Some(ForeignField { name, found: value.to_string(), supported: neutral.to_string() })
    })
}

impl Neutral {
    fn is(self, value: &Value) -> bool {
        value.is_null()
            || match self {
                Null => false,
                Bool(neutral) => value.as_bool() == Some(neutral),
                Number(neutral) => value.as_f64() == Some(neutral),
                Text(neutral) => value.as_str() == Some(neutral),
                Each(neutral) => {
                    let is_neutral = |value: &Value| value.as_str() == Some(neutral);
                    value.as_array().is_some_and(|values| values.iter().all(is_neutral))
                }
            }
    }
}

impl std::fmt::Display for Neutral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Null => f.write_str("null"),
            Bool(neutral) => write!(f, "{neutral}"),
            Number(neutral) => write!(f, "{neutral}"),
            Text(neutral) => f.write_str(neutral),
            Each(neutral) => write!(f, "{neutral} in every layer"),
        }
    }
}
