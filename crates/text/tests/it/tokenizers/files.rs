//! Foreign tokenizer.json files: read if they describe one of our kinds, else refused, without
//! panics.

use super::{golden_folder, reference, reference_ids, small};
use proptest::prelude::*;
use serde_json::{Value, json};
use text::tokenizer::{TextError, Tokenizer, TokenizerKind};

fn json_of(kind: TokenizerKind) -> Value {
    serde_json::from_slice(&small(kind).to_json()).unwrap()
}

fn read(json: &Value) -> Result<Tokenizer, TextError> {
    Tokenizer::from_json(&serde_json::to_vec(json).unwrap())
}

#[test]
fn files_are_read_back_and_written_identically() {
    for kind in TokenizerKind::ALL {
        let tokenizer = small(kind);
        let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        assert_eq!(again.to_json(), tokenizer.to_json());
        assert_eq!((again.kind(), again.eos_id()), (kind, tokenizer.eos_id()));
        assert_eq!(again.hash(), tokenizer.hash());
        assert!(tokenizer.eos_id().is_some());
    }
}

#[test]
fn files_saved_again_by_the_tokenizers_crate_are_the_same_tokeniser() {
    for kind in TokenizerKind::ALL {
        let tokenizer = small(kind);
        let saved = reference(&tokenizer).to_string(true).unwrap();
        let again = Tokenizer::from_json(saved.as_bytes()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash(), "{kind}");
    }
}

/// The form of GPT-2's own file: older merges, defaults left out, a post-processor, and a special
/// token beyond the vocabulary.
#[test]
fn the_form_of_gpt2_is_read() {
    let mut json = json_of(TokenizerKind::Bpe);
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true });
    json["pre_tokenizer"] = byte_level.clone();
    json["post_processor"] = byte_level;
    json["decoder"] =
        json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true });
    for merge in json["model"]["merges"].as_array_mut().unwrap() {
        *merge = format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()).into();
    }
    let model = json["model"].as_object_mut().unwrap();
    for left_out in ["dropout", "byte_fallback", "ignore_merges"] {
        model.remove(left_out);
    }
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    vocab.remove("<|endoftext|>");
    let n = vocab.len() as u64;
    vocab.values_mut().for_each(|id| *id = (id.as_u64().unwrap() - 1).into());
    json["added_tokens"][0]["id"] = n.into();

    let tokenizer = read(&json).unwrap();
    assert_eq!(tokenizer.eos_id(), Some(n as u32));
    let text = "It's the keeper's boat.\n\n<|endoftext|>漁師 went  home";
    let theirs = tokenizers::Tokenizer::from_bytes(serde_json::to_vec(&json).unwrap()).unwrap();
    assert_eq!(tokenizer.encode(text), reference_ids(&theirs, text));
}

/// A section after the model that adds no token, as transformers writes it.
fn template(single: Value) -> Value {
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    json!({
        "type": "TemplateProcessing", "single": single, "pair": [text("A"), text("B")],
        "special_tokens": {},
    })
}

#[test]
fn a_post_processor_that_adds_no_token_is_accepted_and_others_are_not() {
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let end = json!({ "SpecialToken": { "id": "<|endoftext|>", "type_id": 0 } });
    let identity = template(json!([text]));
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false });
    let all = |parts: &[&Value]| json!({ "type": "Sequence", "processors": parts });
    for kind in TokenizerKind::ALL {
        let mut json = json_of(kind);
        for fine in [&identity, &byte_level, &all(&[&byte_level, &identity]), &all(&[])] {
            json["post_processor"] = fine.clone();
            assert_eq!(read(&json).unwrap().hash(), small(kind).hash(), "{kind}: {fine}");
        }
        let adds = template(json!([text, end]));
        let roberta = json!({ "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0] });
        for other in [
            &adds,
            &template(json!([end, text])),
            &template(json!([text, text])),
            &template(json!([])),
            &template(json!([{ "Sequence": { "id": "B", "type_id": 0 } }])),
            &roberta,
            &all(&[&byte_level, &adds]),
            &json!({ "type": "Sequence" }),
        ] {
            json["post_processor"] = other.clone();
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains("`post_processor`"), "{other}: {error}");
        }
    }
}

#[test]
fn unsupported_settings_are_refused_by_name() {
    let bpe = |change: fn(&mut Value)| (TokenizerKind::Bpe, change);
    let split = |change: fn(&mut Value)| (TokenizerKind::Split, change);
    for ((kind, change), named) in [
        (bpe(|j| j["pre_tokenizer"]["add_prefix_space"] = true.into()), "`pre_tokenizer`"),
        (bpe(|j| j["pre_tokenizer"] = Value::Null), "`pre_tokenizer`"),
        (bpe(|j| j["normalizer"] = json!({ "type": "NFC" })), "`normalizer`"),
        (split(|j| j["normalizer"] = Value::Null), "`normalizer`"),
        (bpe(|j| j["truncation"] = json!({ "max_length": 5 })), "`truncation`"),
        (bpe(|j| j["padding"] = json!({ "pad_id": 0 })), "`padding`"),
        (bpe(|j| j["post_processor"] = json!({ "type": "Template" })), "`post_processor`"),
        (bpe(|j| j["decoder"] = Value::Null), "`decoder`"),
        (bpe(|j| j["model"]["type"] = "Unigram".into()), "`model.type`"),
        (bpe(|j| j["model"]["dropout"] = 0.1.into()), "`model.dropout`"),
        (bpe(|j| j["model"]["ignore_merges"] = true.into()), "`model.ignore_merges`"),
        (bpe(|j| j["model"]["end_of_word_suffix"] = "</w>".into()), "`model.end_of_word_suffix`"),
        (split(|j| j["model"]["unk_token"] = "the".into()), "`model.unk_token`"),
        (bpe(|j| j["model"]["surprise"] = 1.into()), "surprise"),
        (bpe(|j| j["model"]["merges"][3] = json!(["q", "zzz"])), "`model.merges[3]`"),
        (bpe(|j| j["model"]["merges"][3] = json!("one")), "`model.merges[3]`"),
        (bpe(|j| j["model"]["merges"][3] = json!(["a", "b", "c"])), "invalid length"),
        (bpe(|j| j["model"]["merges"][3] = j["model"]["merges"][2].clone()), "`model.merges[3]`"),
        (bpe(|j| j["model"]["vocab"]["é"] = 7.into()), "`model.vocab`"),
        (bpe(|j| j["model"]["vocab"]["日"] = 512.into()), "`model.vocab`"),
        (bpe(|j| j["model"]["vocab"]["qqq"] = 600.into()), "`model.vocab`"),
        (bpe(|j| j["model"]["vocab"]["qqq"] = (-1).into()), "-1"),
        (bpe(|j| j["model"]["vocab"][""] = 512.into()), "`model.vocab`"),
        (bpe(|j| j["model"]["vocab"]["q".repeat(4097)] = 512.into()), "`model.vocab`"),
        (bpe(|j| j["added_tokens"][0]["special"] = false.into()), "`added_tokens[0]`"),
        (bpe(|j| j["added_tokens"][0]["lstrip"] = true.into()), "`added_tokens[0]`"),
        (bpe(|j| j["added_tokens"][0]["content"] = "a b".into()), "`added_tokens[0]`"),
        (bpe(|j| j["added_tokens"][0]["id"] = 5.into()), "`added_tokens`"),
        (bpe(|j| j["added_tokens"] = vec![j["added_tokens"][0].clone(); 257].into()), "257"),
    ] {
        let mut json = json_of(kind);
        change(&mut json);
        let error = read(&json).expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
        assert!(error.len() < 600, "{error}");
    }
}

#[test]
fn sizes_are_limited() {
    let mut json = json_of(TokenizerKind::Split);
    json["model"]["vocab"] =
        (0..1u32 << 20).map(|id| (format!("w{id}"), Value::from(id))).collect();
    let error = read(&json).unwrap_err().to_string();
    assert!(error.contains("1048578 tokens"), "special tokens count: {error}");
    json["model"]["vocab"]["one more"] = (1 << 20).into();
    let error = read(&json).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 tokens"), "{error}");

    let mut json = json_of(TokenizerKind::Bpe);
    json["model"]["merges"] = vec!["a b"; (1 << 21) + 1].into();
    let error = read(&json).unwrap_err().to_string();
    assert!(error.contains("more than 2097152 merges"), "{error}");

    let long = vec![b' '; (128 << 20) + 1];
    let error = Tokenizer::from_json(&long).unwrap_err().to_string();
    assert!(error.contains("134217729 bytes"), "{error}");
}

#[test]
fn deep_nesting_does_not_overflow_a_small_stack() {
    let work = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = open.repeat(100_000) + "1" + &close.repeat(100_000);
            for field in ["pre_tokenizer", "model", "added_tokens", "surprise"] {
                let json = format!("{{\"{field}\":{deep}}}");
                assert!(Tokenizer::from_json(json.as_bytes()).is_err());
            }
        }
        Tokenizer::from_json(&small(TokenizerKind::Word).to_json()).unwrap();
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_missing_file_is_named() {
    let path = golden_folder().join("nowhere.json");
    let error = Tokenizer::load(&path).unwrap_err().to_string();
    assert!(error.contains("nowhere.json") && error.contains("Check the path"), "{error}");
    let error = Tokenizer::load(&golden_folder().join("train.txt")).unwrap_err().to_string();
    assert!(error.contains("train.txt") && error.contains("line 1"), "{error}");
}

/// One change to a file: position, number of bytes removed, bytes inserted.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "null",
            "[",
            "]",
            "{",
            "}",
            "\"",
            ",",
            "0",
            "-1",
            "4294967296",
            "1e9"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0..6usize, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A damaged file that is still accepted must work.
    #[test]
    fn damaged_files_are_refused_or_work(
        kind in prop::sample::select(TokenizerKind::ALL.to_vec()),
        changes in prop::collection::vec(change(), 1..3),
    ) {
        let folder = golden_folder().join(kind.name());
        let mut json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        for (at, n_gone, bytes) in changes {
            let start = at.index(json.len());
            json.splice(start..(start + n_gone).min(json.len()), bytes);
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&json) {
            let text = "The boats' 漁師\n<|endoftext|> 42";
            let ids = tokenizer.encode(text);
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            if tokenizer.kind() != TokenizerKind::Split {
                prop_assert_eq!(tokenizer.decode(&ids), text);
            }
            let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
            prop_assert_eq!(again.encode(text), ids);
        }
    }
}
