//! Files that are read back: damage is noticed whichever way they are reached.

use crate::program::process::run;
use crate::program::scene::Scene;
use std::fs;
use std::path::Path;

/// Commands that read a model, with the words they need after it.
const READERS: [(&str, &[&str]); 7] = [
    ("generate", &["Once"]),
    ("chat", &[]),
    ("eval", &["text.txt"]),
    ("inspect", &[]),
    ("similar", &["once"]),
    ("factor", &["once"]),
    ("vocab", &[]),
];

/// Flips the lowest bit of the byte at the share `at` of a file.
fn flip(path: &Path, at: f64) {
    let mut bytes = fs::read(path).unwrap();
    let i = ((bytes.len() - 1) as f64 * at) as usize;
    bytes[i] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_command_compares_a_checkpoint_with_its_manifest() {
    let scene = Scene::new();
    scene.stopped("run");
    let step = "run/checkpoints/step-00000020";
    let files: Vec<_> = fs::read_dir(scene.path().join(step)).unwrap().collect();
    assert!(files.len() >= 7);
    for (i, file) in files.into_iter().map(Result::unwrap).enumerate() {
        let good = fs::read(file.path()).unwrap();
        flip(&file.path(), 0.9);
        let name = file.file_name().into_string().unwrap();
        // Each file under two of the commands: all of them open it by the same way.
        for (command, rest) in [READERS[i % READERS.len()], READERS[(i + 3) % READERS.len()]] {
            let args = [&[command, step], rest].concat();
            assert_eq!(run(scene.path(), &args).complaint(1, &[&name]), None, "{args:?}");
        }
        fs::write(file.path(), good).unwrap();
    }
    for (command, rest) in READERS.iter().filter(|(command, _)| *command != "chat") {
        let ended = run(scene.path(), &[&[*command, step], *rest].concat());
        let is_fine = ended.code == Some(0) || ended.stderr.contains("not a token");
        assert!(is_fine, "{command}, undamaged: {}", ended.stderr);
    }
    // Another program's manifest says nothing of these files.
    fs::write(scene.path().join(step).join("manifest.json"), "{\"name\": \"x\"}").unwrap();
    run(scene.path(), &["inspect", step]).assert_success();
}

#[test]
fn a_run_whose_files_changed_does_not_go_on() {
    let scene = Scene::new();
    let flags = "--tokenizer word --vocab 600 --set vocab.compose=true --set vocab.ngram_embed=true \
         --set vocab.ngram_min_count=2 --set vocab.ngram_rows=64";
    let ended: crate::program::process::Ended =
        scene.train("run", &format!("{flags} --stop-at 10")).output().unwrap().into();
    ended.assert_success();
    for name in [
        "tokenizer.json",
        "codes.json",
        "ngrams.bin",
        "corpus.json",
        "train.tokens",
        "valid.tokens",
    ] {
        let path = scene.path().join("run").join(name);
        let good = fs::read(&path).unwrap();
        for at in [0.2, 0.5, 0.9] {
            flip(&path, at);
            let ended = run(scene.path(), &["resume", "run"]);
            assert_eq!(ended.complaint(1, &[name, "as when the run began"]), None, "{name} {at}");
            fs::write(&path, &good).unwrap();
        }
        fs::remove_file(&path).unwrap();
        let ended = run(scene.path(), &["resume", "run"]);
        assert_eq!(ended.complaint(1, &[name, "missing"]), None, "{name} removed");
        fs::write(&path, &good).unwrap();
    }
    let tokenizer = scene.path().join("run/tokenizer.json");
    let good = fs::read_to_string(&tokenizer).unwrap();
    fs::write(&tokenizer, good.replacen("the\"", "thf\"", 1)).unwrap();
    let ended = run(scene.path(), &["tokenizer", "encode", "run", "the"]);
    assert_eq!(ended.complaint(1, &["run/tokenizer.json", "as in the checkpoints"]), None);
    fs::write(&tokenizer, good).unwrap();
    let metrics = scene.path().join("run/metrics.jsonl");
    fs::remove_file(&metrics).unwrap();
    let ended = run(scene.path(), &["resume", "run", "--stop-at", "15"]);
    ended.assert_success();
    assert!(ended.stderr.contains("metrics.jsonl has 0 rows of at least 10"), "{}", ended.stderr);
    for entry in fs::read_dir(scene.checkpoints("run")).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let ended = run(scene.path(), &["resume", "run", "--stop-at", "2"]);
    assert_eq!(ended.complaint(1, &["all checkpoints", "run/has-checkpoints"]), None);
    fs::remove_file(scene.path().join("run/has-checkpoints")).unwrap();
    let ended = run(scene.path(), &["resume", "run", "--stop-at", "2"]);
    ended.assert_success();
    assert!(ended.stderr.contains("begins again at its first step"), "{}", ended.stderr);
}

#[test]
fn settings_that_no_checkpoint_may_have_are_refused_before_anything_is_made() {
    let scene = Scene::new();
    for (flags, named) in [
        ("--set model.rope_theta=0.5", "rope_theta"),
        ("--set model.norm_eps=0.5", "norm_eps"),
        ("--set model.norm_eps=nan", "norm_eps"),
        ("--dim 7", "model_dim"),
        ("--dim 30 --heads 4", "n_heads"),
        ("--heads 0", "--heads"),
        ("--layers 513", "n_layers"),
        ("--set model.ffn_dim=3", "ffn_dim"),
        ("--set model.head_dim=3", "head_dim"),
        ("--seq-len 0", "--seq-len"),
        ("--lr nan", "train.lr"),
        ("--dropout 1", "train.dropout"),
        ("--set vocab.n_classes=0", "vocab.n_classes"),
        ("--set vocab.cutoffs=[5,3]", "cutoffs = [5, 3]"),
        ("--set vocab.ngram_rows=3", "vocab.ngram_rows"),
        ("--set vocab.compose=true --tokenizer char", "vocab.compose"),
        ("--tokenizer bpe --vocab 5", "vocab_size"),
    ] {
        let mut args = vec!["train", "no.txt", "--out", "a/run"];
        args.extend(flags.split(' '));
        // The text is not there: the settings are refused before it is looked for.
        let complaint = run(scene.path(), &args).complaint(2, &[named]);
        assert_eq!(complaint, None, "{flags}");
        assert!(!scene.path().join("a").exists(), "{flags}");
    }
}

/// The description of the manifest, followed to the letter by a reader of its own.
#[test]
fn the_checksum_covers_what_the_format_says() {
    let page = include_str!("../../../../../docs/format.md");
    assert!(page.contains("the BLAKE3 of all bytes of the file but the last 85"));
    let scene = Scene::new();
    scene.stopped("run");
    let path = scene.checkpoints("run").join("step-00000020/manifest.json");
    let bytes = fs::read(path).unwrap();
    let (covered, last) = bytes.split_at(bytes.len() - 85);
    let digits = blake3::hash(covered).to_hex();
    assert_eq!(String::from_utf8_lossy(last), format!(",\n  \"checksum\": \"{digits}\"\n}}\n"));
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["checksum"], digits.as_str());
    for file in json["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        let content = fs::read(scene.checkpoints("run").join("step-00000020").join(name)).unwrap();
        assert_eq!(file["bytes"], content.len());
        assert_eq!(file["blake3"], blake3::hash(&content).to_hex().as_str(), "{name}");
    }
    for file in json["run_files"].as_array().unwrap() {
        let content = fs::read(scene.path().join("run").join(file["name"].as_str().unwrap()));
        assert_eq!(file["blake3"], blake3::hash(&content.unwrap()).to_hex().as_str());
    }
}
