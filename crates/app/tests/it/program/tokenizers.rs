//! Tokenisers that are made once and used by runs, and texts that can be made again.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use std::fs;

/// Trains a run in `out`, without held-out text.
fn train(scene: &Scene, out: &str, flags: &str) -> Ended {
    scene.train(out, &format!("{flags} --steps 12 --holdout 0")).output().unwrap().into()
}

#[test]
fn a_trained_tokeniser_gives_the_run_that_trains_it_itself() {
    let scene = Scene::new();
    for (kind, vocab) in [("bpe", "400"), ("word", "600")] {
        let file = format!("{kind}.json");
        let args =
            ["tokenizer", "train", "text.txt", "--kind", kind, "--vocab", vocab, "--out", &file];
        run(scene.path(), &args).assert_success();
        let [inside, given, again] =
            ["inside", "given", "again"].map(|name| format!("{kind}-{name}"));
        train(&scene, &inside, &format!("--tokenizer {kind} --vocab {vocab}")).assert_success();
        train(&scene, &given, &format!("--tokenizer {file}")).assert_success();
        assert!(scene.end(&inside) == scene.end(&given), "{kind}");
        // The configuration reproduces the run, and a folder gives its tokeniser, too.
        let config = format!("{given}/config.toml");
        run(scene.path(), &["train", "--config", &config, "--out", &again, "--threads", "1"])
            .assert_success();
        assert!(scene.end(&again) == scene.end(&given), "{kind}");
        let of_run = format!("{kind}-of-run");
        train(&scene, &of_run, &format!("--tokenizer {given}")).assert_success();
        assert!(scene.path().join(of_run).is_dir());
    }
    // Another text, with the tokeniser of the first.
    fs::write(scene.path().join("b.txt"), "Zebras quickly jump over 17 foxes. ".repeat(40))
        .unwrap();
    let args = "train b.txt --tokenizer word.json --steps 2 --dim 16 --layers 1 --heads 1 --seq-len 16 \
         --batch 2 --out b";
    run(scene.path(), &args.split_whitespace().collect::<Vec<_>>()).assert_success();
    let config = scene.read_config("b");
    assert_eq!(config["tokenizer"]["file"].as_str(), Some("word.json"));
    run(scene.path(), &["generate", "b", "Zebras", "--seed", "1"]).assert_success();
}

#[test]
fn contradictions_to_a_given_tokeniser_are_refused_by_name() {
    let scene = Scene::new();
    let args = ["tokenizer", "train", "text.txt", "--kind", "char", "--out", "char.json"];
    run(scene.path(), &args).assert_success();
    fs::write(scene.path().join("bad.json"), "{}").unwrap();
    for (flags, code, named) in [
        ("--tokenizer char.json --vocab 7", 2, "tokenizer.vocab_size = 7"),
        ("--set tokenizer.file=char.json --set tokenizer.kind=word", 2, "tokenizer.kind = word"),
        (
            "--set tokenizer.file=char.json --set tokenizer.min_count=2",
            2,
            "tokenizer.min_count = 2",
        ),
        ("--set tokenizer.file=char.json --set tokenizer.blake3=ab", 2, "tokenizer.blake3 = ab"),
        ("--set tokenizer.blake3=ab", 2, "tokenizer.file"),
        ("--tokenizer bad.json", 1, "bad.json"),
        ("--set tokenizer.file=missing.json", 1, "missing.json"),
        ("--tokenizer char.json --set vocab.compose=true", 2, "vocab.compose"),
    ] {
        let mut args = vec!["train", "text.txt", "--out", "run", "--steps", "1"];
        args.extend(flags.split(' '));
        assert_eq!(run(scene.path(), &args).complaint(code, &[named]), None, "{flags}");
        assert!(!scene.path().join("run").exists());
    }
    let ended = run(scene.path(), &["train", "text.txt", "--tokenizer", "wordd"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("tokenizer.json"), "{}", ended.stderr);
}

#[test]
fn the_drawn_seed_is_told_and_makes_the_text_again() {
    let scene = Scene::new();
    scene.stopped("run");
    let first = run(scene.path(), &["generate", "run", "Once"]);
    first.assert_success();
    let seed = first.stderr.lines().find_map(|line| line.strip_prefix("seed ")).unwrap();
    let again = run(scene.path(), &["generate", "run", "Once", "--seed", seed]);
    assert_eq!(first.stdout, again.stdout);
    let third = run(scene.path(), &["generate", "run", "Once"]);
    assert_ne!(third.stderr, first.stderr, "drawn anew");
    for args in [
        &["generate", "run", "Once", "--seed", "3"][..],
        &["generate", "run", "--temperature", "0"],
    ] {
        let ended = run(scene.path(), args);
        assert!(!ended.stderr.contains("seed"), "{}", ended.stderr);
    }
}

#[test]
fn a_model_that_is_not_finite_is_refused_unless_allowed() {
    let scene = Scene::new();
    scene.stopped("run");
    let model = scene.path().join("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(scene.checkpoints("run").join("step-00000020")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "manifest.json" && entry.file_name() != "optimizer.safetensors" {
            fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
    }
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let n = bytes.len();
    bytes[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(path, bytes).unwrap();
    for args in [&["generate", "model", "Once"][..], &["eval", "model", "text.txt"]] {
        let parts = ["tensor model.", "holds 1 values of", "--allow-nonfinite"];
        assert_eq!(run(scene.path(), args).complaint(1, &parts), None, "{args:?}");
    }
    let args = ["eval", "model", "text.txt", "--allow-nonfinite"];
    run(scene.path(), &args).assert_success();
}
