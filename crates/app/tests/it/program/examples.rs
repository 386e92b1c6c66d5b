//! Examples: every command in a help text runs as it stands there, but for what takes long.

use crate::program::process::{Ended, program, run};
use crate::program::scene::Scene;
use std::path::Path;
use text::stories;

/// All commands that show examples.
const COMMANDS: [&[&str]; 15] = [
    &[],
    &["train"],
    &["resume"],
    &["generate"],
    &["chat"],
    &["eval"],
    &["convert"],
    &["inspect"],
    &["vocab"],
    &["similar"],
    &["factor"],
    &["tokenizer"],
    &["data", "stories"],
    &["demo"],
    &["bench"],
];

/// The examples in a command's help, without the comments beside them.
fn examples(folder: &Path, command: &[&str]) -> Vec<String> {
    let help = run(folder, &[command, &["--help"]].concat());
    help.assert_success();
    let lines = help.stdout.lines().map(str::trim).filter(|line| line.contains("crystalline "));
    let lines = lines.filter(|line| line.starts_with("crystalline ") || line.starts_with("echo "));
    lines.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
}

/// The same with a tiny model and a small text, so that it takes a moment.
fn shortened(example: &str) -> String {
    // Without `--time` and its value.
    let mut words: Vec<&str> = example.split(' ').collect();
    if let Some(at) = words.iter().position(|word| *word == "--time") {
        words.drain(at..at + 2);
    }
    let mut short = words.join(" ");
    if short.starts_with("crystalline train ") {
        short += " --steps 2 --dim 16 --layers 1 --seq-len 16 --batch 2";
    }
    if short.starts_with("crystalline convert ") {
        short += " --steps 1";
    }
    short.replace("50MB", "50KB").replace("step-00001000", "step-00000002")
}

#[test]
fn every_example_in_a_help_text_runs() {
    let scene = Scene::new();
    let story: Vec<String> = stories::generate(5).take(60).collect();
    for name in ["book.txt", "a.txt", "b.txt", "other.txt", "start.txt"] {
        std::fs::write(scene.path().join(name), story.join("\n")).unwrap();
    }
    let train = "train book.txt --tokenizer word --head factor --out runs/book --steps 2 --dim 16 \
                 --layers 1 --seq-len 16 --batch 2";
    run(scene.path(), &train.split_whitespace().collect::<Vec<_>>()).assert_success();
    let binary = Path::new(env!("CARGO_BIN_EXE_crystalline"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut n_run = 0;
    for command in COMMANDS {
        let found = examples(scene.path(), command);
        assert!(found.len() >= 2 || command == ["bench"], "{command:?}: {found:?}");
        for example in found.into_iter().filter(|example| !example.contains("crystalline demo")) {
            let short = shortened(&example);
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &short]).current_dir(scene.path()).env("PATH", &path);
            shell.env("CI", "1").stdin(std::process::Stdio::null());
            let ended: Ended = shell.output().unwrap().into();
            assert_eq!(ended.code, Some(0), "{short}: {}", ended.stderr);
            assert!(!ended.stdout.contains("not in the vocabulary") || short.contains("unheardof"));
            let out = short.split("--out ").nth(1).and_then(|rest| rest.split(' ').next());
            let folder = scene.path().join(out.unwrap_or("nothing"));
            let _ = std::fs::remove_dir_all(folder);
            n_run += 1;
        }
    }
    assert!(n_run >= 24, "{n_run}");
}

#[test]
fn nothing_and_unknown_words_get_help() {
    let scene = Scene::new();
    let ended: Ended = program(scene.path()).output().unwrap().into();
    assert!(ended.stderr.contains("crystalline demo") && ended.stderr.contains("Usage:"));
    assert!(ended.stderr.lines().count() < 45, "{}", ended.stderr);
    let help = run(scene.path(), &["help", "train"]);
    help.assert_success();
    assert_eq!(help.stdout, run(scene.path(), &["train", "--help"]).stdout);
    for (args, part) in [
        (&["trian", "a.txt"][..], "'train'"),
        (&["generate", "run", "--temprature", "1"], "'--temperature'"),
        (&["train", "a.txt", "--classes", "9"], "--set vocab.n_classes=N"),
        (&["train", "a.txt", "--classes=9"], "--set vocab.n_classes=N"),
        (&["tokenizer", "trian", "a.txt"], "'train'"),
    ] {
        assert_eq!(run(scene.path(), args).complaint(2, &[part]), None, "{args:?}");
    }
}
