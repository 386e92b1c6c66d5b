//! Killed at any moment, a run goes on from what it had saved, to the same end.

use crate::process::Ended;
use crate::scene::{Scene, last_saved};
use std::process::Command;
use std::time::Duration;

/// Kills of the test; nightly runs set `CRYSTALLINE_KILLS=200`, a release 2000.
fn n_kills() -> u64 {
    std::env::var("CRYSTALLINE_KILLS").ok().and_then(|s| s.parse().ok()).unwrap_or(50)
}

/// Nearly always there is a save under way.
const OFTEN: &str = "--save-every 2";

/// Longest time until a kill: some saves, and less than a whole run.
const KILL_MS_MAX: u64 = 400;

/// Milliseconds until kill number `n`: 0 to the longest, the same in every run of the test.
fn kill_ms(n: u64) -> u64 {
    let hash = blake3::hash(&n.to_le_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % (KILL_MS_MAX + 1)
}

/// Starts the command and kills it after so many milliseconds.
fn killed(mut command: Command, ms: u64) -> Ended {
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(ms));
    child.kill().unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn killed_at_random_moments_runs_come_to_the_same_end() {
    let scene = Scene::new();
    let straight = scene.straight("straight", OFTEN);
    let (mut n, mut n_inside) = (0, 0);
    for number in 0.. {
        if n >= n_kills() {
            eprintln!("{n_inside} of {n} kills left an unfinished checkpoint");
            return;
        }
        let (out, mut saved) = (format!("run-{number}"), None);
        loop {
            let ended = killed(scene.go_on(&out, OFTEN), kill_ms(n));
            n += 1;
            saved = saved.max(last_saved(&ended.stderr));
            n_inside += u64::from(scene.has_unfinished(&out));
            assert_eq!(scene.torn(&out, saved), None, "kill {n}");
            if ended.code == Some(0) {
                break;
            }
            assert_eq!(ended.code, None, "kill {n}: {}", ended.stderr);
        }
        assert!(straight == scene.end(&out), "{out}, finished after kill {n}, left something else");
    }
}

#[test]
fn another_run_is_told_apart() {
    let scene = Scene::new();
    let straight = scene.straight("straight", "");
    assert!(straight == scene.straight("again", ""));
    assert!(straight != scene.straight("seed", "--seed 2"));
    assert!(straight != scene.straight("dropout", "--dropout 0.11"));
}

#[test]
fn a_torn_and_a_lost_checkpoint_are_seen() {
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
