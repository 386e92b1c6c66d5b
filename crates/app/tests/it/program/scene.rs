//! Test scene: a folder with a small text, and a run on it that takes about a second.

use crate::program::process::{Ended, program, run};
use engine::checkpoint::{list, newest, verify};
use engine::disk::RealFs;
use std::path::{Path, PathBuf};
use text::stories;

/// A small model with many features; [`Scene::train`] adds more flags.
const TRAIN: &str = "train text.txt --steps 60 --dim 16 --layers 2 --heads 2 --set model.n_kv_heads=1 \
    --seq-len 16 --batch 4 --lanes 2 --holdout 0.2 \
    --eval-every 11 --sample-every 25 --threads 1";

/// Steps so slow that a signal always arrives during one.
const TRAIN_SLOWLY: &str = "train text.txt --out slow --dim 384 --layers 6 \
    --seq-len 128 --batch 128 --lanes 2 --tokenizer char --holdout 0 --precision f32";

/// A folder with `text.txt`, in which the program runs.
pub struct Scene {
    folder: tempfile::TempDir,
}

/// Result of a finished run, without times.
#[derive(Debug, PartialEq)]
pub struct End {
    model: Vec<u8>,
    optimizer: Vec<u8>,
    samples: Vec<u8>,
    metrics: Vec<serde_json::Value>,
}

impl End {
    /// Loss of the last step's batch.
    pub fn train_loss(&self) -> f64 {
        self.metrics.last().unwrap()["train_loss"].as_f64().unwrap()
    }
}

impl Scene {
    pub fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let story: Vec<String> = stories::generate(3).take(6).collect();
        std::fs::write(folder.path().join("text.txt"), story.join("\n\n")).unwrap();
        Scene { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `train` into the folder `out`, with further flags.
    pub fn train(&self, out: &str, flags: &str) -> std::process::Command {
        let mut command = program(self.path());
        command.args(TRAIN.split_whitespace()).args(["--out", out]).args(flags.split_whitespace());
        for (flag, value) in [("--dropout", "0.1"), ("--tokenizer", "char"), ("--save-every", "5")]
        {
            if !flags.contains(flag) {
                command.args([flag, value]);
            }
        }
        command
    }

    /// `resume` of the run in `out`, or `train` with further flags if there is none yet.
    pub fn train_or_resume(&self, out: &str, flags: &str) -> std::process::Command {
        if !self.path().join(out).join("config.toml").exists() {
            return self.train(out, flags);
        }
        let mut command = program(self.path());
        command.args(["resume", out]);
        command
    }

    /// A run in the folder `slow` whose first step takes seconds; `length` says how long it is.
    pub fn train_slowly(&self, length: &[&str]) -> std::process::Command {
        let text = self.path().join("text.txt");
        let long: String = std::fs::read_to_string(&text).unwrap().repeat(20);
        std::fs::write(text, long).unwrap();
        let mut command = program(self.path());
        command.args(TRAIN_SLOWLY.split_whitespace()).args(length);
        command
    }

    /// Trains a run in `out` without interruption.
    pub fn uninterrupted(&self, out: &str, flags: &str) -> End {
        let ended: Ended = self.train(out, flags).output().unwrap().into();
        ended.assert_success();
        assert_eq!(ended.stdout, format!("{out}\n"));
        self.end(out)
    }

    /// Trains a run that stops cleanly after step 20, with checkpoints of steps 15 and 20.
    pub fn stopped(&self, out: &str) {
        let ended: Ended = self.train(out, "--stop-at 20").output().unwrap().into();
        ended.assert_success();
    }

    /// Resumes the run until it is finished.
    pub fn finish(&self, out: &str) {
        run(self.path(), &["resume", out]).assert_success();
    }

    pub fn checkpoints(&self, out: &str) -> PathBuf {
        self.path().join(out).join("checkpoints")
    }

    /// The configuration of a run.
    pub fn read_config(&self, out: &str) -> toml::Table {
        let path = self.path().join(out).join("config.toml");
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    }

    /// Result of the finished run.
    pub fn end(&self, out: &str) -> End {
        let found = newest(&RealFs, &self.checkpoints(out)).unwrap();
        let read = |path: PathBuf| std::fs::read(path).unwrap();
        let rows = String::from_utf8(read(self.path().join(out).join("metrics.jsonl"))).unwrap();
        let without_times = |line: &str| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["elapsed_s"].take();
            row["tok_s"].take();
            row
        };
        End {
            model: read(found.path.join("model.safetensors")),
            optimizer: read(found.path.join("optimizer.safetensors")),
            samples: read(self.path().join(out).join("samples.jsonl")),
            metrics: rows.lines().map(without_times).collect(),
        }
    }

    /// Whether a checkpoint exists under its temporary name.
    pub fn has_unfinished(&self, out: &str) -> bool {
        let entries = std::fs::read_dir(self.checkpoints(out)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.into_iter().any(|name| name.contains(".tmp-"))
    }

    /// The fault of the run's checkpoints, if any: all must verify, and the newest must not be
    /// older than the last one reported as saved.
    pub fn torn(&self, out: &str, saved: Option<u64>) -> Option<String> {
        let dir = self.checkpoints(out);
        if !dir.is_dir() {
            return saved.map(|step| format!("no checkpoints, and step {step} was saved"));
        }
        let listed = list(&RealFs, &dir).unwrap();
        let newest = listed.first().map(|one| one.step);
        if newest < saved {
            return Some(format!("{newest:?} is the newest, and {saved:?} was saved"));
        }
        listed.iter().find_map(|one| verify(&RealFs, &one.path).err()).map(|why| why.to_string())
    }
}

/// The last step that the program reported as saved.
pub fn last_saved(stderr: &str) -> Option<u64> {
    let lines = stderr.lines().filter(|line| line.starts_with("saved "));
    lines.filter_map(|line| line.rsplit_once("step-")?.1.parse().ok()).max()
}
