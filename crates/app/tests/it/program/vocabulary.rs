//! Vocabulary commands: codes of a run's words, similar words, and factoring of numbers.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use engine::checkpoint::{newest, parse_step_name};
use engine::disk::RealFs;
use std::path::PathBuf;

/// A run of a word model with a factored output layer, in the folder `run`, after five steps.
fn word_run() -> Scene {
    let scene = Scene::new();
    let flags = "--tokenizer word --vocab 700 --head factor --stop-at 5";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    scene
}

/// The newest checkpoint's folder.
fn checkpoint(scene: &Scene) -> PathBuf {
    newest(&RealFs, &scene.checkpoints("run")).unwrap().path
}

/// Stdout and stderr of a command that must succeed.
fn said(scene: &Scene, args: &[&str]) -> (String, String) {
    let ended = run(scene.path(), args);
    ended.assert_success();
    (ended.stdout, ended.stderr)
}

/// The integer in the line of `explained` that begins with `label`.
fn integer(explained: &str, label: &str) -> String {
    let line = explained.lines().find(|line| line.starts_with(label)).unwrap();
    line.rsplit_once(' ').unwrap().1.to_owned()
}

/// Takes the record of the run's files out of the manifests, as in those of earlier programs.
fn forget_record(checkpoints: &std::path::Path) {
    for listed in engine::checkpoint::list(&RealFs, checkpoints).unwrap() {
        let mut manifest = listed.manifest.unwrap();
        manifest.facts.run_files.clear();
        std::fs::write(listed.path.join("manifest.json"), manifest.to_bytes()).unwrap();
    }
}

#[test]
fn codes_are_stored_and_damaged_ones_are_refused_on_resume() {
    let scene = word_run();
    let codes = std::fs::read(scene.path().join("run/codes.json")).unwrap();
    assert!(codes == std::fs::read(checkpoint(&scene).join("codes.json")).unwrap());
    let manifest = newest(&RealFs, &scene.checkpoints("run")).unwrap().manifest;
    assert!(manifest.files.iter().any(|file| file.name == "codes.json"));
    for damaged in [&b"{}"[..], b"", &codes[..codes.len() / 2]] {
        std::fs::write(scene.path().join("run/codes.json"), damaged).unwrap();
        let ended = run(scene.path(), &["resume", "run"]);
        assert_eq!(ended.complaint(1, &["codes.json", "expected"]), None);
    }
    // Runs from before codes existed resume without them; nor did they record their files.
    forget_record(&scene.checkpoints("run"));
    std::fs::remove_file(scene.path().join("run/codes.json")).unwrap();
    scene.finish("run");
    assert!(!checkpoint(&scene).join("codes.json").exists());
    assert_eq!(
        parse_step_name(checkpoint(&scene).file_name().unwrap().to_str().unwrap()),
        Some(60)
    );

    scene.uninterrupted("letters", "");
    assert!(!scene.path().join("letters/codes.json").exists());
}

#[test]
fn a_word_is_found_by_its_integers() {
    let scene = word_run();
    let (vocab, _) = said(&scene, &["vocab", "run"]);
    assert!(vocab.contains("on Ulam's spiral") && vocab.contains("parts of words"), "{vocab}");
    let (class, _) = said(&scene, &["vocab", "run", "--class", "0", "--top", "20"]);
    let mut n_found = 0;
    for line in class.lines().skip(2) {
        let mut cells = line.split_whitespace();
        let (id, word) = (cells.next().unwrap(), cells.nth(1).unwrap());
        let (explained, _) = said(&scene, &["factor", "run", word, "--word"]);
        // Marks are shown escaped, and without its blank a word may be another token.
        if n_found == 3 || !explained.contains(&format!("token    {word}, id {id}\n")) {
            continue;
        }
        n_found += 1;
        assert!(explained.contains("class    0 of "), "{explained}");
        let (by_parts, _) = said(&scene, &["factor", "run", &integer(&explained, "code ")]);
        let found = by_parts.lines().find(|line| line.starts_with("code of")).unwrap();
        assert!(found.split_whitespace().any(|found| found == word), "{by_parts}");
        let (by_path, _) = said(&scene, &["factor", "run", &integer(&explained, "path ")]);
        let found = by_path.lines().find(|line| line.starts_with("path of")).unwrap();
        assert!(found.contains(&format!(" {word}, member")), "{by_path}");
    }
    assert!(n_found > 0, "{class}");
    let (not_there, _) = said(&scene, &["factor", "run", "unzoorkingly"]);
    assert!(not_there.contains("not in the vocabulary"), "{not_there}");
    let (no_code, _) = said(&scene, &["factor", "run", "12"]);
    assert!(no_code.starts_with("12 = 2^2·3\nno code"), "{no_code}");
}

#[test]
fn similar_words_are_found_by_code_and_by_embedding() {
    let scene = word_run();
    let (table, times) = said(&scene, &["similar", "run", "The"]);
    assert!(table.contains("by code: log gcd / log lcm") && table.contains("by embedding: cosine"));
    assert_eq!(table.lines().count(), 2 + 10, "{table}");
    assert!(times.contains("by code: ") && times.contains("by embedding: "), "{times}");

    let (json, _) = said(&scene, &["similar", "run", "The", "--top", "3", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let by_code = json["by_code"].as_array().unwrap();
    assert_eq!((by_code.len(), json["by_embedding"].as_array().unwrap().len()), (3, 3));
    for found in by_code {
        assert!(!found["shared"].as_array().unwrap().is_empty());
        assert!(found["id"] != json["id"]);
    }
    let similarities: Vec<f64> =
        by_code.iter().map(|f| f["similarity"].as_f64().unwrap()).collect();
    assert!(similarities.is_sorted_by(|a, b| a >= b), "{similarities:?}");

    // An unknown word is segmented into parts, and into pieces for its vector.
    let (table, times) = said(&scene, &["similar", "run", "Zoorkings"]);
    assert!(table.contains("not in the vocabulary") && table.contains("(capitalised)"), "{table}");
    assert!(times.contains("the mean of the word's"), "{times}");
    let ended = run(scene.path(), &["similar", "run", " "]);
    assert_eq!(ended.complaint(1, &["no word given"]), None);
}

#[test]
fn a_folder_without_codes_learns_them_and_one_with_others_is_refused() {
    let scene = word_run();
    let (_, with_codes) = said(&scene, &["factor", "run", "the"]);
    assert!(!with_codes.contains("codes.json"), "{with_codes}");
    let folder = scene.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(checkpoint(&scene).join(name), folder.join(name)).unwrap();
    }
    for args in [&["similar", "old", "the"][..], &["factor", "old", "the"], &["vocab", "old"]] {
        let (_, stderr) = said(&scene, args);
        assert!(stderr.contains("no codes.json in old"), "{stderr}");
    }
    std::fs::write(folder.join("codes.json"), "{}").unwrap();
    let ended = run(scene.path(), &["similar", "old", "the"]);
    assert_eq!(ended.complaint(1, &["old/codes.json", "tokenizer_blake3"]), None);
}

#[test]
fn vocabularies_without_words_or_classes_are_reported() {
    let scene = Scene::new();
    scene.uninterrupted("run", "");
    let (table, stderr) = said(&scene, &["similar", "run", "a"]);
    assert!(stderr.contains("no codes: tokens of a char vocabulary"), "{stderr}");
    assert!(table.contains("by embedding") && !table.contains("by code"), "{table}");
    let (vocab, _) = said(&scene, &["vocab", "run"]);
    assert!(vocab.contains("no classes"), "{vocab}");
    let ended = run(scene.path(), &["vocab", "run", "--class", "0"]);
    assert_eq!(ended.complaint(1, &["no classes", "--head factor"]), None);
    let ended = run(scene.path(), &["factor", "run", "horse"]);
    assert_eq!(ended.complaint(1, &["horse", "not a token of this char vocabulary"]), None);
}

#[test]
fn numbers_are_factored_without_a_model() {
    let scene = Scene::new();
    for (n, factored) in [
        ("360", "360 = 2^3·3^2·5"),
        ("1", "1 has no prime factors"),
        ("1000000014000000049", "1000000014000000049 = 1000000007^2"),
        (
            "170141183460469231731687303715884105727",
            "170141183460469231731687303715884105727 is a prime",
        ),
    ] {
        let factored = format!("{factored}\n");
        assert_eq!(said(&scene, &["factor", n]), (factored, String::new()));
    }
    let square = "340282366920938463463374607431768211297".repeat(9);
    let cases: [(&[&str], i32, &[&str]); 5] = [
        (&["factor", "horse"], 1, &["horse", "not a number", "crystalline factor runs/book horse"]),
        (&["factor", &square], 1, &["bits", "up to 128 bits"]),
        (
            &["factor", "340282366920938460843936948965011886881", "--time", "0.01s"],
            1,
            &["not found in 10.0 ms", "--time"],
        ),
        (&["factor", "12", "--word"], 2, &["WORD|N"]),
        (&["factor"], 2, &["MODEL|N"]),
    ];
    for (args, code, parts) in cases {
        assert_eq!(run(scene.path(), args).complaint(code, parts), None, "{args:?}");
    }
}

#[test]
fn tokenizer_train_writes_codes_where_tokens_are_words() {
    let scene = Scene::new();
    for (kind, has_codes) in [("split", true), ("word", true), ("char", false)] {
        let folder = scene.path().join(kind);
        std::fs::create_dir(&folder).unwrap();
        let out = format!("{kind}/tok.json");
        let args = ["tokenizer", "train", "text.txt", "--kind", kind, "--out", &out];
        let ended: Ended = run(scene.path(), &args);
        ended.assert_success();
        assert_eq!(folder.join("tok.codes.json").exists(), has_codes, "{kind}");
        assert_eq!(ended.stderr.contains("parts of words"), has_codes, "{kind}");
    }
}
