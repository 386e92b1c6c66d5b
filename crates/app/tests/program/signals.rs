//! Signals: Ctrl-C and SIGTERM stop a run in order; a second signal stops it at once.

use crate::process::{Ended, read_until, send};
use crate::scene::Scene;
use rustix::process::Signal;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

/// Sends `signal` when the program has said `part`.
fn interrupted(mut command: Command, signal: Signal, part: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let (mut stderr, mut rest) = read_until(&mut child, part);
    send(&child, signal);
    rest.read_to_string(&mut stderr).unwrap();
    let ended = child.wait_with_output().unwrap().into();
    Ended { stderr, ..ended }
}

fn assert_in_order(signal: Signal, code: i32) {
    let scene = Scene::new();
    let straight = scene.straight("straight", "");
    let mut n_interrupted = 0;
    for part in ["folder ", "step 1/", "step-00000005", "step 25  sample", "step-00000050"] {
        let out = format!("run-{}", part.trim().replace(['/', ' '], "-"));
        let ended = interrupted(scene.train(&out, ""), signal, part);
        // A run may have come to its end before the signal came to it.
        if ended.code != Some(0) {
            n_interrupted += 1;
            assert_eq!(ended.code, Some(code), "{part}: {}", ended.stderr);
            let last = ended.stderr.lines().next_back().unwrap();
            assert!(last.starts_with("stopped at step "), "{last}");
            assert!(last.ends_with(&format!("continue with `crystalline resume {out}`")), "{last}");
            assert_eq!(ended.stdout, "");
        }
        scene.finish(&out);
        assert!(straight == scene.end(&out), "interrupted at {part:?}, it left something else");
    }
    assert!(n_interrupted > 0, "no signal came in time");
}

#[test]
fn ctrl_c_ends_a_run_in_order() {
    assert_in_order(Signal::INT, 130);
}

#[test]
fn sigterm_ends_a_run_in_order() {
    assert_in_order(Signal::TERM, 143);
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

/// In order it would say where it stopped, after a step of seconds.
#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second, code) in [(Signal::INT, Signal::INT, 130), (Signal::INT, Signal::TERM, 143)]
    {
        let scene = Scene::new();
        let mut child = scene.train_slowly().spawn().unwrap();
        let (_, mut rest) = read_until(&mut child, "folder ");
        // The first step is under way.
        std::thread::sleep(Duration::from_millis(300));
        send(&child, first);
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        send(&child, second);
        let status = child.wait().unwrap();
        let elapsed = start.elapsed();
        let mut stderr = String::new();
        rest.read_to_string(&mut stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert!(!stderr.contains("stopped"), "{stderr}");
        assert!(elapsed < Duration::from_secs(2), "it took {elapsed:?}");
    }
}

#[test]
fn stop_at_ends_in_order_and_without_a_failure() {
    let scene = Scene::new();
    let straight = scene.straight("straight", "");
    let ended: Ended = scene.train("run", "--stop-at 7").output().unwrap().into();
    ended.assert_success();
    assert!(ended.stderr.contains("stopped at step 7, saved; continue with"), "{}", ended.stderr);
    let ended: Ended = scene.go_on("run", "").args(["--stop-at", "33"]).output().unwrap().into();
    ended.assert_success();
    assert!(ended.stderr.contains("stopped at step 33, saved"), "{}", ended.stderr);
    scene.finish("run");
    assert!(straight == scene.end("run"));
}
