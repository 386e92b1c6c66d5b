//! Script `check`: it tells of skipped tests, passes on failures, and hides what passing tests print.

use std::path::Path;
use std::process::{Command, Output};

/// `./check tests` with a `cargo` that prints `says` and ends with `code`.
fn check(says: &str, code: i32) -> Output {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let cargo = folder.path().join("cargo");
    let script = format!("#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n");
    std::fs::write(&cargo, script).expect("a file");
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).expect("a program");
    let path = std::env::var("PATH").expect("PATH");
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../check"))
        .arg("tests")
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .output()
        .expect("bash")
}

const SAYS: &str = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nchatter\nskipped: no data\n\n\
    successes:\n    a\n\ntest result: ok. 1 passed\n     Running tests/b.rs\ntest c ... ok\n\n\
    successes:\n\n---- c stdout ----\nskipped: no root\nskipped: no data\n\ntest result: ok. 1 passed";

#[test]
fn skipped_tests_are_counted_with_their_reasons() {
    let ended = check(SAYS, 0);
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{text}");
    let end: Vec<&str> = text.lines().rev().take(4).collect();
    assert_eq!(
        end,
        [
            "== passed 1 of 1: tests",
            "== tests skipped: 2",
            "== test skipped: no root",
            "== test skipped: no data"
        ]
    );
    assert!(text.contains("test c ... ok") && !text.contains("chatter"), "{text}");
    assert_eq!(text.matches("test result: ok").count(), 2);
}

#[test]
fn none_skipped_is_said_and_a_failure_is_passed_on() {
    let ended = check("test a ... ok\n\ntest result: ok. 1 passed", 0);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("== tests skipped: 0\n"));
    let ended = check("failures:\n\n---- a stdout ----\nwhy\n\ntest result: FAILED", 101);
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(!ended.status.success() && text.contains("why"), "{text}");
    assert!(!text.contains("== passed"), "{text}");
}
