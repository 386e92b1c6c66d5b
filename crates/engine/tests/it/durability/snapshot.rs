//! Snapshots of background saves (D9): the disk gets the state at the step boundary.

use super::scenario::{dir, disk_with};
use super::sim_fs::{Fault, Kind, SimFs};
use engine::checkpoint::{
    Checkpoint, Facts, Retention, SaveMode, Saver, SaverOptions, newest, save_checkpoint, step_name,
};
use engine::disk::{Fs, SaveError};
use engine::formats::{FileContents, FileEntry, TensorFile, TensorRef};
use std::sync::{Arc, Mutex};
use std::thread;

const N: usize = 10_000;

fn saver(fs: &SimFs, mode: SaveMode) -> Saver {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    Saver::start(SaverOptions { fs, dir: dir(), retention: Retention::default(), mode }).unwrap()
}

fn checkpoint(step: u64, params: &[f32]) -> Checkpoint<'_> {
    let (w, b) = params.split_at(N / 4);
    let tensor = |name: &str, data| TensorRef { name: name.into(), shape: vec![N / 4], data };
    let half = vec![tensor("w", w), tensor("b", &b[..N / 4])];
    let rest = vec![tensor("m", &b[N / 4..N / 2]), tensor("v", &b[N / 2..])];
    let entry = |name: &str, tensors| FileEntry {
        name: name.into(),
        contents: FileContents::Tensors(tensors),
    };
    let facts = Facts { step, ..Facts::default() };
    Checkpoint { facts, files: vec![entry("a.safetensors", half), entry("b.safetensors", rest)] }
}

/// The parameters in the checkpoint of a step.
fn on_disk(fs: &SimFs, step: u64) -> Vec<f32> {
    let mut values = vec![0.0; N];
    let names = [
        ("a.safetensors", "w"),
        ("a.safetensors", "b"),
        ("b.safetensors", "m"),
        ("b.safetensors", "v"),
    ];
    for ((file, name), out) in names.into_iter().zip(values.chunks_mut(N / 4)) {
        let mut file = TensorFile::open(fs, &dir().join(step_name(step)).join(file)).unwrap();
        file.read(name, &[N / 4], out).unwrap();
    }
    values
}

fn change(params: &mut [f32], step: u64) {
    params.iter_mut().enumerate().for_each(|(i, x)| *x += (i as u64 * step % 7) as f32 + 0.125);
}

/// The writer is blocked until the parameters have changed 50 times.
#[test]
fn the_disk_has_the_state_of_the_step_boundary() {
    let fs = disk_with(&[]);
    let mut saver = saver(&fs, SaveMode::Background { snapshot_len: N });
    let mut params = vec![1.0; N];
    for step in 1..=50 {
        change(&mut params, step);
        let at_boundary = params.clone();
        let held = fs.hold();
        saver.save(&checkpoint(step, &params));
        change(&mut params, step + 1000);
        assert!(saver.is_busy() && saver.poll().is_none());
        drop(held);
        saver.wait();
        assert_eq!(saver.poll().unwrap().unwrap().step, step);
        assert!(on_disk(&fs, step) == at_boundary, "step {step}");
    }
    assert!(saver.finish().is_empty());
}

/// The harness must catch a saver that reads the parameters only when it writes.
#[test]
#[should_panic(expected = "not the state of the boundary")]
fn a_late_copy_is_caught() {
    let fs = disk_with(&[]);
    let params = Arc::new(Mutex::new(vec![1.0; N]));
    let at_boundary = params.lock().unwrap().clone();
    let held = fs.hold();
    let (shared, disk) = (params.clone(), fs.clone());
    let writer = thread::spawn(move || {
        disk.exists(&dir()).unwrap(); // waits here
        let late = shared.lock().unwrap().clone();
        save_checkpoint(&disk, &dir(), &checkpoint(1, &late), &Retention::default()).unwrap();
    });
    change(&mut params.lock().unwrap(), 1);
    drop(held);
    writer.join().unwrap();
    assert!(on_disk(&fs, 1) == at_boundary, "not the state of the boundary");
}

#[test]
fn a_save_waits_for_the_previous_one() {
    let fs = disk_with(&[]);
    let mut saver = saver(&fs, SaveMode::Background { snapshot_len: N });
    let mut params = vec![0.5; N];
    for step in 1..=20 {
        change(&mut params, step);
        saver.save(&checkpoint(step, &params));
    }
    let steps: Vec<u64> = saver.finish().into_iter().map(|saved| saved.unwrap().step).collect();
    assert!(steps.into_iter().eq(1..=20), "every outcome, in order");
    assert!(on_disk(&fs, 20) == params);
}

#[test]
fn both_modes_write_the_same_bytes_and_report_the_same() {
    let params: Vec<f32> = (0..N).map(|i| i as f32).collect();
    let folders = [SaveMode::Inline, SaveMode::Background { snapshot_len: N }].map(|mode| {
        let fs = disk_with(&[]);
        let mut saver = saver(&fs, mode);
        (1..=4).for_each(|step| saver.save(&checkpoint(step, &params)));
        saver.save(&checkpoint(4, &params));
        let outcomes: Vec<_> = saver.finish().into_iter().map(Result::unwrap).collect();
        let removed: Vec<usize> = outcomes.iter().map(|saved| saved.removed.len()).collect();
        assert_eq!(removed, [0, 0, 1, 1, 0], "{mode:?}");
        assert_eq!(outcomes.iter().filter(|saved| saved.was_there).count(), 1, "{mode:?}");
        newest(&fs, &dir()).unwrap().manifest.files
    });
    assert_eq!(folders[0], folders[1]);
}

#[test]
fn a_failed_save_is_a_value_and_the_next_one_succeeds() {
    for mode in [SaveMode::Inline, SaveMode::Background { snapshot_len: N }] {
        let fs = disk_with(&[]);
        let mut saver = saver(&fs, mode);
        let mut params = vec![1.0; N];
        saver.save(&checkpoint(1, &params));
        saver.wait();
        assert!(saver.poll().unwrap().is_ok());

        fs.set_fault(Some(Fault { kind: Kind::Eio, at: 9, sticky: true, syncs_only: false }));
        saver.save(&checkpoint(2, &params));
        saver.wait();
        assert!(matches!(saver.poll(), Some(Err(SaveError::Io { .. }))), "{mode:?}");
        fs.set_fault(None);

        params[17] = f32::NAN;
        params[18] = f32::INFINITY;
        saver.save(&checkpoint(2, &params));
        saver.wait();
        let error = saver.poll().unwrap().unwrap_err();
        let SaveError::NotFinite { tensor, count, len } = error else { panic!("{error}") };
        assert_eq!((tensor.as_str(), count, len), ("w", 2, N / 4));
        assert_eq!(newest(&fs, &dir()).unwrap().manifest.facts.step, 1);

        params[17..19].fill(0.0);
        saver.save(&checkpoint(2, &params));
        assert!(saver.finish().pop().unwrap().is_ok(), "{mode:?}");
        assert_eq!(newest(&fs, &dir()).unwrap().manifest.facts.step, 2);
    }
}

/// If the thread dies, the save is reported as failed, and later ones are written in place.
#[test]
fn training_survives_the_writer() {
    let fs = disk_with(&[]);
    let mut saver = saver(&fs, SaveMode::Background { snapshot_len: N });
    let params = vec![1.0; N];
    fs.panic_at_next_operation();
    saver.save(&checkpoint(1, &params));
    saver.wait();
    assert!(matches!(saver.poll(), Some(Err(SaveError::WriterStopped))));
    saver.save(&checkpoint(2, &params));
    assert!(saver.poll().unwrap().is_ok());
    assert!(on_disk(&fs, 2) == params);
}

/// A normal end of the program does not interrupt the last save.
#[test]
fn dropping_the_saver_finishes_the_save_in_progress() {
    let fs = disk_with(&[]);
    let mut saver = saver(&fs, SaveMode::Background { snapshot_len: N });
    saver.save(&checkpoint(1, &vec![2.0; N]));
    drop(saver);
    assert_eq!(newest(&fs, &dir()).unwrap().manifest.facts.step, 1);
}
