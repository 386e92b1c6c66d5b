//! A disk that takes no more: the program says so, and what was saved before can be gone on from.

use crate::process::{Ended, program};
use crate::scene::Scene;
use std::path::Path;
use std::process::Command;

/// Bytes of a block as `ulimit -f` counts them in a POSIX shell.
const BLOCK_BYTES: u64 = 512;

/// The program in a shell that lets no file grow beyond `n_blocks`.
fn limited(folder: &Path, n_blocks: u64, args: &[&str]) -> Ended {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -f {n_blocks} && exec \"$0\" \"$@\"");
    shell.current_dir(folder).env("CI", "1");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_crystalline")]).args(args);
    shell.output().unwrap().into()
}

#[test]
fn a_checkpoint_that_cannot_be_written_fails_the_run_and_loses_nothing() {
    let scene = Scene::new();
    let straight = scene.straight("straight", "");
    scene.stopped("run");
    let optimizer = scene.checkpoints("run").join("step-00000020/optimizer.safetensors");
    let n_blocks = std::fs::metadata(optimizer).unwrap().len() / BLOCK_BYTES - 1;
    let ended = limited(scene.path(), n_blocks, &["resume", "run"]);
    assert_eq!(ended.complaint(1, &["NOT saved", "optimizer.safetensors"]), None);
    assert_eq!(scene.torn("run", Some(20)), None);
    scene.finish("run");
    assert!(straight == scene.end("run"));
}

/// From no room at all to room for the smaller files.
#[test]
fn a_run_that_cannot_be_made_leaves_none() {
    let scene = Scene::new();
    for n_blocks in [0, 1, 4, 8] {
        let ended = limited(
            scene.path(),
            n_blocks,
            &["train", "text.txt", "--out", "run", "--steps", "1", "--tokenizer", "char"],
        );
        assert_eq!(ended.complaint(1, &["run"]), None, "{n_blocks} blocks");
    }
    let ended: Ended = scene.train("run", "").output().unwrap().into();
    ended.assert_success();
}

/// A folder whose parent takes no new files, for any user: /proc.
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let scene = Scene::new();
    for out in ["/proc/run", "/dev/null/run", "text.txt/run"] {
        let ended: Ended = scene.train(out, "").output().unwrap().into();
        assert_eq!(ended.complaint(1, &[out]), None);
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    scene.stopped("run");
    let set = |mode| {
        let permissions = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(scene.path().join("run"), permissions).unwrap();
    };
    set(0o555);
    if std::fs::write(scene.path().join("run/x"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let ended: Ended = scene.go_on("run").output().unwrap().into();
    set(0o755);
    assert_eq!(ended.complaint(1, &["run", "Permission denied"]), None);
    scene.finish("run");
}

/// What reads the output may leave; what shows progress may be full.
#[test]
fn a_full_or_closed_stderr_does_not_stop_a_training() {
    let scene = Scene::new();
    let straight = scene.straight("straight", "");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = scene.train("full", "").stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(straight == scene.end("full"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = scene.train("closed", "").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(straight == scene.end("closed"));
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    let scene = Scene::new();
    scene.stopped("run");
    let commands: [&[&str]; 4] = [
        &["inspect", "run"],
        &["generate", "run", "Once", "--max-tokens", "5"],
        &["tokenizer", "encode", "run", "Once"],
        &["data", "stories", "--size", "2KB"],
    ];
    for args in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended: Ended = program(scene.path()).args(args).stdout(full).output().unwrap().into();
        assert_eq!(ended.complaint(28, &["No space left"]), None, "{args:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended: Ended = program(scene.path()).args(args).stdout(writer).output().unwrap().into();
        assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(0), "{args:?}");
    }
}
