//! Full disks: the program reports the error, and a run resumes from its earlier checkpoints.

use crate::program::process::{Ended, program, unprivileged};
use crate::program::scene::Scene;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Bytes of a block as `ulimit -f` counts them in a POSIX shell.
const BLOCK_BYTES: u64 = 512;

/// Runs the program in a shell that limits files to `n_blocks`.
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
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    scene.stopped("run");
    let optimizer = scene.checkpoints("run").join("step-00000020/optimizer.safetensors");
    let n_blocks = std::fs::metadata(optimizer).unwrap().len() / BLOCK_BYTES - 1;
    let ended = limited(scene.path(), n_blocks, &["resume", "run"]);
    assert_eq!(ended.complaint(28, &["NOT saved", "optimizer.safetensors"]), None);
    assert_eq!(scene.torn("run", Some(20)), None);
    scene.finish("run");
    assert!(uninterrupted == scene.end("run"));
}

/// File size limits from 0 up to the size of the smaller files.
#[test]
fn a_run_that_cannot_be_created_leaves_none() {
    let scene = Scene::new();
    for n_blocks in [0, 1, 4, 8] {
        let ended = limited(
            scene.path(),
            n_blocks,
            &["train", "text.txt", "--out", "run", "--steps", "1", "--tokenizer", "char"],
        );
        assert_eq!(ended.complaint(28, &["run"]), None, "{n_blocks} blocks");
    }
    let ended: Ended = scene.train("run", "").output().unwrap().into();
    ended.assert_success();
}

/// In /proc, no user can create a folder.
#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let scene = Scene::new();
    for out in ["/proc/run", "/dev/null/run", "text.txt/run"] {
        let ended: Ended = scene.train(out, "").output().unwrap().into();
        assert_eq!(ended.complaint(1, &[out]), None);
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let scene = Scene::new();
    scene.stopped("run");
    let train = scene.train("new", "");
    if let Some(ended) = unprivileged(scene.path(), train) {
        assert_eq!(ended.complaint(1, &["new", "Permission denied"]), None);
    }
    // A user without write permission for the run folder cannot resume it.
    let run = scene.path().join("run");
    std::fs::set_permissions(scene.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(run.join("run.lock"), PermissionsExt::from_mode(0o444)).unwrap();
    if let Some(ended) = unprivileged(&run, scene.train_or_resume("run", "")) {
        assert_eq!(ended.complaint(1, &["run.lock", "Permission denied"]), None);
    }
    std::fs::set_permissions(run.join("run.lock"), PermissionsExt::from_mode(0o644)).unwrap();
    scene.finish("run");
}

/// Trains on a disk of one megabyte until it is full, then resumes after it was enlarged.
const FULL: &str = r#"
    mount -t tmpfs -o size=700k none "$1" || exit 77
    cp text.txt "$1" && cd "$1" || exit 77
    shift
    "$0" "$@"
    echo "train ended with $?"
    "$0" inspect run > ../table
    echo "inspect ended with $?"
    mount -o remount,size=8m "$PWD" && "$0" resume run
    echo "resume ended with $?"
    cp -r run ../run
"#;

#[test]
fn a_full_disk_fails_the_run_with_28_and_with_space_it_resumes() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    std::fs::create_dir(scene.path().join("disk")).unwrap();
    let train = scene.train("run", "");
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", FULL]);
    shell.arg(train.get_program()).arg("disk").args(train.get_args());
    let ended: Option<Ended> =
        shell.current_dir(scene.path()).env("CI", "1").output().ok().map(Ended::from);
    let Some(ended) = ended.filter(|ended| ended.stdout.contains("ended with")) else {
        eprintln!("skipped: cannot mount a disk");
        return;
    };
    let Ended { stdout, stderr, .. } = &ended;
    assert!(stdout.contains("train ended with 28"), "{stdout}{stderr}");
    assert!(stderr.contains("KiB are needed and"), "{stderr}");
    assert!(stdout.contains("inspect ended with 0"), "{stdout}{stderr}");
    assert!(stdout.contains("resume ended with 0"), "{stdout}{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(uninterrupted == scene.end("run"));
}

/// Training continues if stderr is full, or closed by its reader.
#[test]
fn a_full_or_closed_stderr_does_not_stop_a_training() {
    let scene = Scene::new();
    let uninterrupted = scene.uninterrupted("uninterrupted", "");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = scene.train("full", "").stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(uninterrupted == scene.end("full"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = scene.train("closed", "").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(uninterrupted == scene.end("closed"));
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
