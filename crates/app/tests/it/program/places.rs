//! Places that a user names for output: what is there already stays as it is.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names and contents of the files of a folder.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    files.map(|entry| (name(&entry), fs::read(entry.path()).unwrap_or_default())).collect()
}

#[test]
fn a_folder_with_files_of_others_is_refused_and_untouched() {
    let scene = Scene::new();
    let dir = scene.path().join("mine");
    fs::create_dir(&dir).unwrap();
    for name in ["tokenizer.json", "metrics.jsonl", "codes.json", "train.tokens", "notes.tmp-1-2"] {
        fs::write(dir.join(name), name).unwrap();
    }
    let before = contents(&dir);
    for out in ["mine", "mine/", "./mine"] {
        let ended: Ended = scene.train(out, "").output().unwrap().into();
        assert_eq!(ended.complaint(2, &["mine", "empty folder", "--out"]), None, "{out}");
        assert_eq!(contents(&dir), before);
    }
    let ended = run(scene.path(), &["demo", "--out", "mine"]);
    assert_eq!(ended.complaint(2, &["mine", "empty folder"]), None);
    assert_eq!(contents(&dir), before);
}

#[test]
fn a_refused_training_leaves_nothing() {
    let scene = Scene::new();
    fs::create_dir(scene.path().join("empty")).unwrap();
    let before = contents(scene.path());
    // Refused before the text is read, after it was read, and after it was tokenised.
    for (out, flags) in [
        ("a/b c", "--dim 7"),
        ("a/b c", "--valid missing.txt"),
        ("a/b c", "--set vocab.n_classes=100000"),
        ("empty", "--set vocab.n_classes=100000"),
        ("empty", "--seq-len 100000"),
    ] {
        let mut args = vec!["train", "text.txt", "--out", out, "--steps", "1"];
        args.extend(flags.split(' '));
        let ended = run(scene.path(), &args);
        assert!(matches!(ended.code, Some(1 | 2)), "{flags}: {}", ended.stderr);
        assert_eq!(contents(scene.path()), before, "{flags}");
        assert_eq!(contents(&scene.path().join("empty")), BTreeMap::new(), "{flags}");
    }
}

/// Its stem is `..`, which would be the current folder.
#[test]
fn a_text_whose_name_leads_elsewhere_gets_a_run_of_its_own() {
    let scene = Scene::new();
    fs::copy(scene.path().join("text.txt"), scene.path().join("...txt")).unwrap();
    let args = "train ...txt --steps 1 --dim 16 --layers 1 --heads 1 --seq-len 16 --batch 2";
    let ended = run(scene.path(), &args.split(' ').collect::<Vec<_>>());
    ended.assert_success();
    assert_eq!(ended.stdout, "runs/run\n");
    let names: Vec<String> = contents(scene.path()).into_keys().collect();
    assert_eq!(names, ["...txt", "runs", "text.txt"]);
}

#[test]
fn existing_output_files_are_replaced_only_by_force() {
    let scene = Scene::new();
    let mine = ["my.json", "my.codes.json", "codes.json", "tokenizer.json", "stories.txt"];
    let train = |out| vec!["tokenizer", "train", "text.txt", "--vocab", "600", "--out", out];
    let data = || vec!["data", "stories", "--size", "1KB", "--out", "stories.txt"];
    for (name, args) in [
        ("my.json", train("my.json")),
        ("my.codes.json", train("my.json")),
        ("codes.json", train("tokenizer.json")),
        ("tokenizer.json", train("tokenizer.json")),
        ("stories.txt", data()),
    ] {
        fs::write(scene.path().join(name), "mine").unwrap();
        let before = contents(scene.path());
        let ended = run(scene.path(), &args);
        assert_eq!(ended.complaint(2, &[name, "exists", "--force"]), None, "{args:?}");
        assert_eq!(contents(scene.path()), before);
        run(scene.path(), &[&args[..], &["--force"]].concat()).assert_success();
        let after = contents(scene.path());
        assert!(after[name] != b"mine");
        mine.iter().for_each(|name| drop(fs::remove_file(scene.path().join(name))));
    }
    std::os::unix::fs::symlink("nowhere", scene.path().join("my.json")).unwrap();
    assert_eq!(run(scene.path(), &train("my.json")).complaint(2, &["my.json", "exists"]), None);
    fs::create_dir(scene.path().join("dir")).unwrap();
    let ended = run(scene.path(), &[&train("dir")[..], &["--force"]].concat());
    assert_eq!(ended.complaint(2, &["dir", "exists"]), None);
}
