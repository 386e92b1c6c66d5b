//! Real disk: checks that are impossible on the simulated one.

use super::scenario::{State, save};
use engine::checkpoint::{
    CHECKPOINTS_NAME, Retention, discard_after, newest, save_checkpoint, step_name, verify,
};
use engine::disk::{Fs, LineFile, RealFs, clean, commit_file, ensure_dir};
use engine::formats::ModelFolder;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn checkpoints_are_saved_pruned_cleaned_and_found() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("run/checkpoints");
    ensure_dir(&RealFs, &dir).unwrap();
    ensure_dir(&RealFs, &dir).unwrap();
    for step in 1..=4 {
        save(&RealFs, &dir, &State::at(step).checkpoint()).unwrap();
    }
    let names: Vec<String> = RealFs.list(&dir).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, [step_name(3), step_name(4)]);
    let found = newest(&RealFs, &dir).unwrap();
    State::at(4).assert_is_in(&RealFs, &found.path);

    // Leftovers of a crash, and names that only resemble them.
    for name in ["step-00000005.tmp-12-00000000000000ab", ".del-step-00000001-00000000000000ab"] {
        fs::create_dir_all(dir.join(name).join("deep")).unwrap();
        fs::write(dir.join(name).join("deep/file"), "x").unwrap();
    }
    fs::write(dir.join("notes.tmp-12-00000000000000ab"), "x").unwrap();
    fs::write(dir.join("my.tmp-notes"), "the user's").unwrap();
    assert_eq!(clean(&RealFs, &dir).unwrap().len(), 3);
    assert!(dir.join("my.tmp-notes").exists());

    fs::write(dir.join(step_name(4)).join("config.json"), "damaged").unwrap();
    let found = newest(&RealFs, &dir).unwrap();
    assert_eq!((found.manifest.facts.step, found.rejected.len()), (3, 1));
    assert_eq!(discard_after(&RealFs, &dir, 3).unwrap(), [dir.join(step_name(4))]);
    assert!(verify(&RealFs, &dir.join(step_name(3))).is_ok());
}

/// Removal of a checkpoint does not follow links in it.
#[cfg(unix)]
#[test]
fn removing_never_follows_a_link() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (temp.path().join("checkpoints"), temp.path().join("elsewhere"));
    ensure_dir(&RealFs, &dir).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "x").unwrap();
    let deleted = dir.join(".del-step-00000001-00000000000000ab");
    fs::create_dir(&deleted).unwrap();
    std::os::unix::fs::symlink(&elsewhere, deleted.join("link")).unwrap();
    clean(&RealFs, &dir).unwrap();
    assert!(elsewhere.join("precious").exists() && !deleted.exists());
}

#[test]
fn files_are_replaced_and_rows_appended() {
    let temp = tempfile::tempdir().unwrap();
    let config = temp.path().join("config.toml");
    for text in ["a = 1", "a = 2"] {
        commit_file(&RealFs, &config, text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), text);
    }
    let rows = temp.path().join("metrics.jsonl");
    let mut file = LineFile::create(&RealFs, &rows).unwrap();
    (1..=3).for_each(|step| file.append(&serde_json::json!({"step": step})).unwrap());
    file.sync().unwrap();
    let (mut file, resumed) = LineFile::resume(&RealFs, &rows, 2).unwrap();
    assert_eq!((resumed.n_rows, resumed.n_dropped), (2, 1));
    file.append(&serde_json::json!({"step": 3})).unwrap();
    let text = fs::read_to_string(&rows).unwrap();
    assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
    assert!(RealFs.free_bytes(temp.path()).unwrap() > 0);
}

/// Errors name the operation and the path.
#[test]
fn errors_name_the_path() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing");
    let error = save(&RealFs, &missing, &State::at(1).checkpoint()).unwrap_err().to_string();
    assert!(error.contains("make") && error.contains("missing/step-00000001: "), "{error}");
    let error = newest(&RealFs, &missing).unwrap_err().to_string();
    assert!(error.contains("list") && error.contains("missing"), "{error}");
    let error = newest(&RealFs, temp.path()).unwrap_err().to_string();
    assert!(error.contains("holds none"), "{error}");
}

/// `/dev/full` reports no space, like a full disk.
#[cfg(target_os = "linux")]
#[test]
fn the_system_s_full_disk_is_recognised() {
    let mut file = RealFs.append("/dev/full".as_ref()).unwrap();
    let error = engine::disk::write_all(file.as_mut(), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// A folder in memory if possible: hundreds of saves to a disk take long.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn save_step(dir: &Path, step: u64) {
    let state = State::with_shapes(step, vec![vec![4]]);
    save_checkpoint(&RealFs, dir, &state.checkpoint(), &Retention::default()).unwrap();
}

/// A checkpoint that was chosen stays until it was read, and goes with the next save.
#[test]
fn a_checkpoint_stays_while_it_is_read() {
    let run = quick_dir();
    let dir = run.path().join(CHECKPOINTS_NAME);
    fs::create_dir(&dir).unwrap();
    (1..=3).for_each(|step| save_step(&dir, step));
    let folder = ModelFolder::open(run.path()).unwrap();
    let path = folder.path().to_owned();
    (4..=9).for_each(|step| save_step(&dir, step));
    verify(&RealFs, &path).unwrap();
    drop(folder);
    save_step(&dir, 10);
    assert!(!path.exists());
}

#[test]
fn no_reader_meets_a_checkpoint_that_is_being_removed() {
    let run = quick_dir();
    let dir = run.path().join(CHECKPOINTS_NAME);
    fs::create_dir(&dir).unwrap();
    save_step(&dir, 1);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 2.. {
                if is_done.load(Ordering::Relaxed) {
                    return;
                }
                save_step(&dir, step);
            }
        });
        let read = || {
            let folder = ModelFolder::open(run.path()).map_err(|error| error.to_string())?;
            verify(&RealFs, folder.path()).map_err(|error| error.to_string())
        };
        let failed = (0..1_000).find_map(|_| read().err());
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(failed, None);
    });
}
