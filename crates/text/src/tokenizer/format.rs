//! Sections of tokenizer.json that distinguish the kinds, and tokenizer_config.json.

use super::options::TokenizerKind;
use super::pretokenize::{CHARACTERS_PATTERN, SplitRule, WORDS_PATTERN};
use super::specials::{END_OF_LINE, END_OF_TEXT, UNKNOWN};
use serde_json::{Value, json};

/// The sections of tokenizer.json for the processing before and after the model.
pub(super) struct Sections {
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) decoder: Value,
}

/// The sections of a kind.
pub(super) fn sections(kind: TokenizerKind) -> Sections {
    let byte_level = |use_regex| {
        json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let split_by = |pattern| {
        let split = json!({
            "type": "Split",
            "pattern": { "Regex": pattern },
            "behavior": "Isolated",
            "invert": false,
        });
        json!({ "type": "Sequence", "pretokenizers": [split, byte_level(false)] })
    };
    let (normalizer, pre_tokenizer) = match kind {
        TokenizerKind::Word => (Value::Null, split_by(WORDS_PATTERN)),
        TokenizerKind::Char => (Value::Null, split_by(CHARACTERS_PATTERN)),
        TokenizerKind::Bpe => (Value::Null, byte_level(true)),
        TokenizerKind::Split => {
            let content = format!(" {END_OF_LINE} ");
            let replace =
                json!({ "type": "Replace", "pattern": { "String": "\n" }, "content": content });
            (replace, json!({ "type": "WhitespaceSplit" }))
        }
    };
    let decoder = if kind == TokenizerKind::Split { Value::Null } else { byte_level(true) };
    Sections { normalizer, pre_tokenizer, decoder }
}

/// The split rule of a kind whose tokens are bytes.
pub(super) fn split_rule(kind: TokenizerKind) -> Option<SplitRule> {
    match kind {
        TokenizerKind::Word => Some(SplitRule::Words),
        TokenizerKind::Char => Some(SplitRule::Characters),
        TokenizerKind::Bpe => Some(SplitRule::Gpt2),
        TokenizerKind::Split => None,
    }
}

/// The name of the token that ends a document (or, in pre-tokenised text, a line).
pub(super) fn end_name(kind: TokenizerKind) -> &'static str {
    if kind == TokenizerKind::Split { END_OF_LINE } else { END_OF_TEXT }
}

/// Contents of tokenizer_config.json. Without the input names, transformers would also pass
/// `token_type_ids` to a model that takes none.
pub(super) fn config(kind: TokenizerKind, has_end: bool, seq_len: Option<usize>) -> Value {
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids", "attention_mask"],
    });
    if let Some(seq_len) = seq_len {
        config["model_max_length"] = seq_len.into();
    }
    if has_end {
        config["bos_token"] = end_name(kind).into();
        config["eos_token"] = end_name(kind).into();
    }
    if kind == TokenizerKind::Split {
        config["unk_token"] = UNKNOWN.into();
    }
    config
}
