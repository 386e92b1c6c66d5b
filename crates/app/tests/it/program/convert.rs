//! `convert` command: a factored model becomes a plain Llama that evaluates and generates; refusals.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;

/// A scene with a finished factored run in `run`.
fn scene() -> Scene {
    let scene = Scene::new();
    let flags = "--head factor --set vocab.n_classes=5 --tokenizer word --save-every 60";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    scene
}

/// The held-out loss in the line that begins with `name`.
fn loss(stderr: &str, name: &str) -> f64 {
    let line = stderr.lines().find(|line| line.starts_with(name));
    let (_, rest) = line.unwrap().split_once("held-out loss ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_factored_run_becomes_a_plain_llama() {
    let scene = scene();
    let convert = ["convert", "run", "--head", "full", "--out", "made/plain", "--steps", "30"];
    let ended = run(scene.path(), &convert);
    ended.assert_success();
    assert_eq!(ended.stdout, "made/plain\n");
    let [factored, start, full] = ["factored", "start", "full"].map(|l| loss(&ended.stderr, l));
    assert!(full < factored + 0.15, "{factored} {start} {full}");

    let config = std::fs::read(scene.path().join("made/plain/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["model_type"], "llama");
    assert_eq!(config["tie_word_embeddings"], false);
    for args in [&["generate", "made/plain", "The"][..], &["eval", "made/plain", "text.txt"]] {
        run(scene.path(), args).assert_success();
    }
    // The same from a checkpoint folder, with the text given.
    let step = scene.checkpoints("run").join("step-00000060");
    let step = step.to_str().unwrap();
    let text = ["convert", step, "--text", "text.txt", "--out", "other", "--time", "1s"];
    run(scene.path(), &text).assert_success();
}

#[test]
fn invalid_conversions_are_refused_by_name() {
    let scene = scene();
    let ended: Ended = scene.train("full", "--head full").output().unwrap().into();
    ended.assert_success();
    let step = scene.checkpoints("run").join("step-00000060");
    let step = step.to_str().unwrap();
    std::fs::write(scene.path().join("short.txt"), "A").unwrap();
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["full", "--out", "new"], 1, &["full/checkpoints", "full already"]),
        (&["text.txt", "--out", "new"], 1, &["text.txt", "no model here"]),
        (&[step, "--out", "new"], 1, &["step-00000060", "--text FILE"]),
        (&["run", "--out", "full"], 2, &["full exists already"]),
        (&["run", "--text", "none.txt", "--out", "new"], 1, &["none.txt", "no such file"]),
        (&["run", "--text", "short.txt", "--out", "new"], 2, &["give more text"]),
    ];
    for (args, code, parts) in cases {
        let ended = run(scene.path(), &[&["convert"], args].concat());
        assert_eq!(ended.complaint(code, parts), None, "{args:?}");
        assert!(!scene.path().join("new").exists(), "{args:?}");
    }
}

/// `--log-probs` prints the tokens of the same text, each with its log-probability.
#[test]
fn tokens_are_printed_with_their_log_probabilities() {
    let scene = scene();
    let args = ["generate", "run", "The", "--seed", "1", "--max-tokens", "12", "--ignore-end"];
    let lines = run(scene.path(), &[&args[..], &["--log-probs"]].concat());
    lines.assert_success();
    let rows = lines.stdout.lines().map(serde_json::from_str::<serde_json::Value>);
    let rows: Vec<_> = rows.map(Result::unwrap).collect();
    assert_eq!(rows.len(), 12);
    for row in &rows {
        assert!(row["log_p"].as_f64().unwrap() < 0.0 && row["id"].is_u64(), "{row}");
    }
    let text = run(scene.path(), &args).stdout;
    let first = rows[0]["token"].as_str().unwrap().trim();
    assert!(text.contains(first), "{first:?} is not in {text:?}");
}
