//! Power cuts at random moments of a run, and the states that they may leave (D3b).

use super::faults::save_without_rename;
use super::scenario::{SaveFn, State, assert_cleans, assert_sound, dir, disk_with, save};
use super::sim_fs::SimFs;
use super::{Rng, cases};
use engine::checkpoint::newest;
use engine::disk::{Fs, LineFile, commit_file, ensure_dir, read_file};
use std::path::Path;

const ROWS: &str = "/run/metrics.jsonl";

/// Steps of the recorded run, a checkpoint at each.
const N_STEPS: u64 = 5;

/// A recorded run that starts with an empty folder.
fn record(save: SaveFn, fs: SimFs) -> SimFs {
    fs.start_log();
    ensure_dir(&fs, &dir()).unwrap();
    let mut rows = LineFile::create(&fs, Path::new(ROWS)).unwrap();
    for step in 1..=N_STEPS {
        append_row(&mut rows, step);
        save(&fs, &dir(), &State::at(step).checkpoint()).unwrap();
        fs.acknowledge(step);
    }
    fs
}

fn append_row(rows: &mut LineFile, step: u64) {
    rows.append(&serde_json::json!({"step": step, "text": "x".repeat(700)})).unwrap();
    rows.sync().unwrap();
}

/// Panics if a power cut lost acknowledged data, or left wrong data that passes for valid.
fn assert_recovers(fs: &SimFs, acknowledged: Option<u64>, when: &str) {
    if acknowledged.is_none() && !fs.exists(&dir()).unwrap() {
        return;
    }
    assert_sound(fs, acknowledged, when);
    assert_cleans(fs, when);
    let step = assert_sound(fs, acknowledged, when);
    // Every row up to the checkpoint is there, once, in order.
    if let Some(step) = step {
        let (rows, _) = LineFile::resume(fs, Path::new(ROWS), step).unwrap();
        assert_eq!(rows.n_rows(), step, "{when}: rows");
        let text = String::from_utf8(read_file(fs, Path::new(ROWS), 1 << 20).unwrap()).unwrap();
        let steps =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        assert!(steps.map(|row| row["step"].as_u64().unwrap()).eq(1..=step), "{when}: rows");
    }
    let next = step.unwrap_or(0) + 1;
    let (mut rows, _) = LineFile::resume(fs, Path::new(ROWS), next - 1).unwrap();
    append_row(&mut rows, next);
    save(fs, &dir(), &State::at(next).checkpoint()).unwrap();
    assert_eq!(assert_sound(fs, Some(next), when), Some(next));
}

fn cut_power(save: SaveFn, fs: SimFs, n_cases: usize) {
    let run = record(save, fs);
    let mut rng = Rng::new(3);
    for case in 0..n_cases {
        let at = rng.below(run.log_len() + 1);
        let (after, acknowledged) = run.power_cut(at, &mut rng);
        let when = format!("power cut {case}, after operation {at} of {}", run.log_len());
        assert_recovers(&after, acknowledged, &when);
    }
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    cut_power(save, SimFs::new(), cases(5000));
}

/// A second power cut during the recovery from a first one.
#[test]
fn no_power_cut_during_recovery_loses_it_either() {
    let run = record(save, SimFs::new());
    let mut rng = Rng::new(4);
    for case in 0..cases(1000) {
        let (first, acknowledged) = run.power_cut(rng.below(run.log_len() + 1), &mut rng);
        if acknowledged.is_none() {
            continue;
        }
        first.start_log();
        assert_recovers(&first, acknowledged, "first");
        let (second, _) = first.power_cut(rng.below(first.log_len() + 1), &mut rng);
        assert_recovers(&second, acknowledged, &format!("second power cut {case}"));
    }
}

/// A replaced file has the old or the new content, and the new content once acknowledged.
#[test]
fn a_replaced_file_survives_any_power_cut() {
    let path = Path::new("/run/config.toml");
    let (old, new) = (vec![b'o'; 5000], vec![b'n'; 6000]);
    let fs = disk_with(&[]);
    commit_file(&fs, path, &old).unwrap();
    fs.start_log();
    commit_file(&fs, path, &new).unwrap();
    fs.acknowledge(1);
    let mut rng = Rng::new(8);
    for _ in 0..500 {
        let (after, acknowledged) = fs.power_cut(rng.below(fs.log_len() + 1), &mut rng);
        let found = read_file(&after, path, 1 << 20).unwrap();
        assert!(found == new || found == old && acknowledged.is_none());
    }
}

/// Controls: the harness must catch writers that each omit one step.
mod controls {
    use super::*;

    fn with_ignored_syncs(of_files: bool, of_dirs: bool) {
        let fs = SimFs::new();
        fs.ignore_syncs(of_files, of_dirs);
        cut_power(save, fs, 500);
    }

    #[test]
    #[should_panic(expected = "a torn checkpoint is visible")]
    fn no_sync_of_files() {
        with_ignored_syncs(true, false);
    }

    #[test]
    #[should_panic(expected = "power cut")]
    fn no_sync_of_folders() {
        with_ignored_syncs(false, true);
    }

    #[test]
    #[should_panic(expected = "a torn checkpoint is visible")]
    fn no_rename() {
        cut_power(save_without_rename, SimFs::new(), 500);
    }

    /// Only the last sync, that of the parent folder, is omitted.
    #[test]
    #[should_panic(expected = "newest is")]
    fn no_sync_of_the_parent_folder() {
        fn save_half(
            fs: &dyn Fs,
            dir: &Path,
            checkpoint: &engine::checkpoint::Checkpoint<'_>,
        ) -> Result<(), engine::disk::SaveError> {
            let scratch = Path::new("/run/scratch");
            if !fs.exists(scratch).unwrap() {
                fs.create_dir(scratch).unwrap();
            }
            let name = engine::checkpoint::step_name(checkpoint.facts.step);
            let (made, target) = (scratch.join(&name), dir.join(&name));
            engine::checkpoint::commit_checkpoint(fs, &made, checkpoint)?;
            fs.rename(&made, &target).unwrap();
            Ok(())
        }
        cut_power(save_half, SimFs::new(), 500);
    }
}

/// After a power cut at its end, a run has lost nothing.
#[test]
fn a_finished_run_is_found_after_any_power_cut() {
    let run = record(save, disk_with(&[]));
    let mut rng = Rng::new(5);
    for _ in 0..100 {
        let (after, _) = run.power_cut(run.log_len(), &mut rng);
        let found = newest(&after, &dir()).unwrap();
        assert_eq!(found.manifest.facts.step, N_STEPS);
        assert!(found.rejected.is_empty());
    }
}
