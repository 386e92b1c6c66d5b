//! N-gram models, with rows of n-grams in their input vectors: training, resuming, generation.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use std::path::{Path, PathBuf};

/// A run in `out` that stops cleanly after step 5.
fn stopped(scene: &Scene, out: &str, flags: &str) -> Ended {
    let ended: Ended = scene.train(out, &format!("{flags} --stop-at 5")).output().unwrap().into();
    ended.assert_success();
    ended
}

/// The checkpoint of such a run, moved out of the run folder: a model folder.
fn moved(scene: &Scene, out: &str) -> PathBuf {
    let folder = scene.path().join(format!("{out}-moved"));
    std::fs::rename(scene.checkpoints(out).join("step-00000005"), &folder).unwrap();
    folder
}

/// Bits per byte of the scene's text.
fn measure(scene: &Scene, model: &str) -> f64 {
    let ended = run(scene.path(), &["eval", model, "text.txt", "--json"]);
    ended.assert_success();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    report["bits_per_byte"].as_f64().unwrap()
}

fn write(scene: &Scene, model: &str) {
    let ended = run(scene.path(), &["generate", model, "Once", "--max-tokens", "9"]);
    ended.assert_success();
    assert!(ended.stdout.starts_with("Once"), "{model}: {}", ended.stdout);
}

#[test]
fn ngram_models_are_trained_resumed_evaluated_and_generate() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "--set vocab.ngram_embed=true");
    let ended = stopped(&scene, "run", "--set vocab.ngram_embed=true");
    assert!(ended.stderr.contains("rows of n-grams seen 8 times"), "{}", ended.stderr);
    scene.finish("run");
    assert!(scene.end("run") == uninterrupted, "the resumed run has another result");
    // The configuration alone reproduces the run.
    let again = ["train", "--config", "run/config.toml", "--out", "again"];
    run(scene.path(), &again).assert_success();
    assert!(scene.end("again") == uninterrupted, "the configuration gives another result");

    let shown = run(scene.path(), &["inspect", "run"]).stdout;
    for part in ["n-grams of 2 tokens hashed to 997 rows", "3 tokens", "model.embed_ngrams.weight"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let plain = scene.uninterrupted("plain", "");
    assert!(plain != uninterrupted, "n-grams have no effect");
    assert!(
        measure(&scene, "run") < measure(&scene, "plain"),
        "n-grams fit the training text better"
    );
    write(&scene, "run");
}

#[test]
fn every_output_layer_and_composed_vectors_support_ngrams() {
    let scene = Scene::new();
    let heads = ["full", "factor", "adaptive", "sampled"];
    let flags = heads.map(|head| {
        format!("--tokenizer word --vocab 400 --set vocab.head={head} --set vocab.ngram_embed=true")
    });
    let composed =
        "--tokenizer word --vocab 400 --set vocab.compose=true --set vocab.ngram_min_count=1"
            .to_string();
    for (i, flags) in flags.into_iter().chain([composed]).enumerate() {
        let out = format!("run-{i}");
        let ended = stopped(&scene, &out, &flags);
        assert!(ended.stderr.contains("only this program reads such a model"), "{}", ended.stderr);
        write(&scene, &out);
        measure(&scene, &out);
    }
}

/// Runs and models without n-grams have the format from before n-grams existed.
#[test]
fn a_model_without_ngrams_stores_nothing_of_them() {
    let scene = Scene::new();
    stopped(&scene, "run", "");
    for path in ["run/config.toml", "run/checkpoints/step-00000005/config.json"] {
        let text = std::fs::read_to_string(scene.path().join(path)).unwrap();
        assert!(!text.contains("ngram"), "{path}: {text}");
    }
    for folder in ["run", "run/checkpoints/step-00000005"] {
        assert!(!scene.path().join(folder).join("ngrams.bin").exists(), "{folder}");
    }
    scene.finish("run");
    write(&scene, "run");
}

#[test]
fn a_missing_or_damaged_list_is_named() {
    let scene = Scene::new();
    stopped(&scene, "run", "--set vocab.ngram_embed=true");
    let model = moved(&scene, "run");
    write(&scene, "run-moved");
    std::fs::remove_file(scene.path().join("run/has-checkpoints")).unwrap();
    let of_run = scene.path().join("run/ngrams.bin");
    // With a manifest, its checksums tell first; a model folder without one has this file's own.
    std::fs::remove_file(model.join("manifest.json")).unwrap();
    let list = |folder: &Path| folder.join("ngrams.bin");
    let commands: [(&[&str], PathBuf); 2] =
        [(&["generate", "run-moved", "Once"], list(&model)), (&["resume", "run"], of_run)];
    for (args, list) in commands {
        let whole = std::fs::read(&list).unwrap();
        let mut flipped = whole.clone();
        flipped[99] ^= 1;
        for (bytes, part) in [
            (Some(&whole[..whole.len() - 1]), "hashes, expected 8 bytes each"),
            (Some(&flipped), "another checksum"),
            (Some(&[]), "0 bytes"),
            (None, "not there"),
        ] {
            match bytes {
                Some(bytes) => std::fs::write(&list, bytes).unwrap(),
                None => std::fs::remove_file(&list).unwrap(),
            }
            let ended = run(scene.path(), args);
            assert_eq!(ended.complaint(1, &["ngrams.bin", part, "copy it"]), None, "{args:?}");
        }
        std::fs::write(&list, whole).unwrap();
    }
    scene.finish("run");
}

#[test]
fn impossible_ngram_settings_are_refused_by_name() {
    let scene = Scene::new();
    let ended: Ended = scene.train("run", "--set vocab.ngram_min_count=0").output().unwrap().into();
    assert_eq!(ended.complaint(2, &["vocab.ngram_min_count = 0", "at least 1"]), None);
    std::fs::write(scene.path().join("few.toml"), "[vocab]\nngram_rows = 4").unwrap();
    let ended: Ended = scene.train("run", "--config few.toml").output().unwrap().into();
    assert_eq!(ended.complaint(2, &["vocab.ngram_rows = 4", "64 to"]), None);
    let flags = "--tokenizer word --vocab 400 --head factor --set vocab.ngram_embed=true";
    stopped(&scene, "run", flags);
    let ended = run(scene.path(), &["convert", "run", "--out", "new"]);
    assert_eq!(ended.complaint(1, &["rows of n-grams", "no plain model"]), None);
}
