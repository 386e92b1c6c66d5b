//! Composed models, whose input vectors come from parts of words: training, evaluation, generation.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use serde_json::Value;

#[test]
fn a_composed_model_is_trained_evaluated_and_generates() {
    let scene = Scene::new();
    let flags = "--tokenizer word --vocab 400 --set vocab.compose=true";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    let shown = run(scene.path(), &["inspect", "run"]);
    assert!(shown.stdout.contains("input vectors composed"), "{}", shown.stdout);
    assert!(shown.stdout.contains("model.embed_parts.weight"), "{}", shown.stdout);
    // A new word, before and after known words.
    let written = run(scene.path(), &["generate", "run", "Once unfoxlike", "--max-tokens", "9"]);
    written.assert_success();
    assert!(written.stdout.starts_with("Once unfoxlike"), "{}", written.stdout);

    std::fs::write(scene.path().join("new.txt"), "The unfoxlike foxling outfoxed a fox.").unwrap();
    let measure = |text: &str, below: &str| -> Value {
        let args = ["eval", "run", text, "--rare-below", below, "--json"];
        let ended = run(scene.path(), &args);
        ended.assert_success();
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let (old, new) = (measure("text.txt", "3"), measure("new.txt", "1"));
    for report in [&old, &new] {
        let (all, rare) = (report["tokens"].as_u64(), report["rare"]["tokens"].as_u64());
        assert!(Some(0) < rare && rare < all, "{report}");
        let loss = |of: &Value| of["loss_nats"].as_f64().unwrap();
        assert!(loss(&report["rare"]) > loss(report), "rare words are harder: {report}");
    }
    assert_eq!(measure("text.txt", "0")["rare"]["tokens"], 0);
}

#[test]
fn missing_files_of_a_composed_model_are_named() {
    let scene = Scene::new();
    let ended: Ended = scene.train("char", "--set vocab.compose=true").output().unwrap().into();
    assert_eq!(ended.complaint(2, &["vocab.compose", "characters have no parts"]), None);
    let flags = "--tokenizer word --vocab 400 --set vocab.compose=true --stop-at 5";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    let checkpoint = scene.checkpoints("run").join("step-00000005");
    let moved = scene.path().join("moved");
    std::fs::rename(checkpoint, &moved).unwrap();
    run(scene.path(), &["eval", "moved", "text.txt"]).assert_success();
    let ended = run(scene.path(), &["eval", "moved", "text.txt", "--rare-below", "2"]);
    assert_eq!(ended.complaint(1, &["moved", "needs the run"]), None);
    std::fs::remove_file(moved.join("codes.json")).unwrap();
    let ended = run(scene.path(), &["generate", "moved", "Once"]);
    assert_eq!(ended.complaint(1, &["moved/codes.json", "No such file"]), None);
    std::fs::remove_file(moved.join("manifest.json")).unwrap(); // it would be missed as before
    let ended = run(scene.path(), &["generate", "moved", "Once"]);
    assert_eq!(ended.complaint(1, &["moved/codes.json", "no such file"]), None);
}
