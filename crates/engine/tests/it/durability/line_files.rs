//! Line files of a run: torn ends, and rows whose step is repeated.

use super::Rng;
use super::scenario::disk_with;
use super::sim_fs::{Fault, Kind, SimFs};
use engine::disk::{Fs, LineFile, Resumed, read_file, write_all};
use std::path::Path;

const PATH: &str = "/run/metrics.jsonl";

/// A disk whose file of rows has this content.
fn disk_of(content: &[u8]) -> SimFs {
    let fs = disk_with(&[]);
    let mut file = fs.create(Path::new(PATH)).unwrap();
    write_all(file.as_mut(), content).unwrap();
    fs
}

/// Resumes after `step`; returns the contents of the file.
fn resume(content: &[u8], step: u64) -> (Vec<u8>, Resumed) {
    let fs = disk_of(content);
    let (_, resumed) = LineFile::resume(&fs, Path::new(PATH), step).unwrap();
    (read_file(&fs, Path::new(PATH), 1 << 20).unwrap(), resumed)
}

const ROWS: &str =
    "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"text\":\"a\\nb\"}\n{\"note\":1}\n{\"step\":5}\n";

/// Only complete rows stay, whatever part of the last write reached the disk.
#[test]
fn every_torn_end_is_dropped() {
    for len in 0..=ROWS.len() {
        let content = &ROWS.as_bytes()[..len];
        let whole = content.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let (left, resumed) = resume(content, 9);
        assert_eq!(left, &content[..whole], "cut to {len}");
        assert_eq!(resumed.torn_bytes, (len - whole) as u64, "cut to {len}");
        assert_eq!(resumed.n_rows, content.iter().filter(|b| **b == b'\n').count() as u64);
    }
}

#[test]
fn later_rows_are_dropped_and_rows_without_a_step_follow_the_row_before() {
    let lines: Vec<&str> = ROWS.split_inclusive('\n').collect();
    for (step, n_left) in [(0, 0), (1, 1), (2, 4), (4, 4), (5, 5)] {
        let (left, resumed) = resume(ROWS.as_bytes(), step);
        assert_eq!(String::from_utf8(left).unwrap(), lines[..n_left].concat(), "step {step}");
        assert_eq!((resumed.n_rows, resumed.n_dropped), (n_left as u64, 5 - n_left as u64));
    }
}

/// A power cut may leave blocks of zeros or old bytes at the end, or even before a whole row.
#[test]
fn garbage_at_the_end_is_dropped_and_garbage_in_the_middle_stays() {
    for nonsense in
        [&b"\0\0\0\0\n"[..], b"\xff\n\0\n", b"{\"step\":7", b"\n", b"{\"step\":-1}\n", b"[]]\n"]
    {
        let torn = [ROWS.as_bytes(), nonsense].concat();
        let (left, resumed) = resume(&torn, 9);
        assert_eq!(left, ROWS.as_bytes(), "{nonsense:?}");
        assert_eq!(resumed.torn_bytes, nonsense.len() as u64);
    }
    let middle = [b"{\"step\":1}\n", &b"\0\0\n"[..], b"{\"step\":2}\n"].concat();
    let (left, resumed) = resume(&middle, 9);
    assert_eq!((left, resumed.n_rows, resumed.torn_bytes), (middle, 2, 0));
}

#[test]
fn a_resumed_file_continues_where_it_was_cut() {
    let fs = disk_of(&ROWS.as_bytes()[..ROWS.len() - 3]);
    let (mut file, _) = LineFile::resume(&fs, Path::new(PATH), 1).unwrap();
    file.append(&serde_json::json!({"step": 2, "loss": f64::NAN})).unwrap();
    assert_eq!(file.n_rows(), 2);
    let text = read_file(&fs, Path::new(PATH), 1 << 20).unwrap();
    assert_eq!(text, b"{\"step\":1}\n{\"step\":2,\"loss\":null}\n");
    let (file, resumed) = LineFile::resume(&fs, Path::new("/run/new.jsonl"), 1).unwrap();
    assert_eq!((file.n_rows(), resumed), (0, Resumed::default()), "a missing file is created");
}

fn content(fs: &SimFs) -> String {
    String::from_utf8(read_file(fs, Path::new(PATH), 1 << 20).unwrap()).unwrap()
}

/// A failed row is cut off at once; if that fails too, before the next row.
#[test]
fn half_a_row_is_cut_off_at_once_or_before_the_next() {
    let row = |step: u64| serde_json::json!({"step": step});
    for (can_be_cut, left) in [(true, "{\"step\":1}\n"), (false, "{\"step\":1}\n{\"ste")] {
        let fs = disk_with(&[]);
        let mut file = LineFile::create(&fs, Path::new(PATH)).unwrap();
        file.append(&row(1)).unwrap();
        fs.set_free_bytes(5);
        let fault = Fault { kind: Kind::Eio, at: 1, sticky: true, syncs_only: false };
        fs.set_fault(Some(fault).filter(|_| !can_be_cut));
        assert!(file.append(&row(2)).is_err());
        fs.set_fault(None);
        assert_eq!(content(&fs), left);
        fs.set_free_bytes(1 << 20);
        file.append(&row(2)).unwrap();
        assert_eq!(content(&fs), "{\"step\":1}\n{\"step\":2}\n");
    }
}

/// Dropped rows do not return, even if the power is cut before the new ones are synced.
#[test]
fn no_power_cut_brings_dropped_rows_back() {
    let fs = disk_of(ROWS.as_bytes());
    fs.start_log();
    let (mut file, _) = LineFile::resume(&fs, Path::new(PATH), 1).unwrap();
    file.append(&serde_json::json!({"step": 2, "new": true})).unwrap();
    let mut rng = Rng::new(27);
    for _ in 0..200 {
        let (after, _) = fs.power_cut(fs.log_len(), &mut rng);
        LineFile::resume(&after, Path::new(PATH), 99).unwrap();
        let text = content(&after);
        let rest = text.strip_prefix("{\"step\":1}\n").unwrap();
        assert!(["", "{\"step\":2,\"new\":true}\n"].contains(&rest), "{rest:?}");
    }
}
