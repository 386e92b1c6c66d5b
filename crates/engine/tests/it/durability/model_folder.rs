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

fn ids() -> TokenIds {
    TokenIds { eos: vec![2], ..TokenIds::default() }
}

fn parse(json: &Value) -> Result<(ModelConfig, TokenIds), LoadError> {
    parse_config(json.to_string().as_bytes(), Path::new("model/config.json"))
}

fn written(config: &ModelConfig) -> Value {
    serde_json::from_str(&config_json(config, &ids())).unwrap()
}

#[test]
fn written_configurations_are_read_back() {
    for (qk_norm, tie_embeddings) in [(false, true), (true, false)] {
        let config = ModelConfig { qk_norm, tie_embeddings, ..config() };
        assert_eq!(parse(&written(&config)).unwrap(), (config, ids()));
    }
}

/// Other programs must not load a model as a Llama if they would compute wrong input vectors.
#[test]
fn a_model_of_composed_vectors_has_a_type_of_its_own() {
    let config = ModelConfig { n_parts: 300, ..config() };
    let json = written(&config);
    assert_eq!((&json["model_type"], &json["n_parts"]), (&json!("crystalline"), &json!(300)));
    assert_eq!(parse(&json).unwrap(), (config, ids()));
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
    let generation: Value = serde_json::from_str(&generation_config_json(&ids())).unwrap();
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
    assert_eq!((ids.bos, ids.eos, ids.pad), (Some(1), vec![7, 8], None));
    assert!(!config.tie_embeddings);
}

/// What a config leaves out has the value that transformers gives it for this type of model.
#[test]
fn fields_that_are_left_out_have_the_defaults_of_the_type() {
    let only = |model_type: &str| {
        json!({
            "model_type": model_type, "vocab_size": 1000, "hidden_size": 512,
            "num_hidden_layers": 2, "num_attention_heads": 32, "intermediate_size": 128,
        })
    };
    let (llama, ids) = parse(&only("llama")).unwrap();
    assert_eq!((llama.head_dim, llama.n_kv_heads, llama.seq_len), (16, 32, 2048));
    assert_eq!((ids.bos, ids.eos, ids.pad), (Some(1), vec![2], None));
    let (qwen3, ids) = parse(&only("qwen3")).unwrap();
    assert_eq!((qwen3.head_dim, qwen3.n_kv_heads, qwen3.seq_len), (128, 32, 32_768));
    assert_eq!((ids.bos, ids.eos, ids.pad), (None, vec![], None));
    for config in [llama, qwen3] {
        assert_eq!((config.rope_theta, config.norm_eps), (10_000.0, 1e-6));
        assert!(!config.tie_embeddings);
    }
    // Qwen3's number is fixed if left out; null means one for each query head.
    let mut json = only("qwen3");
    json["num_attention_heads"] = json!(64);
    assert_eq!(parse(&json).unwrap().0.n_kv_heads, 32);
    json["num_key_value_heads"] = Value::Null;
    assert_eq!(parse(&json).unwrap().0.n_kv_heads, 64);
    let mut json = only("llama");
    (json["bos_token_id"], json["eos_token_id"]) = (Value::Null, Value::Null);
    let ids = parse(&json).unwrap().1;
    assert_eq!((ids.bos, ids.eos), (None, vec![]));
}

#[test]
fn the_base_of_the_rotary_frequencies_is_found_wherever_it_is() {
    let places = [
        json!({"rope_theta": 5e5}),
        json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
        json!({"rope_scaling": {"rope_type": "default", "rope_theta": 5e5}}),
        json!({"rope_theta": 5e5, "rope_parameters": {"rope_theta": 5e5}}),
    ];
    let with = |fields: &Value| {
        let mut json = written(&config());
        let all = json.as_object_mut().unwrap();
        all.retain(|name, _| !name.starts_with("rope"));
        all.extend(fields.as_object().unwrap().clone());
        parse(&json)
    };
    for fields in places {
        assert_eq!(with(&fields).unwrap().0.rope_theta, 5e5, "{fields}");
    }
    let two = json!({"rope_theta": 1e4, "rope_scaling": {"type": "default", "rope_theta": 5e5}});
    let error = with(&two).unwrap_err();
    assert!(matches!(&error, LoadError::Damaged { field, .. } if field == "rope_theta"), "{error}");
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
        ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5})),
        ("layer_types", json!(["full_attention", "sliding_attention"])),
        ("sliding_window", json!(128)),
        ("attention_multiplier", json!(0.015625)),
        ("embedding_multiplier", json!(12.0)),
        ("residual_multiplier", json!(0.22)),
        ("logits_scaling", json!(8)),
        ("logit_scale", json!(0.0625)),
        ("final_logit_softcapping", json!(30.0)),
        ("clip_qkv", json!(8.0)),
        ("no_rope_layers", json!([1, 1, 1, 0])),
        ("use_qk_norm", json!(true)),
        ("qk_norm", json!(true)),
        ("num_local_experts", json!(8)),
        ("n_parts", json!(7)),
        ("head", json!({"kind": "adaptive", "cutoffs": [100, 2000]})),
        ("ngrams", json!([{"n": 2, "n_rows": 97}])),
        ("position_embedding_type", json!("alibi")),
        ("is_encoder_decoder", json!(true)),
    ];
    for (field, value) in unsupported {
        let mut json = written(&config());
        json[field] = value.clone();
        let error = parse(&json).unwrap_err();
        let is_named = matches!(&error, LoadError::Unsupported { field: f, .. } if f == field);
        assert!(is_named, "{field} = {value}: {error}");
    }
    let mut qwen3 = written(&ModelConfig { qk_norm: true, ..config() });
    qwen3["use_qk_norm"] = json!(false);
    assert!(matches!(parse(&qwen3), Err(LoadError::Unsupported { .. })));
}

/// The same fields at values that leave the computation as it is.
#[test]
fn a_foreign_field_that_changes_nothing_is_ignored() {
    let neutral = [
        ("partial_rotary_factor", json!(1)),
        ("layer_types", json!(["full_attention", "full_attention"])),
        ("sliding_window", json!(256)),
        ("residual_multiplier", json!(1.0)),
        ("final_logit_softcapping", Value::Null),
        ("use_qk_norm", json!(false)),
        ("num_local_experts", json!(0)),
        ("position_embedding_type", json!("rope")),
        ("pretraining_tp", json!(1)),
    ];
    for (field, value) in neutral {
        let mut json = written(&config());
        json[field] = value.clone();
        assert_eq!(parse(&json).unwrap(), (config(), ids()), "{field} = {value}");
    }
    // A Qwen3 names a window that it does not use.
    let qwen3 = ModelConfig { qk_norm: true, ..config() };
    let mut json = written(&qwen3);
    (json["sliding_window"], json["max_window_layers"]) = (json!(128), json!(2));
    assert_eq!(parse(&json).unwrap(), (qwen3, ids()));
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
    let text = config_json(&config(), &ids());
    let path = Path::new("config.json");
    for len in 0..text.len() - 2 {
        assert!(parse_config(&text.as_bytes()[..len], path).is_err(), "cut to {len}");
    }
    let nested = format!("{{\"model_type\":{}", "[".repeat(100_000));
    for bad in [nested.as_bytes(), b"\xff\xfe{}", b"[]", b"null", b"{}"] {
        assert!(parse_config(bad, path).is_err());
    }
}
