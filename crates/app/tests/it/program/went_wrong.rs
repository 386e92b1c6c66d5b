//! Runs that go wrong, and runs whose folders change: each ends with a reason, and nothing is lost.

use crate::program::process::{Ended, program, read_until, run};
use crate::program::scene::Scene;
use engine::checkpoint::{list, verify};
use engine::disk::RealFs;
use std::path::Path;
use std::process::Command;

fn train_command(scene: &Scene, flags: &str) -> Command {
    let mut command = program(scene.path());
    command.args("train text.txt --out run --dim 32 --layers 1 --tokenizer char".split(' '));
    command.args("--seq-len 16 --batch 4 --threads 1 --precision f32".split(' '));
    command.args(flags.split_whitespace());
    command
}

fn train(scene: &Scene, flags: &str) -> Ended {
    train_command(scene, flags).output().unwrap().into()
}

fn rows(scene: &Scene, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(scene.path().join("run").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_learning_rate_that_is_far_too_high_ends_with_3_and_says_what_to_do() {
    for lr in ["20", "1000", "1e30"] {
        let scene = Scene::new();
        let ended =
            train(&scene, &format!("--lr {lr} --steps 240 --eval-every 20 --save-every 20"));
        assert_eq!(ended.complaint(3, &["--lr"]), None, "--lr {lr}");
        assert!(!ended.stderr.contains("finished"), "{}", ended.stderr);
        let evals = rows(&scene, "evals.jsonl");
        let is_wrong =
            |row: &&serde_json::Value| row["is_best"] == true && row["val_loss"].is_null();
        assert_eq!(evals.iter().find(is_wrong), None, "--lr {lr}");
        for one in list(&RealFs, &scene.checkpoints("run")).unwrap() {
            verify(&RealFs, &one.path).unwrap();
        }
    }
}

#[test]
fn healthy_runs_are_not_taken_for_wrong_ones() {
    for flags in ["--steps 1", "--steps 3 --lr 0.1", "--steps 120", "--steps 60 --holdout 0"] {
        let ended = train(&Scene::new(), flags);
        ended.assert_success();
        assert!(!ended.stderr.contains("went wrong"), "{flags}: {}", ended.stderr);
    }
}

#[test]
fn a_run_that_lost_its_checkpoints_is_refused_and_keeps_its_rows() {
    let scene = Scene::new();
    scene.stopped("run");
    let (n_rows, checkpoints) = (rows(&scene, "metrics.jsonl").len(), scene.checkpoints("run"));
    std::fs::rename(&checkpoints, scene.path().join("elsewhere")).unwrap();
    for is_empty in [false, true] {
        if is_empty {
            std::fs::create_dir(&checkpoints).unwrap();
        }
        let ended = run(scene.path(), &["resume", "run"]);
        assert_eq!(ended.complaint(1, &["all checkpoints of this run are gone"]), None);
        assert_eq!(rows(&scene, "metrics.jsonl").len(), n_rows);
    }
    // As the message says.
    std::fs::remove_file(scene.path().join("run/has-checkpoints")).unwrap();
    let ended = run(scene.path(), &["resume", "run"]);
    ended.assert_success();
    assert!(ended.stderr.contains("begins again at its first step"), "{}", ended.stderr);
    assert_eq!(rows(&scene, "metrics.jsonl.1").len(), n_rows);
    assert_eq!(rows(&scene, "metrics.jsonl").len(), 60);
}

/// Files below a folder, with their contents.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_run_whose_folder_is_moved_or_replaced_stops_and_touches_nothing() {
    for with in ["nothing", "an empty folder", "the user's folder"] {
        let scene = Scene::new();
        let [dir, moved] = ["run", "moved"].map(|name| scene.path().join(name));
        let mut child = train_command(&scene, "--steps 1000000 --save-every 5").spawn().unwrap();
        let (_, mut rest) = read_until(&mut child, "saved ");
        std::fs::rename(&dir, &moved).unwrap();
        if with != "nothing" {
            std::fs::create_dir(&dir).unwrap();
        }
        if with == "the user's folder" {
            std::fs::create_dir(dir.join("checkpoints")).unwrap();
            std::fs::write(dir.join("run.lock"), "mine").unwrap();
            std::fs::write(dir.join("checkpoints/notes.txt"), "mine").unwrap();
        }
        let before = dir.exists().then(|| contents(&dir));
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut rest, &mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{with}: {stderr}");
        // A save that was under way may fail too.
        assert!(stderr.contains("no longer the folder of this run"), "{with}: {stderr}");
        assert_eq!(before, dir.exists().then(|| contents(&dir)), "{with}");
        assert_eq!(scene.torn("moved", Some(5)), None, "{with}");
    }
}

#[test]
fn a_text_is_found_from_every_folder_and_another_of_its_name_is_not_taken_for_it() {
    let scene = Scene::new();
    scene.stopped("run");
    let elsewhere = scene.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("text.txt"), "Another text.\n").unwrap();
    let resume = |stop_at: &str| run(&elsewhere, &["resume", "../run", "--stop-at", stop_at]);
    resume("25").assert_success();

    let text = scene.path().join("text.txt");
    let whole = std::fs::read_to_string(&text).unwrap();
    std::fs::write(&text, format!("{whole} More.")).unwrap();
    assert_eq!(resume("30").complaint(2, &["text.txt", "changed"]), None);
    std::fs::remove_file(&text).unwrap();
    let ended = resume("30");
    ended.assert_success();
    assert!(ended.stderr.contains("text.txt is not found"), "{}", ended.stderr);

    // The run and its text move together.
    std::fs::write(&text, whole).unwrap();
    let moved = scene.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    for name in ["run", "text.txt"] {
        std::fs::rename(scene.path().join(name), moved.join(name)).unwrap();
    }
    let ended = run(scene.path(), &["resume", "moved/run", "--stop-at", "35"]);
    ended.assert_success();
    assert!(!ended.stderr.contains("not found"), "{}", ended.stderr);
    std::fs::write(moved.join("text.txt"), "Changed.\n").unwrap();
    let ended = run(scene.path(), &["resume", "moved/run", "--stop-at", "40"]);
    assert_eq!(ended.complaint(2, &["text.txt", "changed"]), None);
}
