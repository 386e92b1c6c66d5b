//! Manifest of a checkpoint, `manifest.json`: its facts, its run's state, and every file's
//! checksum.
//!
//! It is a JSON object whose last entry, alone on its line, is the BLAKE3 of everything before that
//! line. Any JSON reader can read it, and a flipped bit anywhere in it is detected. Every version
//! has this form, so that a sound file of a later version can be told from a damaged one.

use crate::disk::{FileRecord, LoadError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// File name of the manifest in a checkpoint.
pub const MANIFEST_NAME: &str = "manifest.json";

/// Version that is written, and the newest that is read.
pub const MANIFEST_VERSION: u64 = 1;

/// Largest manifest that is read; real ones have a few kilobytes.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// First entry of every manifest.
const FORMAT: &str = "crystalline-checkpoint";

/// Text around the checksum's 64 hexadecimal digits at the end of the file.
const CHECKSUM_BEFORE: &str = ",\n  \"checksum\": \"";
const CHECKSUM_AFTER: &str = "\"\n}\n";
const CHECKSUM_LEN: usize = CHECKSUM_BEFORE.len() + 64 + CHECKSUM_AFTER.len();

/// Facts about a checkpoint, apart from its files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Steps taken; also the number of the next step.
    pub step: u64,
    /// Mean loss on the held-out text at this step, in nats per token, if it was measured.
    pub val_loss_nats: Option<f64>,
    /// Version of the program that wrote it.
    pub build: String,
    /// Number format of matrix products: "f32" or "bf16".
    pub precision: String,
    /// Instruction path that computed it, such as "avx512".
    pub instruction_path: String,
    /// Number of data-parallel lanes.
    pub n_lanes: u32,
    /// Identity of the training text.
    pub dataset: CorpusFingerprint,
    /// BLAKE3 of `tokenizer.json`.
    pub tokenizer_blake3: String,
    /// State of the run.
    pub state: RunState,
    /// The files of the run's folder that it is computed from; empty in older checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_files: Vec<FileRecord>,
    /// The resolved configuration of the run.
    pub config: serde_json::Value,
}

/// Identity of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusFingerprint {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: String,
}

/// State that a run carries from step to step, apart from its tensors.
///
/// Random numbers are functions of (seed, step, index) and the order of the data is a function of
/// (seed, epoch), so there is no generator state to keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Updates the optimiser has made: smaller than the step if steps were skipped.
    pub n_updates: u64,
    /// Tokens trained on.
    pub n_tok: u64,
    /// Complete epochs.
    pub epoch: u64,
    /// Lowest held-out loss so far, in nats per token.
    pub best_val_loss_nats: Option<f64>,
    /// The step of the lowest held-out loss.
    pub best_step: Option<u64>,
    /// Evaluations since the lowest held-out loss.
    pub n_evals_since_best: u64,
    /// Steps skipped because a number was not finite.
    pub n_skipped: u64,
    /// Bad steps directly before this checkpoint, in a row: skipped, or with a loss far too high.
    #[serde(alias = "n_skipped_in_row")]
    pub n_bad_in_row: u64,
    /// Losses of the last good steps, with which the next one is compared.
    pub recent_losses: Vec<f64>,
    /// Loss of the last step's batch.
    pub last_loss_nats: Option<f64>,
    /// Times that the run went back to an earlier state, each with half the learning rate.
    pub n_rollbacks: u64,
    /// Step of the newest checkpoint that a good step was taken from: the one to go back to, which is
    /// therefore kept.
    pub proven_step: Option<u64>,
    /// Step of a newer checkpoint that no step was taken from yet, kept likewise.
    pub unproven_step: Option<u64>,
    /// Rows of `metrics.jsonl`.
    pub n_metrics_rows: u64,
    /// Training time in seconds, over all sessions.
    pub train_seconds: f64,
    /// Whether the evaluation, sample or save that was due after the last step was not done, since
    /// the run was stopped in it; it is done first when the run is resumed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_work_due: bool,
}

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u64,
    /// Facts about the checkpoint.
    #[serde(flatten)]
    pub facts: Facts,
    /// Every other file of the folder.
    pub files: Vec<FileRecord>,
}

/// Part that is read first, to tell another version from damage.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

impl Manifest {
    /// A manifest of the current version.
    pub fn new(facts: Facts, files: Vec<FileRecord>) -> Manifest {
        Manifest { format: FORMAT.to_string(), version: MANIFEST_VERSION, facts, files }
    }

    /// Size of the checkpoint's other files.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// Contents of the file, including the checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string_pretty(self)
            .expect("plain structs and JSON values always have a JSON form");
        let body = json.strip_suffix("\n}").expect("pretty-printed objects end like this");
        [body.as_bytes(), checksum_line(body.as_bytes()).as_bytes()].concat()
    }

    /// Parses the contents written by [`Manifest::to_bytes`]; `path` is for messages.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] if the checksum does not match or the content is invalid,
    /// [`LoadError::NewerVersion`] if it is sound but of a later version.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Manifest, LoadError> {
        let sum = bytes.len().checked_sub(CHECKSUM_LEN).and_then(|at| bytes.split_at_checked(at));
        let Some((body, found)) = sum else {
            let expected = format!("at least {CHECKSUM_LEN}");
            return Err(LoadError::damaged(path, "size", bytes.len(), expected));
        };
        if found != checksum_line(body).as_bytes() {
            let found = String::from_utf8_lossy(found);
            let expected = checksum_line(body);
            return Err(LoadError::damaged(path, "checksum", found.trim(), expected.trim()));
        }
        let json = |error| LoadError::damaged(path, "content", error, "a manifest");
        let head: Head = serde_json::from_slice(bytes).map_err(json)?;
        if head.format != FORMAT {
            return Err(LoadError::damaged(path, "format", head.format, FORMAT));
        }
        if head.version > MANIFEST_VERSION {
            let path = path.to_owned();
            let newest = MANIFEST_VERSION;
            return Err(LoadError::NewerVersion { path, found: head.version, newest });
        }
        serde_json::from_slice(bytes).map_err(json)
    }

    /// Checks that a run can continue from here with this text and this tokeniser; `path` is that
    /// of the manifest, for messages.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] with the first field that differs.
    pub fn check_inputs(
        &self,
        path: &Path,
        dataset: &CorpusFingerprint,
        tokenizer_blake3: &str,
    ) -> Result<(), LoadError> {
        let facts = &self.facts;
        let fields = [
            ("dataset.bytes", facts.dataset.bytes.to_string(), dataset.bytes.to_string()),
            ("dataset.blake3", facts.dataset.blake3.clone(), dataset.blake3.clone()),
            ("tokenizer_blake3", facts.tokenizer_blake3.clone(), tokenizer_blake3.to_string()),
        ];
        match fields.into_iter().find(|(_, stored, current)| stored != current) {
            Some((field, stored, current)) => {
                Err(LoadError::mismatch(path, field, current, format!("{stored} as at its start")))
            }
            None => Ok(()),
        }
    }
}

/// Whether the bytes of a `manifest.json` are of another program: a JSON object without both of the
/// marks of a manifest, which no small damage takes away together.
pub(super) fn is_foreign(bytes: &[u8]) -> bool {
    let has = |mark: &str| bytes.windows(mark.len()).any(|at| at == mark.as_bytes());
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes);
    object.is_ok() && !has(FORMAT) && !has(CHECKSUM_BEFORE)
}

/// Last entry of a manifest whose text before it is `body`.
fn checksum_line(body: &[u8]) -> String {
    format!("{CHECKSUM_BEFORE}{}{CHECKSUM_AFTER}", blake3::hash(body).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let state = RunState { train_seconds: 0.1 + 0.2, n_tok: u64::MAX, ..RunState::default() };
        let config = serde_json::json!({"b": 1, "a": [0.1, null, "text"]});
        let facts =
            Facts { step: 7, val_loss_nats: Some(1.0 / 3.0), state, config, ..Facts::default() };
        let file = FileRecord { name: "x".into(), bytes: 3, blake3: "00".into() };
        Manifest::new(facts, vec![file])
    }

    /// Exact resume needs every float and integer back bit for bit.
    #[test]
    fn survives_a_round_trip_and_is_json() {
        let bytes = example().to_bytes();
        assert_eq!(Manifest::from_bytes(&bytes, Path::new("m")).unwrap(), example());
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["step"], 7);
        assert_eq!(json["checksum"].as_str().unwrap().len(), 64);
    }

    /// Manifests of earlier versions have one more counter, which was never used.
    #[test]
    fn an_obsolete_entry_is_ignored() {
        let bytes = example().to_bytes();
        let body = &bytes[..bytes.len() - CHECKSUM_LEN];
        let body = String::from_utf8_lossy(body).replace("\"epoch\"", "\"position\": 0, \"epoch\"");
        let old = format!("{body}{}", checksum_line(body.as_bytes()));
        assert!(old.contains("\"position\""), "{old}");
        assert_eq!(Manifest::from_bytes(old.as_bytes(), Path::new("m")).unwrap(), example());
    }

    #[test]
    fn floats_survive_exactly() {
        for i in 0..2000u64 {
            let x = f64::from_bits(blake3_bits(i) >> 2); // finite, of every size
            let facts = Facts { val_loss_nats: Some(x), ..Facts::default() };
            let bytes = Manifest::new(facts, vec![]).to_bytes();
            let back = Manifest::from_bytes(&bytes, Path::new("m")).unwrap();
            assert_eq!(back.facts.val_loss_nats.unwrap().to_bits(), x.to_bits(), "{x}");
        }
    }

    fn blake3_bits(i: u64) -> u64 {
        let hash = blake3::hash(&i.to_le_bytes());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_damage() {
        let bytes = example().to_bytes();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[i] ^= 1 << bit;
                let error = Manifest::from_bytes(&bad, Path::new("m")).unwrap_err();
                assert!(matches!(error, LoadError::Damaged { .. }), "byte {i}: {error}");
            }
            let error = Manifest::from_bytes(&bytes[..i], Path::new("m")).unwrap_err();
            assert!(matches!(error, LoadError::Damaged { .. }), "length {i}: {error}");
        }
    }

    #[test]
    fn a_sound_file_of_a_later_version_is_refused_by_name() {
        let mut later = example();
        later.version = 2;
        let error = Manifest::from_bytes(&later.to_bytes(), Path::new("run/manifest.json"));
        let message = error.unwrap_err().to_string();
        assert!(message.contains("run/manifest.json has format version 2"), "{message}");
    }

    /// A later version may have other fields: they must not be taken for damage.
    #[test]
    fn a_later_version_with_other_fields_is_still_told_from_damage() {
        let body = "{\n  \"format\": \"crystalline-checkpoint\",\n  \"version\": 9,\n  \"new\": 1";
        let bytes = format!("{body}{}", checksum_line(body.as_bytes()));
        let error = Manifest::from_bytes(bytes.as_bytes(), Path::new("m")).unwrap_err();
        assert!(matches!(error, LoadError::NewerVersion { found: 9, .. }), "{error}");
    }

    #[test]
    fn changed_inputs_are_named() {
        let manifest = example();
        let (same, path) = (CorpusFingerprint::default(), Path::new("m"));
        manifest.check_inputs(path, &same, "").unwrap();
        let other = CorpusFingerprint { bytes: 1, ..same.clone() };
        let message = manifest.check_inputs(path, &other, "").unwrap_err().to_string();
        assert!(message.contains("dataset.bytes is 1, expected 0"), "{message}");
        let message = manifest.check_inputs(path, &same, "ff").unwrap_err().to_string();
        assert!(message.contains("tokenizer_blake3"), "{message}");
    }
}
