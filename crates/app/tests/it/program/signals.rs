//! Signals: Ctrl-C and SIGTERM stop a run cleanly; a second signal stops it at once.

use crate::program::process::{Ended, read_until, send};
use crate::program::scene::Scene;
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

/// A clean stop would finish the step, which takes seconds, and report where it stopped.
#[test]
fn a_second_signal_stops_a_run_at_once() {
    for (first, second, code) in [(Signal::INT, Signal::INT, 130), (Signal::INT, Signal::TERM, 143)]
    {
        let scene = Scene::new();
        let mut child = scene.train_slowly().spawn().unwrap();
        let (_, mut rest) = read_until(&mut child, "folder ");
        // Wait until the first step is in progress.
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
