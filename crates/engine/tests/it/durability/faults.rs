//! Faults: every file operation of every durable action fails, or is the last one, in every way
//! (D2).
//!
//! After SQLite's method: run an action once to count its operations, then once for each of them.

use super::scenario::{State, assert_cleans, assert_sound, dir, disk_with, save};
use super::sim_fs::{Fault, Kind, SimFs};
use engine::checkpoint::{Checkpoint, Retention, discard_after, prune, step_name, verify};
use engine::disk::{
    Fs, LineFile, LoadError, NewFile, SaveError, commit_file, commit_folder, read_file, write_all,
};
use engine::formats::{FileContents, FileEntry, TensorRef};
use std::path::Path;

/// An action that must be atomic.
#[derive(Clone, Copy)]
struct Action {
    name: &'static str,
    prepare: fn() -> SimFs,
    run: fn(&SimFs) -> Result<(), SaveError>,
    /// Panics if something is lost; `is_done` says whether `run` has succeeded.
    check: fn(&SimFs, is_done: bool, when: &str),
}

const KINDS: [Kind; 5] = [Kind::Abort, Kind::Eio, Kind::Enospc, Kind::Eintr, Kind::ShortWrite];

/// Returns the number of operations and of cases.
fn fail_everywhere(action: Action) -> (usize, usize) {
    let prepared = (action.prepare)();
    let counted = prepared.copy();
    (action.run)(&counted).expect("no fault is set");
    let (n_ops, mut n_cases) = (counted.n_ops(), 0);
    for at in 0..n_ops {
        for (kind, sticky) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let when =
                format!("{}: {kind:?} at operation {at} of {n_ops}, sticky {sticky}", action.name);
            let fs = prepared.copy();
            fs.set_fault(Some(Fault { kind, at, sticky, syncs_only: false }));
            let is_done = (action.run)(&fs).is_ok();
            fs.set_fault(None);
            (action.check)(&fs, is_done, &when);
            if kind == Kind::ShortWrite {
                assert!(is_done, "{when}: short writes are no errors");
            }
            if kind != Kind::Abort && !sticky {
                let outer = fs.list(Path::new("/run")).unwrap();
                let entries = [fs.list(&dir()).unwrap(), outer].concat();
                assert!(entries.iter().all(|e| !e.name.contains(".tmp-")), "{when}: {entries:?}");
            }
            // The next start, and a second attempt.
            assert_cleans(&fs, &when);
            (action.check)(&fs, is_done, &when);
            if let Err(error) = (action.run)(&fs) {
                panic!("{when}: does not work later either: {error}");
            }
            (action.check)(&fs, true, &when);
            n_cases += 1;
        }
    }
    println!("{}: {n_ops} operations, {n_cases} cases", action.name);
    (n_ops, n_cases)
}

const SAVE: Action = Action {
    name: "save and prune",
    prepare: || disk_with(&[1, 2]),
    run: |fs| save(fs, &dir(), &State::at(3).checkpoint()),
    check: |fs, is_done, when| {
        assert_sound(fs, Some(if is_done { 3 } else { 2 }), when);
    },
};

#[test]
fn a_save_is_complete_or_absent() {
    let (n_ops, n_cases) = fail_everywhere(SAVE);
    assert!(n_ops > 40 && n_cases == 10 * n_ops, "{n_ops} operations, {n_cases} cases");
}

#[test]
fn a_save_over_a_damaged_checkpoint_of_its_step() {
    fail_everywhere(Action {
        name: "save over damage",
        prepare: || {
            let fs = disk_with(&[2, 3]);
            fs.damage(&dir().join("step-00000003/model.safetensors"), |bytes| bytes[9] ^= 1);
            fs
        },
        run: |fs| save(fs, &dir(), &State::at(3).checkpoint()),
        check: |fs, is_done, when| {
            let found = engine::checkpoint::newest(fs, &dir()).expect(when);
            let step = found.manifest.facts.step;
            assert_eq!(step, if is_done { 3 } else { step.max(2) }, "{when}");
            State::at(step).assert_is_in(fs, &found.path);
        },
    });
}

/// A file that cannot be read now may be sound, so its checkpoint is neither replaced nor passed over.
#[test]
fn a_checkpoint_that_cannot_be_read_stays() {
    let prepared = disk_with(&[2, 3]);
    let folder = dir().join(step_name(3));
    let counted = prepared.copy();
    verify(&counted, &folder).unwrap();
    let mut n_refused = 0;
    // The last operation of this number opens the last file; the first looks for the folder.
    for at in 0..=counted.n_ops() {
        let fs = prepared.copy();
        let fault = Fault { kind: Kind::Eio, at, sticky: false, syncs_only: false };
        fs.set_fault(Some(fault));
        let error = save(&fs, &dir(), &State::at(3).checkpoint()).unwrap_err();
        assert_ne!(error.code(), "file-exists", "operation {at}: {error}");
        assert!(error.to_string().contains("step-00000003"), "operation {at}: {error}");
        fs.set_fault(Some(fault));
        let found = engine::checkpoint::newest(&fs, &dir()).map(|found| found.manifest.facts.step);
        n_refused += usize::from(matches!(found, Err(LoadError::Io { .. })));
        fs.set_fault(None);
        assert_sound(&fs, Some(3), "afterwards");
    }
    assert!(n_refused >= 4, "{n_refused} times");
}

#[test]
fn pruning_removes_whole_checkpoints_and_never_the_newest() {
    fail_everywhere(Action {
        name: "prune",
        prepare: || {
            let fs = disk_with(&[1]);
            let keep_all = Retention { keep_last: 9, keep_best: false, keep_every: None };
            for step in 2..6 {
                let state = State::at(step);
                let checkpoint = state.checkpoint();
                engine::checkpoint::save_checkpoint(&fs, &dir(), &checkpoint, &keep_all).unwrap();
            }
            fs
        },
        run: |fs| prune(fs, &dir(), &Retention::default()).map(|_| ()),
        check: |fs, _, when| {
            assert_sound(fs, Some(5), when);
            State::at(4).assert_is_in(fs, &dir().join(step_name(4)));
        },
    });
}

#[test]
fn discarding_later_steps_keeps_the_step_to_resume_from() {
    fail_everywhere(Action {
        name: "discard",
        prepare: || disk_with(&[4, 5]),
        run: |fs| discard_after(fs, &dir(), 4).map(|_| ()),
        check: |fs, is_done, when| {
            let newest = assert_sound(fs, Some(4), when);
            assert!(!is_done || newest == Some(4), "{when}");
        },
    });
}

/// An export has no manifest; it is complete if every file is.
#[test]
fn an_export_is_complete_or_absent() {
    const WEIGHTS: [f32; 100] = [0.5; 100];
    fn files() -> Vec<FileEntry<'static>> {
        let tensor = TensorRef { name: "w".into(), shape: vec![10, 10], data: &WEIGHTS };
        let config = FileContents::Bytes(b"{}".as_slice().into());
        vec![
            FileEntry { name: "config.json".into(), contents: config },
            FileEntry {
                name: "w.safetensors".into(),
                contents: FileContents::Tensors(vec![tensor]),
            },
        ]
    }
    fail_everywhere(Action {
        name: "export",
        prepare: || disk_with(&[1]),
        run: |fs| {
            let target = Path::new("/run/exported");
            match commit_folder(fs, target, &files(), None) {
                Err(SaveError::Exists { .. }) => Ok(()), // it was complete, as `check` has verified
                result => result.map(|_| ()),
            }
        },
        check: |fs, is_done, when| {
            let target = Path::new("/run/exported");
            let exists = fs.exists(target).unwrap();
            assert!(exists || !is_done, "{when}");
            for file in files().iter().filter(|_| exists) {
                let bytes = read_file(fs, &target.join(&file.name), 1 << 20).expect(when);
                assert_eq!(bytes.len() as u64, file.file_len().unwrap(), "{when}");
            }
        },
    });
}

#[test]
fn a_replaced_file_is_the_old_one_or_the_new_one() {
    fail_everywhere(Action {
        name: "replace a file",
        prepare: || {
            let fs = disk_with(&[1]);
            commit_file(&fs, Path::new("/run/config.toml"), b"old").unwrap();
            fs
        },
        run: |fs| commit_file(fs, Path::new("/run/config.toml"), b"the new one"),
        check: |fs, is_done, when| {
            let found = read_file(fs, Path::new("/run/config.toml"), 100).expect(when);
            assert!(found == b"the new one" || found == b"old" && !is_done, "{when}: {found:?}");
        },
    });
}

/// Acknowledged rows stay, and after the next start the file has no partial row.
#[test]
fn rows_are_appended_whole() {
    fn row(step: u64) -> serde_json::Value {
        serde_json::json!({"step": step, "loss": step as f64 * 0.5})
    }
    fail_everywhere(Action {
        name: "append",
        prepare: || {
            let fs = disk_with(&[1]);
            let mut file = LineFile::create(&fs, Path::new("/run/metrics.jsonl")).unwrap();
            (1..=6).for_each(|step| file.append(&row(step)).unwrap());
            file.sync().unwrap();
            fs
        },
        run: |fs| {
            // Continues after step 3, as from a checkpoint; every row is tried a second time.
            let (mut file, _) = LineFile::resume(fs, Path::new("/run/metrics.jsonl"), 3)?;
            for step in 4..=5 {
                file.append(&row(step)).or_else(|_| file.append(&row(step)))?;
            }
            file.sync()
        },
        check: |fs, is_done, when| {
            let copy = fs.copy();
            let (file, _) = LineFile::resume(&copy, Path::new("/run/metrics.jsonl"), 99).unwrap();
            assert!(file.n_rows() >= 3 && (!is_done || file.n_rows() == 5), "{when}");
            let bytes = read_file(&copy, Path::new("/run/metrics.jsonl"), 1 << 20).unwrap();
            let expected: String = (1..=file.n_rows()).map(|s| format!("{}\n", row(s))).collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{when}");
        },
    });
}

/// The harness must catch a writer that makes the folder under its final name.
#[test]
#[should_panic(expected = "a torn checkpoint is visible")]
fn a_writer_without_rename_is_caught() {
    fail_everywhere(Action {
        run: |fs| save_without_rename(fs, &dir(), &State::at(3).checkpoint()),
        ..SAVE
    });
}

/// Writes the right files in the right order, synced, but directly under the final name.
pub fn save_without_rename(
    fs: &dyn Fs,
    dir: &Path,
    checkpoint: &Checkpoint<'_>,
) -> Result<(), SaveError> {
    // Saved to another simulated disk first, to get the same bytes.
    let elsewhere = disk_with(&[]);
    save(&elsewhere, dir, checkpoint)?;
    let folder = dir.join(step_name(checkpoint.facts.step));
    if verify(fs, &folder).is_ok() {
        return Ok(());
    }
    let io = |source| SaveError::Io { doing: "write", path: folder.clone(), source };
    fs.create_dir(&folder).map_err(io)?;
    let mut entries = elsewhere.list(&folder).map_err(io)?;
    entries.sort_by_key(|entry| entry.name == "manifest.json");
    for entry in entries {
        let path = folder.join(entry.name);
        let bytes = read_file(&elsewhere, &path, 1 << 20).expect("it was just written");
        let mut file = fs.create(&path).map_err(io)?;
        write_all(file.as_mut(), &bytes).map_err(io)?;
        file.sync().map_err(io)?;
    }
    fs.sync_dir(&folder).map_err(io)?;
    fs.sync_dir(dir).map_err(io)
}
