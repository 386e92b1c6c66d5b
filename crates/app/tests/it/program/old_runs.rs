//! Stored runs of earlier programs: each resumes to the bits of the program that wrote it.
//!
//! `scripts/make_old_runs.py` made them on the portable instruction path, so every x86-64 processor
//! gets the same bits under Linux. On other systems the losses must be close.

use crate::program::process::{Ended, program};
use engine::checkpoint::newest;
use engine::disk::RealFs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder for each kind of run, and the texts that all of them were trained on.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program/fixtures");
const TEXTS: [&str; 2] = ["text.txt", "valid.txt"];
/// Command that generates the expected text from the finished model.
const GENERATE: &str = "generate run Once --seed 7 --max-tokens 24";
/// Whether arithmetic here rounds like that of the stored runs: other processors fuse operations,
/// and mathematical libraries of other systems may differ in the last bit of a logarithm.
const HAS_SAME_BITS: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));

/// A copy of a stored run, and its expected result.
struct OldRun {
    folder: tempfile::TempDir,
    expected: Value,
}

/// All kinds of stored runs.
fn kinds() -> Vec<String> {
    let entries = fs::read_dir(FIXTURES).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut kinds: Vec<_> = folders.map(|f| f.file_name().into_string().unwrap()).collect();
    kinds.sort();
    kinds
}

/// Copies contents only, without permissions and times.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::write(to, fs::read(from).unwrap()).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

/// Runs the program on the portable instruction path.
fn portable(folder: &Path, args: &str) -> Ended {
    let mut command = program(folder);
    command.args(args.split_whitespace()).env("CRYSTALLINE_ISA", "portable");
    command.output().unwrap().into()
}

impl OldRun {
    fn of(kind: &str) -> OldRun {
        let stored = Path::new(FIXTURES).join(kind);
        let folder = tempfile::tempdir().unwrap();
        for text in TEXTS {
            copy(&Path::new(FIXTURES).join(text), &folder.path().join(text));
        }
        copy(&stored.join("run"), &folder.path().join("run"));
        let expected = fs::read(stored.join("expected.json")).unwrap();
        OldRun { folder, expected: serde_json::from_slice(&expected).unwrap() }
    }

    fn run(&self, args: &str) -> Ended {
        portable(self.folder.path(), args)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(name)
    }

    /// A file of the newest checkpoint.
    fn checkpoint_file(&self, name: &str) -> PathBuf {
        let entries = fs::read_dir(self.file("checkpoints")).unwrap();
        entries.map(|entry| entry.unwrap().path()).max().unwrap().join(name)
    }

    /// A number of the last row of a file of rows; null if there is none.
    fn last(&self, file: &str, field: &str) -> Value {
        let rows = fs::read_to_string(self.file(file)).unwrap();
        let row: Value =
            rows.lines().last().map_or(Value::Null, |r| serde_json::from_str(r).unwrap());
        row[field].clone()
    }

    /// The first tensor, loss or text of the finished run that is not as expected.
    fn difference(&self) -> Option<String> {
        let in_tensors =
            || ["model", "optimizer"].into_iter().find_map(|part| self.in_tensors(part));
        let in_losses = || {
            let losses = [("metrics.jsonl", "train_loss"), ("evals.jsonl", "val_loss")];
            losses.into_iter().find_map(|(file, field)| {
                let (found, expected) = (self.last(file, field), &self.expected[field]);
                let is_same = is_same_number(&found, expected);
                (!is_same).then(|| format!("{field} is {found}, expected {expected}"))
            })
        };
        if !HAS_SAME_BITS {
            return in_losses();
        }
        in_tensors().or_else(in_losses).or_else(|| {
            let (written, expected) = (self.run(GENERATE).stdout, &self.expected["written"]);
            (*expected != written).then(|| format!("wrote {written:?}, expected {expected}"))
        })
    }

    /// The first tensor of a checkpoint's file that is not as expected.
    fn in_tensors(&self, part: &str) -> Option<String> {
        let file = fs::read(self.checkpoint_file(&format!("{part}.safetensors"))).unwrap();
        let found = tensors(&file);
        let expected: BTreeMap<String, String> =
            serde_json::from_value(self.expected[part].clone()).unwrap();
        let mut names = expected.keys().chain(found.keys());
        let name = names.find(|name| expected.get(*name) != found.get(*name))?;
        let (found, expected) = (found.get(name), expected.get(name));
        Some(format!("{part}: {name} is {found:?}, expected {expected:?}"))
    }
}

/// Whether two losses, which may be null, are equal, or close if this processor rounds differently.
fn is_same_number(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) if !HAS_SAME_BITS => (a - b).abs() < 1e-3,
        (a, b) => a == b,
    }
}

/// Shape and hash of each tensor of a safetensors file: a length, a JSON header, values.
///
/// Parsed independently of the code under test.
fn tensors(file: &[u8]) -> BTreeMap<String, String> {
    let (len, rest) = file.split_first_chunk().unwrap();
    let (header, values) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    header.remove("__metadata__");
    let describe = |tensor: Value| {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let [start, end]: [usize; 2] =
            serde_json::from_value(tensor["data_offsets"].clone()).unwrap();
        format!("{shape:?} {:016x}", fnv1a(&values[start..end]))
    };
    header.into_iter().map(|(name, tensor)| (name, describe(tensor))).collect()
}

/// The 64-bit Fowler-Noll-Vo hash, as the script computes it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn stored_runs_resume_to_the_bits_of_their_program() {
    let kinds = kinds();
    assert!(kinds.len() >= 10, "{kinds:?}");
    if !HAS_SAME_BITS {
        eprintln!("skipped: bits of {} runs, stored on x86-64 Linux", kinds.len());
    }
    let mut complaints = Vec::new();
    for kind in &kinds {
        for threads in [1, 2] {
            let run = OldRun::of(kind);
            let commands = [
                format!("resume run --threads {threads}"),
                "eval run text.txt".to_string(),
                "inspect run".to_string(),
                GENERATE.to_string(),
            ];
            let failed = commands.iter().find_map(|args| {
                let ended = run.run(args);
                (ended.code != Some(0)).then(|| format!("{args}: {}", ended.stderr))
            });
            let wrong = failed.or_else(|| run.difference());
            complaints.extend(wrong.map(|wrong| format!("{kind}, {threads} threads: {wrong}")));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The resolved configuration in a run's folder is a settings file: without what it found in the
/// text that was trained on then, it begins a run, whose own configuration makes the same run again.
#[test]
fn the_configuration_of_a_stored_run_makes_a_run_that_can_be_repeated() {
    for kind in kinds() {
        let run = OldRun::of(&kind);
        let stored = fs::read_to_string(run.file("config.toml")).unwrap();
        let mut settings: toml::Table = stored.parse().unwrap();
        let model = settings["model"].as_table_mut().unwrap();
        model.retain(|key, _| !["vocab_size", "n_parts", "ngrams", "head"].contains(&key));
        fs::write(run.folder.path().join("config.toml"), settings.to_string()).unwrap();
        fs::remove_dir_all(run.file("")).unwrap();
        let tensors = |config: &str| {
            let args = format!("train --config {config} --out run --threads 2 --stop-at 8");
            run.run(&args).assert_success();
            let end = newest(&RealFs, &run.file("checkpoints")).unwrap().path;
            let tensors = ["model", "optimizer"].map(|part| {
                tensors(&fs::read(end.join(part).with_extension("safetensors")).unwrap())
            });
            fs::rename(run.file("config.toml"), run.folder.path().join("again.toml")).unwrap();
            fs::remove_dir_all(run.file("")).unwrap();
            tensors
        };
        assert_eq!(tensors("config.toml"), tensors("again.toml"), "{kind}");
    }
}

/// Before output layers could be chosen, neither settings nor checkpoints named one.
#[test]
fn a_run_without_a_named_output_layer_resumes_with_the_full_one() {
    let run = OldRun::of("full-char");
    let config = fs::read_to_string(run.file("config.toml")).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    config.remove("vocab").unwrap();
    fs::write(run.file("config.toml"), config.to_string()).unwrap();
    let path = run.checkpoint_file("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["config"].as_object_mut().unwrap().remove("vocab").unwrap();
    manifest.as_object_mut().unwrap().remove("checksum").unwrap();
    // The checksum covers everything before its line.
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    let body = text.strip_suffix("\n}").unwrap();
    let checksum = blake3::hash(body.as_bytes());
    fs::write(&path, format!("{body},\n  \"checksum\": \"{checksum}\"\n}}\n")).unwrap();
    run.run("resume run --threads 1").assert_success();
    assert_eq!(run.difference(), None);
}

#[test]
fn a_single_differing_bit_is_reported_with_its_tensor() {
    if !HAS_SAME_BITS {
        return eprintln!("skipped: bits were stored on x86-64 Linux");
    }
    let mut run = OldRun::of("full-char");
    let unfinished = run.difference().unwrap();
    assert!(unfinished.starts_with("model: model.embed_tokens.weight is "), "{unfinished}");
    run.run("resume run --threads 1").assert_success();
    assert_eq!(run.difference(), None);
    for (part, tensor) in [
        ("model", "model.layers.1.mlp.up_proj.weight"),
        ("optimizer", "v.model.layers.1.mlp.up_proj.weight"),
    ] {
        let path = run.checkpoint_file(&format!("{part}.safetensors"));
        let whole = fs::read(&path).unwrap();
        let header_len = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&whole[8..8 + header_len]).unwrap();
        let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        let mut flipped = whole.clone();
        flipped[8 + header_len + start] ^= 1;
        fs::write(&path, flipped).unwrap();
        let said = run.difference().unwrap();
        assert!(said.starts_with(&format!("{part}: {tensor} is ")), "{said}");
        fs::write(&path, whole).unwrap();
    }
    let good = run.expected.clone();
    for (field, part) in
        [("val_loss", "val_loss is"), ("written", "wrote "), ("model", "model: model.embed_tokens")]
    {
        run.expected[field] = match &good[field] {
            Value::Number(loss) => Value::from(loss.as_f64().unwrap().next_up()),
            Value::Object(_) => serde_json::json!({}),
            text => Value::from(format!("{text} ")),
        };
        let said = run.difference().unwrap();
        assert!(said.starts_with(part), "{said}");
        run.expected = good.clone();
    }
}
