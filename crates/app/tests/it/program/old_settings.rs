//! Settings files of earlier programs: every key and name that they used is still accepted.

use crate::program::process::{Ended, program};
use std::path::Path;
use toml::{Table, Value};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program/fixtures");
const TEXTS: [&str; 2] = ["text.txt", "valid.txt"];
/// Keys that belong to other output layers than the file's, beside which they are refused.
const NOT_KEPT: [&str; 2] = ["vocab.cutoffs", "vocab.n_samples"];

/// Settings files, one for each name of a choice.
const NAMES: [&str; 23] = [
    "tokenizer.kind = 'word'",
    "tokenizer.kind = 'split'",
    "tokenizer.kind = 'bpe'",
    "tokenizer.kind = 'char'",
    "vocab.head = 'full'",
    "vocab.head = 'factor'",
    "vocab.head = 'adaptive'",
    "vocab.head = 'sampled'",
    "vocab.classes = 'exchange'",
    "vocab.classes = 'kmeans'",
    "vocab.classes = 'frequency'",
    "vocab.classes = 'random'",
    "vocab.order = 'frequency'",
    "vocab.order = 'spiral'",
    "vocab.order = 'hilbert'",
    "vocab.order = 'random'",
    "model.head = { kind = 'full' }",
    "model.head = { kind = 'factor', class_starts = [0, 3, 9] }",
    "model.head = { kind = 'adaptive', cutoffs = [3, 9] }",
    "train.precision = 'f32'",
    "train.precision = 'bf16'",
    "train.optimizer = { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1 }",
    "train.optimizer = { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, idle_rows = 'dense' }",
];

/// A file with every key.
fn all_settings() -> Table {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("all_settings.toml")).unwrap();
    text.parse().unwrap()
}

/// (section, key, value) of every key.
fn entries(settings: &Table) -> Vec<(&str, &str, &Value)> {
    let sections = settings.iter().map(|(name, section)| (name, section.as_table().unwrap()));
    sections
        .flat_map(|(name, s)| s.iter().map(|(key, v)| (name.as_str(), key.as_str(), v)))
        .collect()
}

/// `train` with the settings `text` in `folder`, on the portable instruction path.
fn train(folder: &Path, text: &str) -> Ended {
    std::fs::write(folder.join("settings.toml"), text).unwrap();
    let mut command = program(folder);
    command.args(["train", "--config", "settings.toml", "--out", "run", "--threads", "1"]);
    command.env("CRYSTALLINE_ISA", "portable").output().unwrap().into()
}

/// The fault of a settings file, if any. It names no text or a missing one, so an error about the
/// text means that the file itself was accepted.
fn fault(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let missing = if text.contains("files") { "text.txt" } else { "no text given" };
    let complaint = train(folder.path(), text).complaint(1, &[missing]);
    complaint.map(|complaint| format!("{text}\n{complaint}"))
}

#[test]
fn a_file_with_any_single_key_is_read() {
    let all = all_settings();
    let entries = entries(&all);
    assert_eq!(entries.len(), 54);
    let file = |(section, key, value): (&str, &str, &Value)| {
        let only = Table::from_iter([(key.to_string(), value.clone())]);
        Table::from_iter([(section.to_string(), Value::Table(only))]).to_string()
    };
    let faults: Vec<String> = entries.into_iter().filter_map(|entry| fault(&file(entry))).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let unknown = fault("[model]\nn_layer = 1\n").unwrap();
    assert!(unknown.contains("unknown field `n_layer`"), "{unknown}");
}

#[test]
fn every_name_of_a_choice_is_read() {
    let faults: Vec<String> = NAMES.into_iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(fault("vocab.head = 'half'").unwrap().contains("unknown value `half`"));
}

#[test]
fn a_file_with_every_key_makes_a_run_that_has_them_all() {
    let folder = tempfile::tempdir().unwrap();
    for text in TEXTS {
        let text_there = std::fs::read(Path::new(FOLDER).join(text)).unwrap();
        std::fs::write(folder.path().join(text), text_there).unwrap();
    }
    let mut all = all_settings();
    let vocab = all["vocab"].as_table_mut().unwrap();
    NOT_KEPT.iter().for_each(|name| drop(vocab.remove(name.trim_start_matches("vocab."))));
    train(folder.path(), &all.to_string()).assert_success();
    let resolved = std::fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    let resolved: Table = resolved.parse().unwrap();
    for (section, key, value) in entries(&all) {
        let name = format!("{section}.{key}");
        assert_eq!(resolved[section].get(key), Some(value), "{name}");
    }
}
