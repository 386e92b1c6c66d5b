//! A run's state as the files of a checkpoint, and back.

use super::error::RunError;
use super::open::Run;
use crate::checkpoint::{
    Checkpoint, Facts, FileContents, FileEntry, HfConfig, LoadError, RealFs, SaveError, TensorFile,
    TensorRef, commit_folder, config_json, generation_config_json,
};
use crate::head::HeadName;
use crate::model::{InputLayer, Layout, Model, ModelConfig, Tensor};
use crate::train::settings::RunConfig;
use crate::train::{RestoreError, Trainer};
use kernels::AlignedVec;
use std::path::Path;
use std::sync::Arc;
use text::tokenizer::Tokenizer;
use text::vocab::morphemes::Codes;
use text::vocab::{CODES_NAME, codes_json};

const MODEL_NAME: &str = "model.safetensors";
const OPTIMIZER_NAME: &str = "optimizer.safetensors";

/// Files that are the same in every checkpoint of a run.
pub(super) struct ConstantFiles {
    files: Vec<(&'static str, Arc<[u8]>)>,
    pub tokenizer_blake3: String,
}

impl ConstantFiles {
    /// The files of a model; runs of word-level vocabularies have codes, but for old ones.
    pub fn new(
        model: &ModelConfig,
        tokenizer: &Tokenizer,
        codes: Option<&Codes>,
        inputs: &InputLayer,
    ) -> ConstantFiles {
        let hf = hf_config(model, tokenizer.eos_id());
        let json = tokenizer.to_json();
        let hash = blake3::hash(&json);
        let mut files: Vec<(&str, Arc<[u8]>)> = vec![
            ("config.json", config_json(&hf).into_bytes().into()),
            ("generation_config.json", generation_config_json(&hf).into_bytes().into()),
            ("tokenizer.json", json.into()),
            ("tokenizer_config.json", tokenizer.config_json().into()),
        ];
        files.extend(codes.map(|codes| (CODES_NAME, codes_json(codes, tokenizer).into())));
        let side_files = inputs.side_files(hash.as_bytes());
        files.extend(side_files.map(|(name, bytes)| (name, bytes.into())));
        ConstantFiles { files, tokenizer_blake3: hash.to_hex().to_string() }
    }

    fn entries<'a>(&self) -> Vec<FileEntry<'a>> {
        let entry = |(name, bytes): &(&str, Arc<[u8]>)| FileEntry {
            name: name.to_string(),
            contents: FileContents::Bytes(Arc::clone(bytes)),
        };
        self.files.iter().map(entry).collect()
    }
}

fn hf_config(m: &ModelConfig, eos_id: Option<u32>) -> HfConfig {
    HfConfig {
        vocab_size: m.vocab_size,
        model_dim: m.model_dim,
        n_layers: m.n_layers,
        n_heads: m.n_heads,
        n_kv_heads: m.n_kv_heads,
        head_dim: m.head_dim,
        ffn_dim: m.ffn_dim,
        max_seq_len: m.seq_len,
        rope_theta: m.rope_theta,
        norm_eps: m.norm_eps,
        tie_embeddings: m.tie_embeddings,
        qk_norm: m.qk_norm,
        n_parts: m.n_parts,
        ngrams: m.ngrams.clone(),
        head: m.head.clone(),
        bos_id: None,
        eos_id,
        pad_id: None,
    }
}

/// The model that the config.json of a folder describes.
pub fn model_config(hf: &HfConfig) -> ModelConfig {
    ModelConfig {
        vocab_size: hf.vocab_size,
        model_dim: hf.model_dim,
        n_layers: hf.n_layers,
        n_heads: hf.n_heads,
        n_kv_heads: hf.n_kv_heads,
        head_dim: hf.head_dim,
        ffn_dim: hf.ffn_dim,
        seq_len: hf.max_seq_len,
        tie_embeddings: hf.tie_embeddings,
        qk_norm: hf.qk_norm,
        rope_theta: hf.rope_theta,
        norm_eps: hf.norm_eps,
        n_parts: hf.n_parts,
        ngrams: hf.ngrams.clone(),
        head: hf.head.clone(),
    }
}

impl Run {
    /// Hands the state to the saver; it may change as soon as this returns.
    pub(super) fn save(&mut self) -> Result<(), RunError> {
        self.metrics.sync()?;
        self.samples.sync()?;
        self.evals.sync()?;
        let mut at = self.at.clone();
        at.n_updates = self.machine.trainer.optimizer().n_updates();
        at.n_metrics_rows = self.metrics.n_rows();
        let train = &self.machine.config.train;
        let facts = Facts {
            step: self.step,
            val_loss_nats: self.val_loss_nats,
            build: env!("CARGO_PKG_VERSION").to_string(),
            precision: train.precision.kernels().name().to_string(),
            instruction_path: kernels::Isa::active().name().to_string(),
            n_lanes: train.n_lanes as u32,
            dataset: self.dataset.clone(),
            tokenizer_blake3: self.files.tokenizer_blake3.clone(),
            state: at,
            config: config_value(&self.machine.config),
        };
        // Others read the parameters, up to date; what they are to go on from is the optimiser's.
        let (files, saver) = (&self.files, &mut self.saver);
        self.machine.trainer.with_current(|model, _, optimizer| {
            let state = optimizer.state(model.layout);
            let optimizer = state.iter().map(|t| TensorRef {
                name: t.name.clone(),
                shape: t.shape.clone(),
                data: &t.values,
            });
            let tensors =
                [(MODEL_NAME, model_tensors(model)), (OPTIMIZER_NAME, optimizer.collect())];
            let mut files = files.entries();
            files.extend(tensors.map(|(name, tensors)| FileEntry {
                name: name.to_string(),
                contents: FileContents::Tensors(tensors),
            }));
            saver.save(&Checkpoint { facts, files });
        });
        Ok(())
    }
}

/// Writes a model folder, which holds what other programs read and nothing of a run.
///
/// # Errors
/// [`SaveError::Exists`] if there is something at `folder`, or as it goes when files are written;
/// there is then no folder.
pub fn write_model(
    folder: &Path,
    model: Model,
    tokenizer: &Tokenizer,
    codes: Option<&Codes>,
) -> Result<(), SaveError> {
    let config = &model.layout.config;
    let mut files = ConstantFiles::new(config, tokenizer, codes, model.inputs).entries();
    let contents = FileContents::Tensors(model_tensors(model));
    files.push(FileEntry { name: MODEL_NAME.to_string(), contents });
    commit_folder(&RealFs, folder, &files, None)?;
    Ok(())
}

fn model_tensors(model: Model<'_>) -> Vec<TensorRef<'_>> {
    let tensor = |t: &Tensor| TensorRef {
        name: t.name.clone(),
        shape: t.shape.clone(),
        data: t.span.of(model.params),
    };
    model.layout.tensors.iter().map(tensor).collect()
}

/// Reads the state after `n_updates` updates from a checkpoint's folder.
pub(super) fn load_state(
    folder: &Path,
    trainer: &mut Trainer,
    n_updates: u64,
) -> Result<(), LoadError> {
    let layout = trainer.layout();
    let params = load_params(folder, layout)?;
    let path = folder.join(OPTIMIZER_NAME);
    let mut file = TensorFile::open(&RealFs, &path)?;
    let state = trainer.optimizer().state(layout);
    file.expect_exactly(state.iter().map(|t| (t.name.as_str(), &t.shape[..])))?;
    drop(state);
    let mut read =
        |name: &str, shape: &[usize], values: &mut [f32]| file.read(name, shape, values).map(drop);
    trainer.restore(&params, n_updates, &mut read).map_err(|error| match error {
        RestoreError::Load(error) => error,
        RestoreError::Number { tensor, found, expected } => {
            LoadError::damaged(&path, format!("tensor {tensor}"), found, expected)
        }
    })
}

/// Reads the parameters of a model folder.
///
/// # Errors
/// [`LoadError`] naming the tensor that is missing or has another shape than the table's.
pub fn load_params(folder: &Path, layout: &Layout) -> Result<AlignedVec<f32>, LoadError> {
    let mut params = AlignedVec::zeroed(layout.len);
    let mut file = TensorFile::open(&RealFs, &folder.join(MODEL_NAME))?;
    file.expect_exactly(layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..])))?;
    for t in &layout.tensors {
        file.read(&t.name, &t.shape, t.span.of_mut(&mut params))?;
    }
    Ok(params)
}

fn config_value(config: &RunConfig) -> serde_json::Value {
    serde_json::to_value(config).expect("a configuration always has a JSON form")
}

/// Checks that the run's configuration is the one its checkpoint was made with.
pub(super) fn check_config(stored: &serde_json::Value, now: &RunConfig) -> Result<(), RunError> {
    // Through text, so that f32 settings compare as they were written.
    let text = config_value(now).to_string();
    let now: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut stored: serde_json::Value =
        serde_json::from_str(&stored.to_string()).unwrap_or_default();
    // Before there was a choice of output layers the softmax over all tokens had no name.
    if let Some(tables) = stored.as_object_mut() {
        tables.entry("vocab").or_insert_with(|| serde_json::json!({ "head": HeadName::Full }));
    }
    match first_difference("", &stored, &now) {
        None => Ok(()),
        Some((field, expected, found)) => Err(RunError::ConfigFile {
            path: super::CONFIG_NAME.into(),
            message: format!(
                "{field} = {found}, but the checkpoint was made with {expected}; \
                 put it back, or begin a new run"
            ),
        }),
    }
}

fn first_difference(
    at: &str,
    a: &serde_json::Value,
    b: &serde_json::Value,
) -> Option<(String, String, String)> {
    match (a, b) {
        (serde_json::Value::Object(a), serde_json::Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let null = serde_json::Value::Null;
            keys.into_iter().find_map(|key| {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                first_difference(&at, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))
            })
        }
        (a, b) if a == b => None,
        (a, b) => Some((at.to_string(), a.to_string(), b.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::settings::{DataConfig, Settings, TokenizerConfig, VocabConfig};
    use text::tokenizer::TokenizerKind;

    fn config() -> RunConfig {
        let settings = Settings::default();
        let model = settings.model.resolve(100, 1_000, false);
        RunConfig {
            data: DataConfig {
                files: vec!["a.txt".into()],
                valid: None,
                holdout: 0.1,
                replace_invalid_utf8: false,
            },
            tokenizer: TokenizerConfig { kind: TokenizerKind::Word, vocab_size: 100, min_count: 1 },
            vocab: VocabConfig::default(),
            train: settings.train.resolve(&model, 4, 10, 1_000, 1),
            model,
        }
    }

    /// The configuration and what its checkpoint has of it, as they were before there was a choice
    /// of output layers.
    #[test]
    fn a_run_from_before_there_was_a_choice_has_the_full_softmax() {
        let mut stored = config_value(&config());
        assert_eq!(stored.as_object_mut().unwrap().remove("vocab").unwrap()["head"], "full");
        let mut table: toml::Table = toml::to_string(&config()).unwrap().parse().unwrap();
        table.remove("vocab").unwrap();
        let old: RunConfig = toml::from_str(&table.to_string()).unwrap();
        check_config(&stored, &old).unwrap();
        let vocab = VocabConfig { head: HeadName::Factor, ..VocabConfig::default() };
        let fault = check_config(&stored, &RunConfig { vocab, ..old }).unwrap_err().to_string();
        assert!(fault.contains("vocab.head = \"factor\""), "{fault}");
    }
}
