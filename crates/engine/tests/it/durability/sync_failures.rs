//! Sync failures: a file whose sync failed is never trusted afterwards (D6).

use super::Rng;
use super::scenario::{SaveFn, State, assert_cleans, assert_sound, dir, disk_with, save};
use super::sim_fs::{Fault, Kind};
use engine::disk::{Entry, Fs, ReadFile, WriteFile};
use std::io;
use std::path::Path;

/// Fails each sync of a save once, saves again, and cuts the power. Returns the number of syncs.
fn fail_every_sync(save_new: SaveFn) -> usize {
    let prepared = disk_with(&[1, 2]);
    let counted = prepared.copy();
    save(&counted, &dir(), &State::at(3).checkpoint()).unwrap();
    let n_syncs = counted.n_syncs();
    let mut rng = Rng::new(6);
    for at in 0..n_syncs {
        for kind in [Kind::Eio, Kind::Enospc, Kind::Eintr] {
            let when = format!("{kind:?} at sync {at} of {n_syncs}");
            let fs = prepared.copy();
            fs.start_log();
            fs.set_fault(Some(Fault { kind, at, sticky: false, syncs_only: true }));
            let outcome = save_new(&fs, &dir(), &State::at(3).checkpoint());
            assert!(outcome.is_err(), "{when}: reported as saved");
            fs.set_fault(None);
            assert_sound(&fs, Some(2), &when);

            save_new(&fs, &dir(), &State::at(3).checkpoint()).expect(&when);
            fs.acknowledge(3);
            assert!(!fs.reused_after_failed_sync(), "{when}: a file was synced again");
            for _ in 0..20 {
                let (after, _) = fs.power_cut(fs.log_len(), &mut rng);
                assert_cleans(&after, &when);
                assert_sound(&after, Some(3), &when);
            }
        }
    }
    n_syncs
}

/// Three files, the manifest, the folder, its parent, and the parent again after pruning.
#[test]
fn a_failed_sync_fails_the_save_and_the_next_one_uses_new_files() {
    assert_eq!(fail_every_sync(save), 7);
}

/// The harness must catch a writer that repeats a failed sync.
#[test]
#[should_panic(expected = "reported as saved")]
fn a_writer_that_repeats_a_failed_sync_is_caught() {
    fail_every_sync(|fs, dir, checkpoint| save(&RepeatedSync(fs), dir, checkpoint));
}

/// A writer that reports the failure, but repeats the sync in the next save, is caught too.
#[test]
#[should_panic(expected = "newest is Some(2), not Some(3)")]
fn trusting_a_second_sync_loses_data() {
    let fs = disk_with(&[1, 2]);
    fs.start_log();
    let fault = Fault { kind: Kind::Eio, at: 5, sticky: false, syncs_only: true };
    fs.set_fault(Some(fault));
    save(&RepeatedSync(&fs), &dir(), &State::at(3).checkpoint()).unwrap();
    let mut rng = Rng::new(7);
    for _ in 0..50 {
        let (after, _) = fs.power_cut(fs.log_len(), &mut rng);
        assert_sound(&after, Some(3), "after a second sync");
    }
}

/// A file system that repeats a failed sync.
struct RepeatedSync<'a>(&'a dyn Fs);

struct RepeatedFile(Box<dyn WriteFile>);

impl WriteFile for RepeatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync().or_else(|_| self.0.sync())
    }
}

impl Fs for RepeatedSync<'_> {
    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(RepeatedFile(self.0.create(file)?)))
    }
    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(RepeatedFile(self.0.append(file)?)))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir).or_else(|_| self.0.sync_dir(dir))
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }
    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.0.open(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }
    fn remove_file(&self, file: &Path) -> io::Result<()> {
        self.0.remove_file(file)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
}
