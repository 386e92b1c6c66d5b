//! Token ids that begin, end and fill up texts, and `generation_config.json`, which repeats them.

use super::pretty;

/// Tokens with a meaning of their own, as far as a model has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// The token before a text.
    pub bos: Option<u32>,
    /// The token after a text.
    pub eos: Option<u32>,
    /// The token that fills up batches.
    pub pad: Option<u32>,
}

/// The text of `generation_config.json`.
pub fn generation_config_json(ids: &TokenIds) -> String {
    pretty(&serde_json::json!({
        "_from_model_config": true,
        "bos_token_id": ids.bos,
        "eos_token_id": ids.eos,
        "pad_token_id": ids.pad,
    }))
}
