//! Run for tests, small enough to finish from any step within milliseconds.

use engine::checkpoint::{CHECKPOINTS_NAME, newest};
use engine::disk::RealFs;
use engine::head::HeadName;
use engine::train::RowUpdates;
use engine::train::events::{Evaluation, Event, Observer, Outcome};
use engine::train::run::{Budget, Place, Run, RunError, prepare};
use engine::train::settings::{OptimizerSettings, PrecisionName, Settings};
use std::path::{Path, PathBuf};
use text::stories;

/// More than three epochs; evaluations, samples and saves are due at different steps.
pub const N_STEPS: u64 = 60;

/// Steps between evaluations.
pub const EVAL_EVERY: u64 = 23;

/// A prepared run that is copied for each attempt, so that its text is tokenised once.
pub struct Scene {
    folder: tempfile::TempDir,
    n_tries: std::cell::Cell<u32>,
}

/// Final state of a run, without times, which differ from run to run.
#[derive(Debug, PartialEq)]
pub struct End {
    pub model: Vec<u8>,
    pub optimizer: Vec<u8>,
    pub facts: serde_json::Value,
    pub metrics: Vec<serde_json::Value>,
    pub samples: Vec<u8>,
}

/// Observer that stops a run after a step and records its evaluations.
#[derive(Default)]
pub struct Watcher {
    pub stop_at: Option<u64>,
    pub step: u64,
    pub evaluations: Vec<Evaluation>,
}

impl Observer for Watcher {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started(started) => self.step = started.step,
            Event::Step(row) => self.step = row.step,
            Event::Evaluated(evaluation) => self.evaluations.push(*evaluation),
            Event::SaveFailed(error) => panic!("{error}"),
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.stop_at.is_some_and(|step| self.step >= step)
    }
}

/// Settings of the smallest model that has all components, with dropout.
pub fn settings(text: &Path, precision: PrecisionName) -> Settings {
    let mut s = Settings::default();
    s.data.files = Some(vec![text.to_owned()]);
    s.data.holdout = Some(0.2);
    s.tokenizer.kind = Some(text::tokenizer::TokenizerKind::Char);
    s.model.model_dim = Some(16);
    s.model.n_layers = Some(2);
    s.model.n_heads = Some(2);
    s.model.n_kv_heads = Some(1);
    s.model.seq_len = Some(16);
    s.train.batch_seqs = Some(4);
    s.train.n_lanes = Some(2);
    s.train.dropout = Some(0.1);
    s.train.precision = Some(precision);
    s.train.n_steps = Some(N_STEPS);
    s.train.warmup_steps = Some(7);
    s.train.eval_every = Some(EVAL_EVERY);
    s.train.eval_tokens = Some(64);
    s.train.sample_every = Some(40);
    s.train.save_every = Some(20);
    s
}

/// Sets a factored output layer with more classes than a batch uses.
pub fn with_classes(settings: &mut Settings, is_tied: bool, row_updates: RowUpdates) {
    settings.vocab.head = Some(HeadName::Factor);
    settings.vocab.n_classes = Some(20);
    settings.model.tie_embeddings = Some(is_tied);
    settings.train.optimizer =
        Some(OptimizerSettings { row_updates: Some(row_updates), ..Default::default() });
}

/// Writes the first `n_bytes` of the stories of a seed.
pub fn write_text(path: &Path, n_bytes: usize, seed: u64) {
    let mut text = String::new();
    for story in stories::generate(seed) {
        text += &story;
        text += "\n\n";
        if text.len() >= n_bytes {
            break;
        }
    }
    text.truncate(n_bytes);
    std::fs::write(path, text).unwrap();
}

impl Scene {
    pub fn new(precision: PrecisionName) -> Scene {
        Scene::with(precision, |_| ())
    }

    /// With a factored output layer.
    pub fn with_classes(precision: PrecisionName, is_tied: bool, row_updates: RowUpdates) -> Scene {
        Scene::with(precision, |settings| with_classes(settings, is_tied, row_updates))
    }

    /// With changed settings.
    pub fn with(precision: PrecisionName, change: impl Fn(&mut Settings)) -> Scene {
        // In memory if possible: the tests do not depend on a disk, and hundreds of saves to one
        // take long.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let text = folder.path().join("stories.txt");
        write_text(&text, 1_200, 3);
        let scene = Scene { folder, n_tries: 0.into() };
        let mut settings = settings(&text, precision);
        change(&mut settings);
        let watcher = &mut Watcher::default();
        prepare(Place::At(&scene.prepared()), &settings, Budget::Steps(N_STEPS), 1, watcher)
            .unwrap();
        scene
    }

    fn prepared(&self) -> PathBuf {
        self.folder.path().join("prepared")
    }

    /// The text of the run.
    pub fn text(&self) -> PathBuf {
        self.folder.path().join("stories.txt")
    }

    /// A new folder with a run before its first step.
    pub fn fresh(&self) -> PathBuf {
        let n = self.n_tries.replace(self.n_tries.get() + 1);
        let dir = self.folder.path().join(format!("try-{n}"));
        copy(&self.prepared(), &dir);
        dir
    }

    /// The final state of a run that is never stopped.
    pub fn uninterrupted(&self) -> End {
        let dir = self.fresh();
        finish(&dir, 1);
        end(&dir)
    }
}

/// Copies a folder and its contents.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens the run and stops it after `step`.
pub fn stop_at(dir: &Path, step: u64, threads: usize) {
    let watcher = &mut Watcher { stop_at: Some(step), ..Watcher::default() };
    let outcome = Run::open(dir, threads).unwrap().drive(watcher).unwrap();
    assert_eq!(outcome, Outcome::Stopped { step });
}

/// Opens the run and finishes it; returns its evaluations.
pub fn finish(dir: &Path, threads: usize) -> Vec<Evaluation> {
    let watcher = &mut Watcher::default();
    let outcome = Run::open(dir, threads).unwrap().drive(watcher).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    std::mem::take(&mut watcher.evaluations)
}

/// The error of opening a run that must be refused.
pub fn refusal(dir: &Path) -> RunError {
    Run::open(dir, 1).err().expect("the run opened")
}

/// The final state of the run.
pub fn end(dir: &Path) -> End {
    let found = newest(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap();
    let mut facts = serde_json::to_value(&found.manifest.facts).unwrap();
    facts["state"]["train_seconds"] = 0.into();
    let metrics = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    End {
        model: std::fs::read(found.path.join("model.safetensors")).unwrap(),
        optimizer: std::fs::read(found.path.join("optimizer.safetensors")).unwrap(),
        facts,
        metrics: metrics.lines().map(row_without_times).collect(),
        samples: std::fs::read(dir.join("samples.jsonl")).unwrap(),
    }
}

fn row_without_times(line: &str) -> serde_json::Value {
    let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
    for field in ["elapsed_s", "tok_s"] {
        assert!(row[field].take().is_number(), "{line}");
    }
    row
}

impl End {
    /// The first part in which two final states differ.
    pub fn difference(&self, other: &End) -> Option<&'static str> {
        let parts = [
            ("model.safetensors", self.model == other.model),
            ("optimizer.safetensors", self.optimizer == other.optimizer),
            ("manifest.json", self.facts == other.facts),
            ("metrics.jsonl", self.metrics == other.metrics),
            ("samples.jsonl", self.samples == other.samples),
        ];
        parts.into_iter().find(|(_, is_same)| !is_same).map(|(name, _)| name)
    }
}
