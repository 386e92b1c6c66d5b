//! Doors for text and files: every command reads what it is given by the same rules.

use crate::program::process::{Ended, program, run};
use crate::program::scene::Scene;
use engine::checkpoint::newest;
use engine::disk::RealFs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Runs the program with `input` as standard input.
pub fn run_with_input(folder: &Path, args: &[&str], input: &[u8]) -> Ended {
    let mut child = program(folder).args(args).stdin(Stdio::piped()).spawn().unwrap();
    // A program that refuses its flags reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// A scene with a run of a word model in the folder `run`, after five steps.
pub fn word_run() -> Scene {
    let scene = Scene::new();
    let flags = "--tokenizer word --vocab 700 --head full --stop-at 5";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    scene
}

/// A copy of the run's newest checkpoint as a mere model folder, `model`.
pub fn model_folder(scene: &Scene) {
    let from = newest(&RealFs, &scene.checkpoints("run")).unwrap().path;
    let to = scene.path().join("model");
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_name() != "manifest.json" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn make_pipe(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

/// Trains two steps on `x.txt`, of which nothing is held out, into `out`; returns the model's bytes
/// and what was said.
fn trained(scene: &Scene, out: &str, text: &str, flags: &str) -> (Vec<u8>, String) {
    std::fs::write(scene.path().join("x.txt"), text).unwrap();
    let usual =
        "train x.txt --steps 2 --dim 16 --layers 1 --heads 1 --seq-len 16 --batch 2 --holdout 0";
    let mut args: Vec<&str> = usual.split(' ').chain(flags.split_whitespace()).collect();
    args.extend(["--out", out]);
    let ended = run(scene.path(), &args);
    ended.assert_success();
    let end = newest(&RealFs, &scene.checkpoints(out)).unwrap().path;
    (std::fs::read(end.join("model.safetensors")).unwrap(), ended.stderr)
}

fn story(scene: &Scene) -> String {
    std::fs::read_to_string(scene.path().join("text.txt")).unwrap()
}

#[test]
fn every_command_refuses_what_is_no_text_by_name() {
    let scene = word_run();
    make_pipe(&scene.path().join("pipe"));
    std::fs::create_dir(scene.path().join("folder")).unwrap();
    std::fs::write(scene.path().join("latin"), b"caf\xe9").unwrap();
    std::fs::write(scene.path().join("zero"), b"a = 1\0").unwrap();
    std::fs::write(scene.path().join("wide"), b"\xff\xfe\0\0a\0\0\0").unwrap();
    let commands: [(&str, i32); 5] = [
        ("tokenizer train {} --out t.json", 1),
        ("train text.txt --out new --config {}", 2),
        ("eval run {}", 1),
        ("generate run --prompt-file {}", 1),
        ("train text.txt --out new --valid {}", 1),
    ];
    let cases: [(&str, &str, bool); 7] = [
        ("/dev/zero", "/dev/zero: this is not a regular file", false),
        ("pipe", "pipe: this is not a regular file", false),
        ("folder", "folder: this is a folder", false),
        ("none", "none: there is no such file", false),
        ("latin", "latin: not UTF-8 at byte 3 (0xe9)", true),
        ("zero", "zero: zero byte at 5", true),
        ("wide", "wide: the file is UTF-32", true),
    ];
    for (command, code) in commands {
        for (name, part, is_content) in cases {
            let command = command.replace("{}", name);
            let args: Vec<&str> = command.split(' ').collect();
            let code = if is_content { code } else { 1 };
            assert_eq!(run(scene.path(), &args).complaint(code, &[part]), None, "{command}");
        }
    }
    assert!(!scene.path().join("new").exists() && !scene.path().join("t.json").exists());
}

#[test]
fn the_files_of_a_model_folder_are_opened_only_if_they_are_files() {
    let scene = word_run();
    model_folder(&scene);
    for name in ["tokenizer.json", "codes.json", "generation_config.json", "model.safetensors"] {
        let (path, kept) = (scene.path().join("model").join(name), scene.path().join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        make_pipe(&path);
        let args: &[&str] = match name {
            "codes.json" => &["vocab", "model"],
            _ => &["generate", "model", "Once"],
        };
        assert_eq!(run(scene.path(), args).complaint(1, &[name, "not a regular file"]), None);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(run(scene.path(), args).complaint(1, &[name, "not a regular file"]), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&kept, &path).unwrap();
    }
}

#[test]
fn a_hyphen_is_standard_input_in_every_command() {
    let scene = word_run();
    let text = story(&scene);
    let with = |args: &[&str], input: &str| {
        let ended = run_with_input(scene.path(), args, input.as_bytes());
        ended.assert_success();
        ended.stdout
    };
    let plain = |args: &[&str]| with(args, "");
    let steady = ["--temperature", "0", "--max-tokens", "9"];
    let generate =
        |more: &[&str], input: &str| with(&[&["generate", "run"], more, &steady].concat(), input);
    let expected = generate(&["Once upon"], "");
    assert_eq!(generate(&["-"], "Once upon\n"), expected);
    assert_eq!(generate(&["--prompt-file", "-"], "Once upon"), expected);
    std::fs::write(scene.path().join("start.txt"), "\u{feff}Once upon\r\n").unwrap();
    assert_eq!(generate(&["--prompt-file", "start.txt"], ""), expected);
    assert_eq!(with(&["eval", "run", "-"], &text), plain(&["eval", "run", "text.txt"]));
    let ids = plain(&["tokenizer", "encode", "run", "Once upon"]);
    assert_eq!(with(&["tokenizer", "encode", "run", "-"], "Once upon"), ids);
    assert_eq!(with(&["tokenizer", "decode", "run", "-"], &ids), "Once upon\n");
    let shown = plain(&["tokenizer", "show", "run", "Once"]);
    assert_eq!(with(&["tokenizer", "show", "run", "-"], "Once"), shown);
    plain(&["tokenizer", "train", "text.txt", "--out", "a.json"]);
    with(&["tokenizer", "train", "-", "--out", "b.json"], &text);
    // A pipe that a shell opened, as by <(command).
    with(&["tokenizer", "train", "/dev/stdin", "--out", "c.json"], &text);
    let read = |name: &str| std::fs::read(scene.path().join(name)).unwrap();
    assert!(read("a.json") == read("b.json") && read("a.json") == read("c.json"));
    let ended = run_with_input(scene.path(), &["train", "-", "--out", "new"], text.as_bytes());
    assert_eq!(ended.complaint(2, &["standard input", "save it to a file"]), None);
    let ended = run_with_input(scene.path(), &["tokenizer", "encode", "run", "-"], b"caf\xe9");
    assert_eq!(ended.complaint(1, &["standard input: not UTF-8 at byte 3"]), None);
}

#[test]
fn ids_that_no_token_has_are_refused_by_place() {
    let scene = word_run();
    let decode = |ids: &[&str]| run(scene.path(), &[&["tokenizer", "decode", "run"], ids].concat());
    assert_eq!(
        decode(&["5", "999999", "6"]).complaint(2, &["id 999999, number 2", "less than"]),
        None
    );
    assert_eq!(decode(&["5", "six"]).complaint(2, &["\"six\", number 2"]), None);
    decode(&["5", "6"]).assert_success();
}

#[test]
fn line_ends_of_other_systems_and_accents_apart_change_nothing() {
    let scene = Scene::new();
    let text = story(&scene).replace("the", "thé");
    for kind in ["split", "char", "word"] {
        let flags = format!("--tokenizer {kind}");
        let train = |name: &str, text: &str, flags: &str| {
            trained(&scene, &format!("{name}-{kind}"), text, flags)
        };
        let (expected, said) = train("lf", &text, &flags);
        assert!(!said.contains("line ends") && !said.contains("NFC"), "{said}");
        for (name, end) in [("crlf", "\r\n"), ("cr", "\r")] {
            let (found, said) = train(name, &text.replace('\n', end), &flags);
            assert!(found == expected, "{name} {kind}");
            let n = text.matches('\n').count();
            assert!(said.contains(&format!("{n} line ends of other systems")), "{said}");
        }
        let (found, said) = train("nfd", &text.replace('é', "e\u{301}"), &flags);
        assert!(found == expected, "nfd {kind}");
        assert!(said.contains("are read as one character each (NFC)"), "{said}");
    }
    // The rules are the run's own, in whatever reads for it later.
    let said = |args: &[&str]| {
        let ended = run(scene.path(), args);
        ended.assert_success();
        ended.stdout
    };
    let other = text.replace('\n', "\r\n").replace('é', "e\u{301}");
    std::fs::write(scene.path().join("lf.txt"), &text).unwrap();
    std::fs::write(scene.path().join("other.txt"), other).unwrap();
    assert_eq!(said(&["eval", "lf-char", "other.txt"]), said(&["eval", "lf-char", "lf.txt"]));
    assert_eq!(said(&["similar", "lf-word", "the\u{301}"]), said(&["similar", "lf-word", "thé"]));
    let keeps = "--tokenizer char --set data.line_ends=keep --set data.normal_form=keep";
    trained(&scene, "kept", &text, keeps);
    assert_ne!(said(&["eval", "kept", "other.txt"]), said(&["eval", "kept", "lf.txt"]));
}

#[test]
fn empty_files_among_others_are_left_out_and_said() {
    let scene = Scene::new();
    for name in ["a.txt", "b.txt"] {
        std::fs::write(scene.path().join(name), "").unwrap();
    }
    let train = |files: &[&str]| {
        let flags = "--out run --steps 2 --dim 16 --layers 1 --heads 1 --seq-len 16 --batch 2";
        run(scene.path(), &[&["train"], files, &flags.split(' ').collect::<Vec<_>>()].concat())
    };
    let ended = train(&["a.txt", "b.txt"]);
    assert_eq!(ended.complaint(1, &["a.txt: the file is empty"]), None);
    let ended = train(&["a.txt", "text.txt", "b.txt"]);
    ended.assert_success();
    assert!(ended.stderr.contains("left out 2 without text: a.txt, b.txt"), "{}", ended.stderr);
    run(scene.path(), &["resume", "run"]).assert_success();
    let ended = run(scene.path(), &["tokenizer", "train", "a.txt", "text.txt", "--out", "t.json"]);
    ended.assert_success();
    assert!(ended.stderr.contains("left out 1 without text: a.txt"), "{}", ended.stderr);
}

#[test]
fn a_file_of_which_too_little_is_text_is_refused_even_if_bytes_are_replaced() {
    let scene = Scene::new();
    let mut bytes = Vec::new();
    (0..4000u32).for_each(|i| bytes.push((i.wrapping_mul(2_654_435_761) >> 13) as u8));
    std::fs::write(scene.path().join("random"), bytes).unwrap();
    let args = ["train", "random", "--out", "run", "--replace-invalid-utf8"];
    assert_eq!(run(scene.path(), &args).complaint(1, &["random: ", " % of it is not UTF-8"]), None);
    let ended = run(scene.path(), &["train", "/proc/cpuinfo", "--out", "run"]);
    assert_eq!(ended.complaint(1, &["/proc/cpuinfo: the system makes this file"]), None);
    assert!(!scene.path().join("run").exists());
}
