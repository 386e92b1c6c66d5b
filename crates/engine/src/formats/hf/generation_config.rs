//! Special tokens that begin, end and pad texts, and `generation_config.json`, which repeats them.

use super::pretty;

/// Ids of the special tokens that a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// Token before a text.
    pub bos: Option<u32>,
    /// Token after a text.
    pub eos: Option<u32>,
    /// Token that pads batches.
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
