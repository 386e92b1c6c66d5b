//! Checkpoint files of a run: its state written to them and read back.

use super::error::RunError;
use super::open::Run;
use crate::checkpoint::{Checkpoint, Facts};
use crate::disk::{LoadError, RealFs};
use crate::formats::{FileContents, FileEntry, TensorFile, TensorRef, params_file, read_params};
use crate::head::HeadName;
use crate::train::settings::RunConfig;
use crate::train::{RestoreError, Trainer};
use std::path::Path;

const OPTIMIZER_NAME: &str = "optimizer.safetensors";

impl Run {
    /// Hands the state to the saver; the state may change as soon as this returns.
    pub(super) fn save(&mut self) -> Result<(), RunError> {
        if !self.lock.is_of(&self.dir) {
            return Err(RunError::Moved { dir: self.dir.clone() });
        }
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
            tokenizer_blake3: self.files.tokenizer_blake3().to_owned(),
            state: at,
            run_files: self.run_files.clone(),
            config: config_value(&self.machine.config),
        };
        // The model file has caught-up parameters for its readers; the optimiser's state has the
        // stored rows.
        let (files, saver) = (&self.files, &mut self.saver);
        self.machine.trainer.with_current(|model, _, optimizer| {
            let state = optimizer.state(model.layout);
            let optimizer = state.iter().map(|t| TensorRef {
                name: t.name.clone(),
                shape: t.shape.clone(),
                data: &t.values,
            });
            let mut files = files.entries();
            files.push(params_file(model));
            files.push(FileEntry {
                name: OPTIMIZER_NAME.to_string(),
                contents: FileContents::Tensors(optimizer.collect()),
            });
            saver.save(&Checkpoint { facts, files });
        });
        Ok(())
    }
}

/// Reads the state after `n_updates` updates from a checkpoint's folder.
pub(super) fn load_state(
    folder: &Path,
    trainer: &mut Trainer,
    n_updates: u64,
) -> Result<(), LoadError> {
    let layout = trainer.layout();
    let params = read_params(folder, layout)?;
    let path = folder.join(OPTIMIZER_NAME);
    let mut file = TensorFile::open(&RealFs, &path)?;
    let state = trainer.optimizer().state(layout);
    file.expect_exactly(state.iter().map(|t| (t.name.as_str(), &t.shape[..])))?;
    drop(state);
    let mut read =
        |name: &str, shape: &[usize], values: &mut [f32]| match file.read(name, shape, values)? {
            0 => Ok(()),
            count => Err(LoadError::NotFinite {
                path: path.clone(),
                tensor: name.to_string(),
                count,
                len: values.len(),
                n_others: 0,
            }),
        };
    trainer.restore(&params, n_updates, &mut read).map_err(|error| match error {
        RestoreError::Load(error) => error,
        RestoreError::Number { tensor, found, expected } => {
            LoadError::damaged(&path, format!("tensor {tensor}"), found, expected)
        }
    })
}

fn config_value(config: &RunConfig) -> serde_json::Value {
    serde_json::to_value(config).expect("a configuration always has a JSON form")
}

/// Checks that the run's configuration is the one that its checkpoint was made with.
pub(super) fn check_config(stored: &serde_json::Value, now: &RunConfig) -> Result<(), RunError> {
    // Compared as text, so that f32 settings keep the digits they were written with.
    let text = config_value(now).to_string();
    let now: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut stored: serde_json::Value =
        serde_json::from_str(&stored.to_string()).unwrap_or_default();
    // Older files do not name the full softmax, once the only output layer.
    if let Some(tables) = stored.as_object_mut() {
        tables.entry("vocab").or_insert_with(|| serde_json::json!({ "head": HeadName::default() }));
        // They read text as it is.
        if let Some(data) = tables.get_mut("data").and_then(|data| data.as_object_mut()) {
            for rule in ["line_ends", "normal_form"] {
                data.entry(rule).or_insert_with(|| "keep".into());
            }
        }
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
    use text::corpus::{LineEnds, NormalForm};
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
                separator: None,
                reads_specials: false,
                line_ends: LineEnds::Unify,
                normal_form: NormalForm::Nfc,
            },
            tokenizer: TokenizerConfig {
                kind: TokenizerKind::Word,
                vocab_size: 100,
                min_count: 1,
                file: None,
                blake3: None,
            },
            vocab: VocabConfig::default(),
            train: settings.train.resolve(&model, 4, 10, 1_000),
            model,
        }
    }

    /// A configuration and its checkpoint's copy, both from before output layers had names.
    #[test]
    fn a_run_older_than_the_choice_of_output_layers_has_the_full_softmax() {
        let mut stored = config_value(&config());
        assert_eq!(stored.as_object_mut().unwrap().remove("vocab").unwrap()["head"], "full");
        let mut table: toml::Table = toml::to_string(&config()).unwrap().parse().unwrap();
        table.remove("vocab").unwrap();
        let old: RunConfig = toml::from_str(&table.to_string()).unwrap();
        check_config(&stored, &old).unwrap();
        let vocab = VocabConfig { head: HeadName::Factor, ..VocabConfig::default() };
        let fault =
            check_config(&stored, &RunConfig { vocab, ..old.clone() }).unwrap_err().to_string();
        assert!(fault.contains("vocab.head = \"factor\""), "{fault}");
    }

    #[test]
    fn a_run_older_than_rules_for_line_ends_and_forms_keeps_them() {
        let mut table: toml::Table = toml::to_string(&config()).unwrap().parse().unwrap();
        let mut stored = config_value(&config());
        for rule in ["line_ends", "normal_form"] {
            assert!(table["data"].as_table_mut().unwrap().remove(rule).is_some());
            assert!(stored["data"].as_object_mut().unwrap().remove(rule).is_some());
        }
        let old: RunConfig = toml::from_str(&table.to_string()).unwrap();
        assert_eq!((old.data.line_ends, old.data.normal_form), Default::default());
        check_config(&stored, &old).unwrap();
        assert!(check_config(&stored, &config()).is_err());
    }
}
