//! Opening a model by the path a user gives: a run, a checkpoint, or any model folder.

use super::say::say;
use anyhow::{Context, Result, bail};
use engine::checkpoint::{CONFIG_BYTES_MAX, RealFs, best, parse_config, read_file};
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel};
use engine::train::run::{CHECKPOINTS_NAME, load_params, model_config};
use kernels::{Pool, Precision};
use std::path::{Path, PathBuf};
use text::tokenizer::Tokenizer;

/// A model, its tokeniser, and where they came from.
pub struct Opened {
    pub model: OwnedModel,
    pub tokenizer: Tokenizer,
    pub folder: PathBuf,
}

/// The model folder that `path` means: itself, or the best checkpoint of the run in it.
pub fn folder(path: &Path) -> Result<PathBuf> {
    let checkpoints = path.join(CHECKPOINTS_NAME);
    if checkpoints.is_dir() {
        let found = best(&RealFs, &checkpoints)?;
        for one in &found.rejected {
            say!("passed over {}: {}", one.path.display(), one.why);
        }
        return Ok(found.path);
    }
    if !path.join("config.json").is_file() {
        bail!(
            "{}: no model here; give a run's folder, such as runs/book, or a folder with \
             config.json and model.safetensors",
            path.display()
        );
    }
    Ok(path.to_owned())
}

/// The shape in a model folder.
pub fn config(folder: &Path) -> Result<ModelConfig> {
    let path = folder.join("config.json");
    let hf = parse_config(&read_file(&RealFs, &path, CONFIG_BYTES_MAX)?, &path)?;
    Ok(model_config(&hf))
}

/// Opens the model that `path` means.
pub fn open(path: &Path, precision: Precision, pool: &mut Pool) -> Result<Opened> {
    let folder = folder(path)?;
    let (layout, tokenizer) = layout_and_tokenizer(&folder)?;
    let params = load_params(&folder, &layout)?;
    let inputs = InputLayer::open(&folder, &tokenizer, tokenizer.hash().as_bytes(), &layout)?;
    let model = OwnedModel::new(layout, params, inputs, precision, pool);
    Ok(Opened { model, tokenizer, folder })
}

/// The table of tensors and the tokeniser in a model folder.
pub fn layout_and_tokenizer(folder: &Path) -> Result<(Layout, Tokenizer)> {
    let layout = Layout::new(&config(folder)?)
        .with_context(|| format!("{}", folder.join("config.json").display()))?;
    let tokenizer = Tokenizer::load(&folder.join("tokenizer.json"))?;
    if tokenizer.vocab_size() > layout.config.vocab_size {
        bail!(
            "{}: the tokeniser has {} tokens, the model {}",
            folder.display(),
            tokenizer.vocab_size(),
            layout.config.vocab_size
        );
    }
    Ok((layout, tokenizer))
}
