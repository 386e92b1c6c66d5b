//! Signals: Ctrl-C and SIGTERM stop a run cleanly; a second signal stops it at once.

use crate::program::process::{Ended, program, read_until, send};
use crate::program::scene::{Scene, last_saved};
use rustix::process::Signal;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

/// Sends `signal` once the program has printed `part`.
fn interrupted(mut command: Command, signal: Signal, part: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let (mut stderr, mut rest) = read_until(&mut child, part);
    send(&child, signal);
    rest.read_to_string(&mut stderr).unwrap();
    let ended = child.wait_with_output().unwrap().into();
    Ended { stderr, ..ended }
}

fn assert_clean_stop(signal: Signal, code: i32) {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    let mut n_interrupted = 0;
    for part in ["folder ", "step 1/", "step-00000005", "step 25  sample", "step-00000050"] {
        let out = format!("run-{}", part.trim().replace(['/', ' '], "-"));
        let ended = interrupted(scene.train(&out, ""), signal, part);
        // The run may have finished before the signal arrived.
        if ended.code != Some(0) {
            n_interrupted += 1;
            assert_eq!(ended.code, Some(code), "{part}: {}", ended.stderr);
            let last = ended.stderr.lines().next_back().unwrap();
            assert!(last.starts_with("stopped at step "), "{last}");
            assert!(last.ends_with(&format!("continue with `crystalline resume {out}`")), "{last}");
            assert_eq!(ended.stdout, "");
        }
        scene.finish(&out);
        assert!(
            uninterrupted == scene.end(&out),
            "interrupted at {part:?}, the run has another result"
        );
    }
    assert!(n_interrupted > 0, "no signal arrived in time");
}

#[test]
fn ctrl_c_stops_a_run_cleanly() {
    assert_clean_stop(Signal::INT, 130);
}

#[test]
fn sigterm_stops_a_run_cleanly() {
    assert_clean_stop(Signal::TERM, 143);
}

#[test]
fn a_signal_during_tokenisation_leaves_no_run() {
    let scene = Scene::new();
    let text = scene.path().join("text.txt");
    let long = std::fs::read_to_string(&text).unwrap().repeat(200);
    std::fs::write(&text, long).unwrap();
    let command = scene.train("run", "--tokenizer bpe --vocab 600");
    let ended = interrupted(command, Signal::INT, "learning the vocabulary: done");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped "), "{}", ended.stderr);
}

/// A long step is not finished, the speed of one not measured to the end.
#[test]
fn a_signal_is_heard_within_a_step() {
    let scene = Scene::new();
    let ended = interrupted(scene.train_slowly(&["--steps", "60"]), Signal::TERM, "folder ");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped at step 0; continue with"), "{}", ended.stderr);
    assert_eq!(scene.torn("slow", None), None);

    let scene = Scene::new();
    let measuring = scene.train_slowly(&["--time", "1h"]);
    let ended = interrupted(measuring, Signal::TERM, "encoding: done");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped before the first step"), "{}", ended.stderr);
    assert!(!scene.path().join("slow/config.toml").exists());
}

/// The last evaluation reads all of a long held-out text.
#[test]
fn a_signal_is_heard_within_the_last_evaluation() {
    let scene = Scene::new();
    let text = std::fs::read_to_string(scene.path().join("text.txt")).unwrap();
    std::fs::write(scene.path().join("valid.txt"), text.repeat(400)).unwrap();
    let flags = "train text.txt --valid valid.txt --tokenizer char --dim 16 --layers 8 --heads 2 \
        --seq-len 16 --batch 4 --steps 5 --eval-every 1 --set train.eval_tokens=64";
    for (signal, code) in [(Signal::INT, 130), (Signal::HUP, 129)] {
        let mut command = program(scene.path());
        command.args(flags.split_whitespace()).args(["--out", &format!("run-{code}")]);
        let ended = interrupted(command, signal, "step-00000005");
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopped at step 5, saved"), "{}", ended.stderr);
        let evaluations = ended.stderr.matches("held-out loss").count();
        assert_eq!(evaluations, 5, "the last evaluation is not one of them: {}", ended.stderr);
    }
}

/// The library that learns merges does not look for signals.
#[test]
fn a_signal_is_heard_while_merges_are_learnt() {
    let scene = Scene::new();
    let words: String = (0..300_000u64).map(|i| format!(" {:x}", i * 7_919_191)).collect();
    std::fs::write(scene.path().join("text.txt"), words).unwrap();
    let command = scene.train("run", "--tokenizer bpe --vocab 20000");
    let ended = interrupted(command, Signal::TERM, "learning the vocabulary: done");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped before the first step"), "{}", ended.stderr);
    assert!(!scene.path().join("run/tokenizer.json").exists());
}

/// `nohup` starts programs with the signal ignored.
#[test]
fn a_closed_terminal_is_ignored_under_nohup() {
    let scene = Scene::new();
    let train = scene.train("run", "");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(train.get_program());
    shell.args(train.get_args()).current_dir(scene.path()).env("CI", "1");
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ended = interrupted(shell, Signal::HUP, "folder ");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// The program waits for a reader of its output, and hears nothing else.
#[test]
fn a_second_signal_ends_the_program_at_once() {
    for (first, second, code) in [(Signal::INT, Signal::INT, 130), (Signal::INT, Signal::TERM, 143)]
    {
        let scene = Scene::new();
        let mut command = program(scene.path());
        command.args(["data", "stories", "--size", "10MB"]);
        let mut child = command.spawn().unwrap();
        // Until the pipe is full, and it waits for a reader.
        std::thread::sleep(Duration::from_millis(300));
        send(&child, first);
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "the first signal asks");
        let start = Instant::now();
        send(&child, second);
        let status = child.wait().unwrap();
        let elapsed = start.elapsed();
        assert_eq!(status.code(), Some(code));
        assert!(elapsed < Duration::from_secs(2), "it took {elapsed:?}");
    }
}

/// Two signals in a row, in the first step: the first save is whole, or there is none.
#[test]
fn a_second_signal_tears_nothing() {
    let scene = Scene::new();
    for part in ["step 1/", "step-00000005", "step 25  sample"] {
        let out = format!("run-{}", part.trim().replace(['/', ' '], "-"));
        let mut child = scene.train(&out, "").spawn().unwrap();
        let (mut stderr, mut rest) = read_until(&mut child, part);
        [Signal::TERM, Signal::INT].iter().for_each(|signal| send(&child, *signal));
        rest.read_to_string(&mut stderr).unwrap();
        child.wait().unwrap();
        assert_eq!(scene.torn(&out, last_saved(&stderr)), None);
    }
}

#[test]
fn stop_at_stops_cleanly_with_exit_code_0() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    let ended: Ended = scene.train("run", "--stop-at 7").output().unwrap().into();
    ended.assert_success();
    assert!(ended.stderr.contains("stopped at step 7, saved; continue with"), "{}", ended.stderr);
    let ended: Ended =
        scene.train_or_resume("run", "").args(["--stop-at", "33"]).output().unwrap().into();
    ended.assert_success();
    assert!(ended.stderr.contains("stopped at step 33, saved"), "{}", ended.stderr);
    scene.finish("run");
    assert!(uninterrupted == scene.end("run"));
}
