//! Full disk at any byte of a save (D4): nothing is lost, and the message says how much is needed.

use super::scenario::{State, assert_sound, dir, disk_with, save};
use super::sim_fs::SimFs;
use super::{Rng, cases};
use engine::checkpoint::newest;
use engine::disk::{Fs, LineFile, NewFile, SaveError};
use std::path::Path;

/// A state whose files together have about this many bytes.
fn state_of(bytes: usize) -> State {
    let half = bytes / 2 / size_of::<f32>();
    State::with_shapes(3, vec![vec![half / 4], vec![half / 2], vec![half - half / 4 - half / 2]])
}

/// Saves `state` to a disk with `free_bytes` of space; returns whether it fitted.
fn save_into(prepared: &SimFs, state: &State, free_bytes: u64, again: bool) -> bool {
    let fs = prepared.copy();
    fs.set_free_bytes(free_bytes);
    let when = format!("with {free_bytes} bytes free");
    match save(&fs, &dir(), &state.checkpoint()) {
        Ok(()) => return true,
        Err(SaveError::NoSpace { path, needed_bytes, free_bytes: free }) => {
            assert!(path.starts_with(dir()), "{when}: {path:?}");
            assert!(needed_bytes > 0 && free == Some(free_bytes), "{when}: {free:?} free");
        }
        Err(other) => panic!("{when}: {other}"),
    }
    let names: Vec<_> = fs.list(&dir()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["step-00000001", "step-00000002"], "{when}");
    if again {
        assert_sound(&fs, Some(2), &when);
        fs.set_free_bytes(1 << 40);
        save(&fs, &dir(), &state.checkpoint()).expect(&when);
        assert_eq!(newest(&fs, &dir()).unwrap().manifest.facts.step, 3, "{when}");
    }
    false
}

#[test]
fn every_byte_of_a_small_checkpoint() {
    let (prepared, state) = (disk_with(&[1, 2]), state_of(8 << 10));
    let fits_at = (0..).find(|free| save_into(&prepared, &state, *free, true)).unwrap();
    assert!(fits_at > 8 << 10, "fits into {fits_at} bytes");
}

#[test]
fn sampled_bytes_of_a_larger_one() {
    let (prepared, state) = (disk_with(&[1, 2]), state_of(256 << 10));
    let mut rng = Rng::new(40);
    let n_fitted = (0..cases(4000))
        .filter(|i| save_into(&prepared, &state, rng.below(258 << 10) as u64, i % 8 == 0))
        .count();
    assert!(n_fitted < 200, "{n_fitted} fitted: the sample misses the checkpoint");
}

#[test]
fn the_message_names_path_needed_and_free_bytes() {
    let fs = disk_with(&[1]);
    fs.set_free_bytes(1000);
    let state = state_of(8 << 10);
    let files = state.checkpoint().files;
    let needed: u64 = files.iter().map(|file| file.file_len().unwrap()).sum();
    let message = save(&fs, &dir(), &state.checkpoint()).unwrap_err().to_string();
    let needed = format!("{needed} bytes are needed");
    let place = "no space left for /run/checkpoints/step-00000003";
    for part in [place, &needed, "1000 bytes are free"] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

/// Rows that did not fit are entirely absent, and later rows are complete.
#[test]
fn every_byte_of_appended_rows() {
    let row = |step: u64| serde_json::json!({"step": step, "loss": 2.5});
    for free_bytes in 0..100 {
        let fs = disk_with(&[]);
        let path = Path::new("/run/metrics.jsonl");
        let mut rows = LineFile::create(&fs, path).unwrap();
        fs.set_free_bytes(free_bytes);
        let fitted = (1..=4).take_while(|step| rows.append(&row(*step)).is_ok()).count() as u64;
        assert_eq!(fitted, (free_bytes / 22).min(4), "rows in {free_bytes} bytes");
        fs.set_free_bytes(1 << 20);
        rows.append(&row(fitted + 1)).unwrap();
        let (_, resumed) = LineFile::resume(&fs, path, 99).unwrap();
        assert_eq!((resumed.n_rows, resumed.torn_bytes), (fitted + 1, 0));
    }
}
