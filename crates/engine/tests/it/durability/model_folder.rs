//! `config.json` of a model folder: written for other programs, and read from any.

use engine::disk::LoadError;
use engine::formats::{TokenIds, config_json, generation_config_json, parse_config};
use engine::head::HeadConfig;
use engine::model::ModelConfig;
use serde_json::{Value, json};
use std::path::Path;

fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: 4096,
        model_dim: 128,
        n_layers: 4,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 32,
        ffn_dim: 352,
        seq_len: 256,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tie_embeddings: true,
        qk_norm: false,
        n_parts: 0,
        ngrams: Vec::new(),
        head: HeadConfig::Full,
    }
}

const IDS: TokenIds = TokenIds { bos: None, eos: Some(2), pad: None };

fn parse(json: &Value) -> Result<(ModelConfig, TokenIds), LoadError> {
    parse_config(json.to_string().as_bytes(), Path::new("model/config.json"))
}

fn written(config: &ModelConfig) -> Value {
    serde_json::from_str(&config_json(config, &IDS)).unwrap()
}

#[test]
fn written_configurations_are_read_back() {
    for (qk_norm, tie_embeddings) in [(false, true), (true, false)] {
        let config = ModelConfig { qk_norm, tie_embeddings, ..config() };
        assert_eq!(parse(&written(&config)).unwrap(), (config, IDS));
    }
}

/// Other programs must not load a model as a Llama if they would compute wrong input vectors.
#[test]
fn a_model_of_composed_vectors_has_a_type_of_its_own() {
    let config = ModelConfig { n_parts: 300, ..config() };
    let json = written(&config);
    assert_eq!((&json["model_type"], &json["n_parts"]), (&json!("crystalline"), &json!(300)));
    assert_eq!(parse(&json).unwrap(), (config, IDS));
    let mut huge = json;
    huge["n_parts"] = json!(1u64 << 40);
    let error = parse(&huge).unwrap_err().to_string();
    assert!(error.contains("n_parts"), "{error}");
}

/// Old and new versions of transformers find their fields, with integers as integers.
#[test]
fn old_and_new_readers_are_served() {
    let json = written(&config());
    assert_eq!(json["architectures"], json!(["LlamaForCausalLM"]));
    assert_eq!(json["rope_theta"], json!(10000.0));
    assert_eq!(json["rope_parameters"], json!({"rope_type": "default", "rope_theta": 10000.0}));
    assert_eq!((&json["dtype"], &json["torch_dtype"]), (&json!("float32"), &json!("float32")));
    assert_eq!(json["rms_norm_eps"].as_f64(), Some(1e-5), "not the f64 nearest to an f32");
    assert!(json["hidden_size"].is_u64() && json["bos_token_id"].is_null());
    let qwen = written(&ModelConfig { qk_norm: true, ..config() });
    assert_eq!(qwen["architectures"], json!(["Qwen3ForCausalLM"]));
    assert_eq!(qwen["model_type"], "qwen3");
    let generation: Value = serde_json::from_str(&generation_config_json(&IDS)).unwrap();
    assert_eq!(generation["eos_token_id"], 2);
}

/// A configuration of another program: omitted defaults, several end tokens, unknown fields.
#[test]
fn foreign_configs_are_read() {
    let json = json!({
        "model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 512,
        "eos_token_id": [7, 8], "pad_token_id": -1, "bos_token_id": 1, "rope_scaling": null,
        "something": {"else": [1, 2]},
    });
    let (config, ids) = parse(&json).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim), (4, 16));
    assert_eq!((config.rope_theta, config.norm_eps), (10_000.0, 1e-6));
    assert_eq!((ids.bos, ids.eos, ids.pad), (Some(1), Some(7), None));
    assert!(!config.tie_embeddings);
}

#[test]
fn unsupported_features_are_refused_by_name() {
    let unsupported = [
        ("model_type", json!("gpt2")),
        ("model_type", Value::Null),
        ("hidden_act", json!("gelu")),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("use_sliding_window", json!(true)),
        ("partial_rotary_factor", json!(0.5)),
        ("quantization_config", json!({"bits": 4})),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("rope_scaling", json!({"factor": 2.0})),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": 4.0})),
    ];
    for (field, value) in unsupported {
        let mut json = written(&config());
        json[field] = value.clone();
        let error = parse(&json).unwrap_err();
        let is_named = matches!(&error, LoadError::Unsupported { field: f, .. } if f == field);
        assert!(is_named, "{field} = {value}: {error}");
    }
}

#[test]
fn impossible_numbers_are_refused_by_name() {
    let sizes = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
        "max_position_embeddings",
    ];
    let numbers = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("8"),
        json!(1 << 30),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
    ];
    for (field, value) in sizes.into_iter().flat_map(|f| numbers.iter().map(move |n| (f, n))) {
        let mut json = written(&config());
        json[field] = value.clone();
        let error = parse(&json).unwrap_err();
        let is_refused = matches!(error, LoadError::Damaged { .. } | LoadError::TooLarge { .. });
        assert!(is_refused, "{field} = {value}: {error}");
    }
    let contradictions = [
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(31)),
        ("rms_norm_eps", json!(0.0)),
        ("rms_norm_eps", json!(-1e-5)),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": -5})),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": "x"})),
        ("eos_token_id", json!(4096)),
        ("bos_token_id", json!("x")),
    ];
    for (field, value) in contradictions {
        let mut json = written(&config());
        json[field] = value.clone();
        assert!(matches!(parse(&json), Err(LoadError::Damaged { .. })), "{field} = {value}");
    }
}

/// Truncated, deeply nested or invalid JSON is an error, not a panic.
#[test]
fn damaged_files_are_errors() {
    let text = config_json(&config(), &IDS);
    let path = Path::new("config.json");
    for len in 0..text.len() - 2 {
        assert!(parse_config(&text.as_bytes()[..len], path).is_err(), "cut to {len}");
    }
    let nested = format!("{{\"model_type\":{}", "[".repeat(100_000));
    for bad in [nested.as_bytes(), b"\xff\xfe{}", b"[]", b"null", b"{}"] {
        assert!(parse_config(bad, path).is_err());
    }
}
