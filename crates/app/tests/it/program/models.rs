//! Unusable runs and models: refused by name; usable checkpoints are still used.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;

#[test]
fn paths_without_a_model_are_refused_by_name() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path().join("folder")).unwrap();
    std::fs::create_dir_all(scene.path().join("begun/checkpoints")).unwrap();
    for path in ["missing", "folder", "text.txt", "begun", "/dev/null"] {
        for args in [
            &["generate", path, "Once"][..],
            &["chat", path],
            &["eval", path, "text.txt"],
            &["inspect", path],
            &["tokenizer", "show", path],
            &["similar", path, "once"],
            &["factor", path, "once"],
            &["vocab", path],
        ] {
            let complaint = run(scene.path(), args).complaint(1, &[path]);
            assert_eq!(complaint, None, "{args:?}");
        }
    }
    for path in ["missing", "folder", "text.txt", "begun"] {
        let ended = run(scene.path(), &["resume", path]);
        let parts = [path, "no run here", "give the folder"];
        assert_eq!(ended.complaint(1, &parts), None, "resume {path}");
    }
}

#[test]
fn a_run_is_not_overwritten() {
    let scene = Scene::new();
    scene.stopped("run");
    let ended: Ended = scene.train("run", "").output().unwrap().into();
    assert_eq!(ended.complaint(2, &["run: there is a run here already", "resume", "--out"]), None);
    let ended: Ended = scene.train("text.txt", "").output().unwrap().into();
    assert_eq!(ended.complaint(2, &["text.txt: is not a folder", "--out"]), None);
    let ended: Ended = scene.train("text.txt/run", "").output().unwrap().into();
    assert_eq!(ended.complaint(1, &["text.txt/run"]), None);
    scene.finish("run");
}

#[test]
fn a_changed_text_is_refused_unless_allowed() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    scene.stopped("run");
    let text = scene.path().join("text.txt");
    let longer = std::fs::read_to_string(&text).unwrap() + "And they were happy.\n";
    std::fs::write(text, longer).unwrap();
    let parts = ["text.txt: the file changed", "bytes, BLAKE3", "--allow-changed-corpus"];
    assert_eq!(run(scene.path(), &["resume", "run"]).complaint(2, &parts), None);
    run(scene.path(), &["resume", "run", "--allow-changed-corpus"]).assert_success();
    assert!(uninterrupted == scene.end("run"));
}

#[test]
fn a_damaged_checkpoint_is_skipped_for_the_previous_one() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    scene.stopped("run");
    let model =
        |step: u64| scene.checkpoints("run").join(format!("step-{step:08}/model.safetensors"));
    let mut bytes = std::fs::read(model(20)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(model(20), &bytes).unwrap();
    let ended = run(scene.path(), &["resume", "run"]);
    ended.assert_success();
    assert!(
        ended.stderr.contains("skipped checkpoint run/checkpoints/step-00000020"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("resumed   at step 15"), "{}", ended.stderr);
    assert!(uninterrupted == scene.end("run"));
}

#[test]
fn a_run_without_a_sound_checkpoint_is_refused_and_unchanged() {
    let scene = Scene::new();
    scene.stopped("run");
    for entry in std::fs::read_dir(scene.checkpoints("run")).unwrap() {
        std::fs::write(entry.unwrap().path().join("model.safetensors"), "no model").unwrap();
    }
    for args in [&["resume", "run"][..], &["generate", "run", "Once"], &["inspect", "run"]] {
        let parts = ["run/checkpoints", "step-00000020", "model.safetensors"];
        assert_eq!(run(scene.path(), args).complaint(1, &parts), None, "{args:?}");
    }
    assert!(scene.checkpoints("run").join("step-00000015").is_dir());
}

#[test]
fn damaged_files_of_a_run_are_refused_by_name() {
    let scene = Scene::new();
    scene.stopped("run");
    let cases: [(&str, &[u8], i32); 9] = [
        ("config.toml", b"[model", 2),
        ("config.toml", b"", 2),
        ("config.toml", b"\xff", 1),
        ("tokenizer.json", b"{}", 1),
        ("tokenizer.json", b"", 1),
        ("train.tokens", b"", 1),
        ("train.tokens", &[0; 4000], 1),
        ("valid.tokens", b"crystok\0", 1),
        ("corpus.json", b"[]", 1),
    ];
    for (name, contents, code) in cases {
        let path = scene.path().join("run").join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, contents).unwrap();
        let ended = run(scene.path(), &["resume", "run"]);
        assert_eq!(ended.complaint(code, &[name]), None, "{name}: {contents:?}");
        std::fs::write(&path, good).unwrap();
    }
    scene.finish("run");
}

#[test]
fn unusable_evaluation_texts_are_refused_by_name() {
    let scene = Scene::new();
    scene.stopped("run");
    std::fs::write(scene.path().join("empty.txt"), "").unwrap();
    std::fs::write(scene.path().join("bytes.txt"), b"abc\xff").unwrap();
    for (name, part) in [
        ("missing.txt", "there is no such file"),
        ("empty.txt", "the file is empty"),
        ("bytes.txt", "not UTF-8 at byte 3"),
        ("run", "this is a folder"),
    ] {
        let ended = run(scene.path(), &["eval", "run", name]);
        assert_eq!(ended.complaint(1, &[name, part]), None);
    }
}
