//! Fuzz targets: a run of each, and a check that each catches planted errors.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use fuzz::{Failure, Parse, RunLimits, TARGETS, Target, run, valid_files};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds per target, unless `CRYSTALLINE_FUZZ_SECONDS` is set.
const SECONDS: u64 = 12;

/// Input files are named after their target and memory is that of the process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs every target; `CRYSTALLINE_FUZZ_SEED` selects another stream of inputs.
#[test]
#[ignore = "takes a minute: ./check fuzz"]
fn no_input_panics_or_exceeds_time_or_memory() {
    let _guard = alone();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("CRYSTALLINE_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = number("CRYSTALLINE_FUZZ_SEED").unwrap_or(1);
    let mut failures = Vec::new();
    for target in TARGETS {
        let name = target.name;
        println!("{name}: inputs are in {}/{name}.input", folder().display());
        match run(target, seed, RunLimits::of(Duration::from_secs(seconds)), &folder()) {
            Ok(counts) => println!("{name}: {counts:?} in {seconds} s"),
            Err(failure) => failures.push(format!("{name}: {failure}")),
        }
    }
    assert!(failures.is_empty(), "CRYSTALLINE_FUZZ_SEED={seed}\n{}", failures.join("\n"));
}

#[test]
fn valid_files_are_accepted_before_and_after_checksum_repair() {
    let _guard = alone();
    for target in TARGETS {
        let files = valid_files(target.name).unwrap();
        assert!(!files.is_empty(), "{}", target.name);
        for bytes in files {
            let mut repaired = bytes.clone();
            (target.repair)(&mut repaired);
            assert_eq!(bytes, repaired, "{}: repair changes a valid file", target.name);
            let path = folder().join(format!("{}.valid", target.name));
            std::fs::write(&path, &bytes).unwrap();
            assert!((target.parse)(&path, &bytes), "{}", target.name);
        }
    }
}

/// A parser with an error planted on the inputs that the target accepts, or on those that it refuses.
fn planted<const I: usize, const ACCEPTED: bool>(path: &Path, bytes: &[u8]) -> bool {
    let is_accepted = (TARGETS[I].parse)(path, bytes);
    assert!(is_accepted != ACCEPTED || !is_changed(I, bytes), "planted");
    is_accepted
}

fn is_changed(i: usize, bytes: &[u8]) -> bool {
    !valid_files(TARGETS[i].name).unwrap().iter().any(|valid| valid == bytes)
}

/// Mutations reach both outcomes of every parser: a panic in either is found.
#[test]
fn a_panic_planted_in_each_parser_is_caught() {
    let _guard = alone();
    let limits = RunLimits { input_bytes: u64::MAX, ..RunLimits::of(Duration::from_secs(20)) };
    let parsers: [[Parse; 2]; 5] = [
        [planted::<0, false>, planted::<0, true>],
        [planted::<1, false>, planted::<1, true>],
        [planted::<2, false>, planted::<2, true>],
        [planted::<3, false>, planted::<3, true>],
        [planted::<4, false>, planted::<4, true>],
    ];
    for (target, parsers) in TARGETS.into_iter().zip(parsers) {
        for parse in parsers {
            let found = run(Target { parse, ..target }, 1, limits, &folder());
            assert!(matches!(found, Err(Failure::Panic(_))), "{}: {found:?}", target.name);
        }
    }
}

#[test]
fn planted_waits_and_allocations_are_caught() {
    let _guard = alone();
    let limits = RunLimits::of(Duration::from_secs(20));
    let slow = |_: &Path, _: &[u8]| {
        std::thread::sleep(Duration::from_millis(1100));
        true
    };
    let found = run(Target { parse: slow, ..TARGETS[0] }, 1, limits, &folder());
    assert!(matches!(found, Err(Failure::Slow(..))), "{found:?}");
    if cfg!(target_os = "linux") {
        let large = |_: &Path, _: &[u8]| vec![1u8; 300 << 20].iter().all(|byte| *byte == 1);
        let found = run(Target { parse: large, ..TARGETS[0] }, 1, limits, &folder());
        assert!(matches!(found, Err(Failure::Memory(..))), "{found:?}");
    }
}
