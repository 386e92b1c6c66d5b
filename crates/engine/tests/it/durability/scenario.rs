//! Scenario: a small run in which each checkpoint is a function of its step and can be checked.

use super::sim_fs::SimFs;
use engine::checkpoint::{
    Checkpoint, Facts, Retention, newest, parse_step_name, save_checkpoint, verify,
};
use engine::disk::{Fs, SaveError, clean, ensure_dir};
use engine::formats::{FileContents, FileEntry, TensorFile, TensorRef};
use std::path::{Path, PathBuf};

/// The folder of the checkpoints.
pub fn dir() -> PathBuf {
    PathBuf::from("/run/checkpoints")
}

/// The values of a tensor at a step.
pub fn values(step: u64, tensor: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| (step * 1000) as f32 + (tensor * 100) as f32 + i as f32 * 0.25).collect()
}

/// The state at a step: a few tensors in two files, and a file of text.
pub struct State {
    pub step: u64,
    shapes: Vec<Vec<usize>>,
    tensors: Vec<Vec<f32>>,
}

impl State {
    /// A state of a few kilobytes.
    pub fn at(step: u64) -> State {
        State::with_shapes(step, vec![vec![40, 8], vec![8], vec![300]])
    }

    pub fn with_shapes(step: u64, shapes: Vec<Vec<usize>>) -> State {
        let values = |(t, shape): (usize, &Vec<usize>)| values(step, t, shape.iter().product());
        let tensors = shapes.iter().enumerate().map(values).collect();
        State { step, shapes, tensors }
    }

    fn entry(&self, name: &str) -> FileEntry<'_> {
        let tensors = self.shapes.iter().zip(&self.tensors).enumerate();
        let tensors = tensors.map(|(t, (shape, data))| TensorRef {
            name: format!("t{t}"),
            shape: shape.clone(),
            data,
        });
        FileEntry { name: name.into(), contents: FileContents::Tensors(tensors.collect()) }
    }

    pub fn checkpoint(&self) -> Checkpoint<'_> {
        let facts = Facts { step: self.step, build: "test".into(), ..Facts::default() };
        let text = FileContents::Bytes(format!("step {}", self.step).into_bytes().into());
        let text = FileEntry { name: "config.json".into(), contents: text };
        let files =
            vec![text, self.entry("model.safetensors"), self.entry("optimizer.safetensors")];
        Checkpoint { facts, files }
    }

    /// Panics unless the folder holds this state.
    pub fn assert_is_in(&self, fs: &dyn Fs, folder: &Path) {
        for name in ["model.safetensors", "optimizer.safetensors"] {
            let mut file = TensorFile::open(fs, &folder.join(name)).unwrap();
            for (t, (shape, expected)) in self.shapes.iter().zip(&self.tensors).enumerate() {
                let mut found = vec![0.0; expected.len()];
                assert_eq!(file.read(&format!("t{t}"), shape, &mut found).unwrap(), 0);
                assert!(found == *expected, "{}: tensor {t} of step {}", name, self.step);
            }
        }
    }
}

/// Function that saves a checkpoint: the real one, or a broken one that a test must catch.
pub type SaveFn = fn(&dyn Fs, &Path, &Checkpoint<'_>) -> Result<(), SaveError>;

/// Saves a checkpoint and keeps the two newest.
pub fn save(fs: &dyn Fs, dir: &Path, checkpoint: &Checkpoint<'_>) -> Result<(), SaveError> {
    let retention = Retention { keep_best: false, ..Retention::default() };
    match save_checkpoint(fs, dir, checkpoint, &retention)?.prune_error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A disk with sound checkpoints of these steps.
pub fn disk_with(steps: &[u64]) -> SimFs {
    let fs = SimFs::new();
    ensure_dir(&fs, &dir()).unwrap();
    steps.iter().for_each(|step| save(&fs, &dir(), &State::at(*step).checkpoint()).unwrap());
    fs
}

/// Panics unless every folder named like a checkpoint is one, with the content of its step, and the
/// newest is not before step `at_least`. Returns the newest step.
pub fn assert_sound(fs: &dyn Fs, at_least: Option<u64>, when: &str) -> Option<u64> {
    let mut newest_seen = None;
    let entries = fs.list(&dir()).unwrap_or_else(|error| panic!("{when}: no checkpoints: {error}"));
    for entry in entries {
        let Some(step) = parse_step_name(&entry.name) else { continue };
        let folder = dir().join(&entry.name);
        if let Err(error) = verify(fs, &folder) {
            panic!("{when}: a torn checkpoint is visible: {error}");
        }
        State::at(step).assert_is_in(fs, &folder);
        newest_seen = newest_seen.max(Some(step));
    }
    assert!(newest_seen >= at_least, "{when}: newest is {newest_seen:?}, not {at_least:?}");
    let found = newest(fs, &dir()).ok().map(|found| found.manifest.facts.step);
    assert_eq!(found, newest_seen, "{when}");
    found
}

/// Panics unless the start of the program removes all temporary files.
pub fn assert_cleans(fs: &dyn Fs, when: &str) {
    clean(fs, &dir()).unwrap_or_else(|error| panic!("{when}: {error}"));
    let names = fs.list(&dir()).unwrap();
    let left = names.iter().find(|entry| parse_step_name(&entry.name).is_none());
    assert!(left.is_none(), "{when}: {left:?} is left");
}
