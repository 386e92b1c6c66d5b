//! Special tokens that begin, end and pad texts, and `generation_config.json`, which repeats them.

use super::pretty;
use crate::disk::LoadError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Ids of the special tokens that a model has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// Token before a text.
    pub bos: Option<u32>,
    /// Tokens after a text, any of which ends it.
    pub eos: Vec<u32>,
    /// Token that pads batches.
    pub pad: Option<u32>,
}

impl TokenIds {
    /// The tokens after a text as programs write them: null, a number, or a list.
    pub(super) fn eos_json(&self) -> Value {
        match &self.eos[..] {
            [] => Value::Null,
            [one] => json!(one),
            several => json!(several),
        }
    }
}

/// A field with the ids of special tokens.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TokenField {
    One(i64),
    Several(Vec<i64>),
}

impl Default for TokenField {
    fn default() -> Self {
        TokenField::Several(Vec::new())
    }
}

impl TokenField {
    /// The ids in the field `name` of the file `path`; a negative number means none.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] if an id is not below `vocab_size`.
    pub fn ids(&self, name: &str, vocab_size: usize, path: &Path) -> Result<Vec<u32>, LoadError> {
        let ids = match self {
            TokenField::One(id) => std::slice::from_ref(id),
            TokenField::Several(ids) => ids,
        };
        let id = |id: &i64| match u32::try_from(*id) {
            Ok(id) if (id as usize) < vocab_size => Ok(id),
            _ => Err(LoadError::damaged(path, name, id, format!("below {vocab_size}"))),
        };
        ids.iter().filter(|id| **id >= 0).map(id).collect()
    }
}

/// The text of `generation_config.json`.
pub fn generation_config_json(ids: &TokenIds) -> String {
    pretty(&json!({
        "_from_model_config": true,
        "bos_token_id": ids.bos,
        "eos_token_id": ids.eos_json(),
        "pad_token_id": ids.pad,
    }))
}

/// The tokens that end a text by a `generation_config.json`, possibly of another program, for a
/// model of `vocab_size` tokens; `None` if it names none. `path` is for messages.
///
/// # Errors
/// [`LoadError::Damaged`] if it is not such a file, or an id is not below `vocab_size`.
pub fn parse_generation_config(
    bytes: &[u8],
    path: &Path,
    vocab_size: usize,
) -> Result<Option<Vec<u32>>, LoadError> {
    #[derive(Deserialize)]
    struct Generation {
        eos_token_id: Option<TokenField>,
    }
    let read: Generation = serde_json::from_slice(bytes)
        .map_err(|error| LoadError::damaged(path, "content", error, "a generation config"))?;
    read.eos_token_id.map(|field| field.ids("eos_token_id", vocab_size, path)).transpose()
}
