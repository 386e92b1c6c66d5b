//! Writer of tokenizer.json in the format of the Hugging Face `tokenizers` crate.

use super::any_kind::{Tokenizer, VocabularyModel};
use super::bytes;
use super::format::{Sections, sections};
use super::specials::UNKNOWN;
use serde_json::{Map, Value, json};

/// The bytes of the file, deterministic.
pub(super) fn write(tokenizer: &Tokenizer) -> Vec<u8> {
    let Sections { normalizer, pre_tokenizer, decoder } = sections(tokenizer.kind);
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(tokenizer),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": decoder,
        "model": model(tokenizer),
    });
    let mut written = serde_json::to_vec(&file).expect("a JSON value is always written");
    written.push(b'\n');
    written
}

/// The special tokens by id.
fn added_tokens(tokenizer: &Tokenizer) -> Vec<Value> {
    let mut tokens: Vec<&(String, u32)> = tokenizer.specials.tokens().iter().collect();
    tokens.sort_unstable_by_key(|&(_, id)| id);
    let written = tokens.into_iter().map(|(content, id)| {
        json!({
            "id": id,
            "content": content,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": true,
        })
    });
    written.collect()
}

fn model(tokenizer: &Tokenizer) -> Value {
    match &tokenizer.model {
        VocabularyModel::Words(model) => {
            let words = model.words().iter().map(|word| word.to_string());
            json!({ "type": "WordLevel", "vocab": vocab(words), "unk_token": UNKNOWN })
        }
        VocabularyModel::Bytes(model) => {
            // Special tokens are written verbatim, others in the byte-level alphabet.
            let name = |(id, token): (u32, &[u8])| {
                if tokenizer.specials.contains(id) {
                    String::from_utf8_lossy(token).into_owned()
                } else {
                    bytes::to_alphabet(token)
                }
            };
            let names: Vec<String> =
                (0..).zip(model.tokens()).map(|(id, token)| name((id, &**token))).collect();
            let pair =
                |&(left, right): &(u32, u32)| json!([names[left as usize], names[right as usize]]);
            let merges: Vec<Value> = model.merges().iter().map(pair).collect();
            json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": model.whole_first,
                "vocab": vocab(names.into_iter()),
                "merges": merges,
            })
        }
    }
}

fn vocab(names: impl Iterator<Item = String>) -> Map<String, Value> {
    names.zip(0u32..).map(|(name, id)| (name, id.into())).collect()
}
