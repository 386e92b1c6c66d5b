//! Model type of a `config.json`, and the values that transformers gives fields that it leaves out.

/// Base of the rotary frequencies if a config names none.
pub(super) const ROPE_THETA: f32 = 10_000.0;

/// Constant of the norms if a config names none.
pub(super) const NORM_EPS: f32 = 1e-6;

/// Type that a config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelType {
    /// Llama.
    Llama,
    /// Llama with normalised queries and keys.
    Qwen3,
    /// Models with an output layer or input vectors of this program's own.
    Own,
}

/// Values of absent fields that differ between types.
pub(super) struct Defaults {
    /// Width of an attention head; if none, the model's width divided by the query heads.
    pub head_dim: Option<u64>,
    /// Number of key/value heads; if none, one for each query head.
    pub n_kv_heads: Option<u64>,
    /// Longest sequence; if none, the field is required.
    pub seq_len: Option<u64>,
    /// Token before a text.
    pub bos: Option<i64>,
    /// Token after a text.
    pub eos: Option<i64>,
}

impl ModelType {
    const ALL: [ModelType; 3] = [ModelType::Llama, ModelType::Qwen3, ModelType::Own];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            ModelType::Llama => "llama",
            ModelType::Qwen3 => "qwen3",
            ModelType::Own => "crystalline",
        }
    }

    /// The type of this name.
    pub fn of_name(name: &str) -> Option<ModelType> {
        ModelType::ALL.into_iter().find(|model_type| model_type.name() == name)
    }

    /// Names of all types, for messages.
    pub fn names() -> String {
        ModelType::ALL.map(ModelType::name).join(", ")
    }

    /// The defaults of transformers' `LlamaConfig` and `Qwen3Config`. The sizes that every config
    /// has are required; a config of this program's own type has every field.
    pub fn defaults(self) -> Defaults {
        let none =
            Defaults { head_dim: None, n_kv_heads: None, seq_len: None, bos: None, eos: None };
        match self {
            ModelType::Llama => {
                Defaults { seq_len: Some(2048), bos: Some(1), eos: Some(2), ..none }
            }
            ModelType::Qwen3 => Defaults {
                head_dim: Some(128),
                n_kv_heads: Some(32),
                seq_len: Some(32_768),
                ..none
            },
            ModelType::Own => none,
        }
    }
}
