//! Output layers: the default choice of a run, and every layer under every tokeniser.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;

/// A training of two steps into the folder `out`.
fn train(scene: &Scene, out: &str, flags: &str) -> Ended {
    let usual = "train text.txt --steps 2 --dim 16 --layers 1 --heads 1 --seq-len 16 --batch 2";
    let mut args: Vec<&str> = usual.split_whitespace().collect();
    args.extend(["--holdout", "0.2", "--out", out]);
    args.extend(flags.split_whitespace());
    let ended = run(scene.path(), &args);
    ended.assert_success();
    ended
}

/// `model_type` of the run's model.
fn model_type(scene: &Scene, out: &str) -> String {
    let path = scene.checkpoints(out).join("step-00000002/config.json");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config["model_type"].as_str().unwrap().to_string()
}

#[test]
fn a_default_layer_is_chosen_and_the_plan_says_so() {
    let scene = Scene::new();
    // In a narrow model of words most of the work is in the output layer.
    for (out, flags, parts, kind) in [
        ("words", "--tokenizer word", &["output    factored", "--head full"][..], "crystalline"),
        ("full", "--tokenizer word --head full", &["output    softmax over all", "%"], "llama"),
        ("chars", "--tokenizer char", &["output    softmax over all", "%"], "llama"),
        (
            "classes",
            "--tokenizer char --set vocab.n_classes=5",
            &["factored, ", ", classes by exchange"],
            "crystalline",
        ),
        (
            "clusters",
            "--tokenizer char --set vocab.cutoffs=[9,20]",
            &["9 frequent", "2 clusters"],
            "crystalline",
        ),
        ("sample", "--tokenizer char --set vocab.n_samples=7", &["trained on 7 of them"], "llama"),
    ] {
        let ended = train(&scene, out, flags);
        let missing = parts.iter().find(|part| !ended.stderr.contains(**part));
        assert_eq!(missing, None, "{flags}: {}", ended.stderr);
        assert_eq!(model_type(&scene, out), kind, "{flags}");
    }
    // The choice is in the configuration, which reproduces the run.
    for out in ["words", "full"] {
        let again = format!("{out}-again");
        let config = format!("{out}/config.toml");
        run(scene.path(), &["train", "--config", &config, "--out", &again]).assert_success();
        assert!(scene.end(out) == scene.end(&again), "{out}");
    }
}

#[test]
fn every_layer_works_with_every_tokeniser() {
    let scene = Scene::new();
    for tokenizer in ["char", "word", "split", "bpe"] {
        for head in ["full", "factor", "adaptive", "sampled"] {
            let out = format!("{tokenizer}-{head}");
            train(&scene, &out, &format!("--tokenizer {tokenizer} --set vocab.head={head}"));
            let written = run(scene.path(), &["generate", &out, "Once", "--max-tokens", "3"]);
            written.assert_success();
            assert!(written.stdout.contains("Once"), "{out}: {}", written.stdout);
            run(scene.path(), &["eval", &out, "text.txt"]).assert_success();
        }
    }
}

#[test]
fn an_unknown_layer_is_refused_by_name() {
    let scene = Scene::new();
    let cases: [(&str, &[&str]); 4] = [
        ("--head half", &["--head", "half", "`full`, `factor`"]),
        ("--set vocab.cutoffs=[20,9]", &["head.cutoffs", "rise from 1 or more to below"]),
        ("--set vocab.cutoffs=[9,x]", &["vocab.cutoffs", "x"]),
        ("--set vocab.n_samples=1000", &["vocab.n_samples = 1000", "fewer than the vocabulary"]),
    ];
    for (flags, parts) in cases {
        let usual = ["train", "text.txt", "--tokenizer", "char", "--out", "run"];
        let args: Vec<&str> = usual.into_iter().chain(flags.split(' ')).collect();
        assert_eq!(run(scene.path(), &args).complaint(2, parts), None, "{flags}");
    }
}
