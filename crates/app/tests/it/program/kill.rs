//! Killed runs: after a kill at any moment a run resumes from its checkpoint, with the same result.

use crate::program::process::Ended;
use crate::program::scene::{Scene, last_saved};
use std::process::Command;
use std::time::{Duration, Instant};

/// Number of kills; nightly runs set `CRYSTALLINE_KILLS=200`, a release 2000.
fn n_kills_wanted() -> u64 {
    std::env::var("CRYSTALLINE_KILLS").ok().and_then(|s| s.parse().ok()).unwrap_or(50)
}

/// Saves so often that many kills interrupt one.
const OFTEN: &str = "--save-every 4";

/// Time until kill number `n`, as a share of the longest; the same in every run of the test.
fn share(n: u32) -> f64 {
    let hash = blake3::hash(&n.to_le_bytes());
    f64::from(hash.as_bytes()[0]) / 255.0
}

/// Starts the command and kills it after this time, if it is still running.
fn killed(mut command: Command, after: Duration) -> Ended {
    let mut child = command.spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn runs_killed_at_random_moments_end_the_same() {
    let scene = Scene::new();
    let start = Instant::now();
    let uninterrupted = scene.uninterrupted("uninterrupted", OFTEN);
    // Time for some saves, but not for a whole run.
    let longest = start.elapsed() / 3;
    let (mut n_starts, mut n_kills, mut n_inside) = (0, 0, 0);
    for number in 0.. {
        if n_kills >= n_kills_wanted() {
            eprintln!("{n_inside} of {n_kills} kills left an unfinished checkpoint");
            return;
        }
        let (out, mut saved) = (format!("run-{number}"), None);
        loop {
            let mut command = scene.train_or_resume(&out, OFTEN);
            let ended = if n_kills < n_kills_wanted() {
                killed(command, longest.mul_f64(share(n_starts)))
            } else {
                command.output().unwrap().into()
            };
            n_starts += 1;
            saved = saved.max(last_saved(&ended.stderr));
            assert_eq!(scene.torn(&out, saved), None, "start {n_starts}");
            if ended.code == Some(0) {
                break;
            }
            assert_eq!(ended.code, None, "start {n_starts}: {}", ended.stderr);
            n_kills += 1;
            n_inside += u64::from(scene.has_unfinished(&out));
        }
        assert!(uninterrupted == scene.end(&out), "{out}, killed and resumed, has another result");
    }
}

#[test]
fn a_different_run_is_detected() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    assert!(uninterrupted == scene.uninterrupted("again", ""));
    assert!(uninterrupted != scene.uninterrupted("seed", "--seed 2"));
    assert!(uninterrupted != scene.uninterrupted("dropout", "--dropout 0.11"));
}

#[test]
fn a_torn_or_lost_checkpoint_is_detected() {
    let scene = Scene::new();
    scene.stopped("run");
    assert_eq!(scene.torn("run", Some(20)), None);
    let complaint = scene.torn("run", Some(25)).unwrap();
    assert!(complaint.contains("was saved"), "{complaint}");
    let file = scene.checkpoints("run").join("step-00000020/optimizer.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let complaint = scene.torn("run", Some(20)).unwrap();
    assert!(complaint.contains("optimizer.safetensors"), "{complaint}");
    assert_eq!(last_saved("saved     run/checkpoints/step-00000020\nsaved nothing"), Some(20));
}
