//! Model folder: configuration, parameters, tokeniser and side files, each read on demand.
//!
//! `ModelFolder::open` is the one way in. It is in [`crate::checkpoint`], because it takes any path
//! that a user may give and verifies what has a manifest.

use super::file::FileEntry;
use super::hf::{
    CONFIG_NAME, ConstantFiles, TOKENIZER_NAME, check_files, params_file, read_any_params,
    read_config, read_text_ends,
};
use crate::disk::{LoadError, Reading, RealFs, Rejected, SaveError, commit_folder};
use crate::memory::{self, MemoryError};
use crate::model::{
    ConfigError, InputLayer, Layout, Model, ModelConfig, OwnedModel, PackedWeights, SideFileError,
};
use kernels::aligned::plan;
use kernels::{AlignedVec, Pool, Precision};
use std::path::{Path, PathBuf};
use text::tokenizer::{TextError, Tokenizer};
use text::vocab::morphemes::Codes;
use text::vocab::{CodeFileError, read_codes};

/// Path of a folder with a model; nothing is loaded.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    rejected: Vec<Rejected>,
    allows_nonfinite: bool,
    /// Keeps a training from removing the folder while it is read.
    _reading: Option<Reading>,
}

/// A model in memory, its tokeniser, and its folder.
#[derive(Debug)]
pub struct LoadedModel {
    /// Model, ready for prediction and evaluation.
    pub model: OwnedModel,
    /// Its tokeniser.
    pub tokenizer: Tokenizer,
    /// Tokens that end a text ([`ModelFolder::text_ends`]).
    pub text_ends: Vec<u32>,
    /// The folder.
    pub folder: PathBuf,
}

/// Error of a model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFolderError {
    /// There is no model at the path.
    #[error(
        "{}: no model here; give a run's folder, such as runs/book, or a folder with \
         config.json and model.safetensors", path.display()
    )]
    NoModel {
        /// The path.
        path: PathBuf,
    },
    /// A file cannot be read, or no checkpoint is usable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The configuration is invalid.
    #[error("{}: {why}", path.display())]
    Shape {
        /// The configuration.
        path: PathBuf,
        /// The invalid field.
        why: ConfigError,
    },
    /// The tokeniser cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TextError),
    /// The tokeniser belongs to another model.
    #[error(
        "{}: the tokeniser has {n_tokens} tokens, the model {vocab_size}", path.display()
    )]
    OtherTokenizer {
        /// The folder.
        path: PathBuf,
        /// Number of tokens of the tokeniser.
        n_tokens: usize,
        /// Number of tokens of the model.
        vocab_size: usize,
    },
    /// A file of the input layer cannot be used.
    #[error(transparent)]
    Inputs(#[from] SideFileError),
    /// The model does not fit into memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Memory beside the model that using it takes at least.
const LOAD_BYTES: usize = 4 << 20;

impl ModelFolderError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            ModelFolderError::NoModel { .. } => "no-model",
            ModelFolderError::Load(error) => error.code(),
            ModelFolderError::Shape { .. } => "shape-refused",
            ModelFolderError::Tokenizer(error) => error.code(),
            ModelFolderError::OtherTokenizer { .. } => "file-mismatch",
            ModelFolderError::Inputs(error) => error.code(),
            ModelFolderError::Memory(error) => error.code(),
        }
    }
}

impl ModelFolder {
    /// The folder `path`, which was verified if it has a manifest, chosen after the `rejected`
    /// checkpoints.
    ///
    /// # Errors
    /// [`ModelFolderError::NoModel`] if it has no configuration.
    pub(crate) fn of_verified(
        path: &Path,
        rejected: Vec<Rejected>,
        reading: Option<Reading>,
    ) -> Result<ModelFolder, ModelFolderError> {
        if path.join(CONFIG_NAME).is_file() {
            Ok(ModelFolder {
                path: path.to_owned(),
                rejected,
                allows_nonfinite: false,
                _reading: reading,
            })
        } else {
            Err(ModelFolderError::NoModel { path: path.to_owned() })
        }
    }

    /// The same folder, whose parameters may be NaN or infinite if `allows` is set: only to look at
    /// such a model.
    #[must_use]
    pub fn allow_nonfinite(self, allows: bool) -> ModelFolder {
        ModelFolder { allows_nonfinite: allows, ..self }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Preferred checkpoints that cannot be used; to be reported to the user.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Configuration of the model.
    ///
    /// # Errors
    /// [`LoadError`] as [`super::parse_config`].
    pub fn config(&self) -> Result<ModelConfig, LoadError> {
        Ok(read_config(&self.path)?.0)
    }

    /// Table of tensors.
    ///
    /// # Errors
    /// [`ModelFolderError::Load`], [`ModelFolderError::Shape`].
    pub fn layout(&self) -> Result<Layout, ModelFolderError> {
        let path = || self.path.join(CONFIG_NAME);
        Layout::new(&self.config()?).map_err(|why| ModelFolderError::Shape { path: path(), why })
    }

    /// The tokeniser, without comparison with the model.
    ///
    /// # Errors
    /// [`TextError`] if it is missing or damaged.
    pub fn tokenizer(&self) -> Result<Tokenizer, TextError> {
        Tokenizer::load(&self.path.join(TOKENIZER_NAME))
    }

    /// The tokeniser, checked to have no more tokens than the model with this table.
    ///
    /// # Errors
    /// [`ModelFolderError::Tokenizer`], [`ModelFolderError::OtherTokenizer`].
    pub fn tokenizer_for(&self, layout: &Layout) -> Result<Tokenizer, ModelFolderError> {
        let tokenizer = self.tokenizer()?;
        let (n_tokens, vocab_size) = (tokenizer.vocab_size(), layout.config.vocab_size);
        if n_tokens > vocab_size {
            let path = self.path.clone();
            return Err(ModelFolderError::OtherTokenizer { path, n_tokens, vocab_size });
        }
        Ok(tokenizer)
    }

    /// Tokens any of which ends a text: those that the model's files name (`generation_config.json`
    /// if it names any, else `config.json`), and the tokeniser's. The end of a line of pre-tokenised
    /// text, which the files name for other programs, does not end the text.
    ///
    /// # Errors
    /// [`LoadError`] if one of the two files is damaged.
    pub fn text_ends(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, LoadError> {
        let own = tokenizer.text_end();
        let line_end = tokenizer.eos_id().filter(|id| own != Some(*id));
        let mut ends = read_text_ends(&self.path)?;
        ends.extend(own);
        ends.sort_unstable();
        ends.dedup();
        ends.retain(|id| line_end != Some(*id));
        Ok(ends)
    }

    /// The parameters, laid out by the table.
    ///
    /// # Errors
    /// [`LoadError`] with the first tensor that is missing, has another shape, or holds NaN or
    /// infinity that is not allowed.
    pub fn params(&self, layout: &Layout) -> Result<AlignedVec<f32>, LoadError> {
        let (params, not_finite) = read_any_params(&self.path, layout)?;
        not_finite.filter(|_| !self.allows_nonfinite).map_or(Ok(params), Err)
    }

    /// The input layer.
    ///
    /// # Errors
    /// [`SideFileError`] if a file that the model needs is missing or damaged.
    pub fn inputs(
        &self,
        tokenizer: &Tokenizer,
        layout: &Layout,
    ) -> Result<InputLayer, SideFileError> {
        InputLayer::open(&self.path, tokenizer, tokenizer.hash().as_bytes(), layout)
    }

    /// The codes of words, if the folder has them.
    ///
    /// # Errors
    /// [`CodeFileError`] if they are damaged or of another tokeniser.
    pub fn codes(&self, tokenizer: &Tokenizer) -> Result<Option<Codes>, CodeFileError> {
        read_codes(&self.path, tokenizer)
    }

    /// The whole model, with matrices packed in `precision`.
    ///
    /// # Errors
    /// [`ModelFolderError`] with the first file that cannot be used.
    pub fn load(
        &self,
        precision: Precision,
        pool: &mut Pool,
    ) -> Result<LoadedModel, ModelFolderError> {
        let layout = self.layout()?;
        let tokenizer = self.tokenizer_for(&layout)?;
        let text_ends = self.text_ends(&tokenizer)?;
        check_files(&self.path, &layout)?;
        let m = &layout.config;
        let packed =
            plan(|| PackedWeights::new(layout.packed_matrices(), precision, false)).bytes();
        let angles = m.seq_len * m.head_dim * size_of::<f32>();
        memory::check(layout.len * size_of::<f32>() + packed + angles + LOAD_BYTES, 0)?;
        let params = self.params(&layout)?;
        let inputs = self.inputs(&tokenizer, &layout)?;
        let model = OwnedModel::new(layout, params, inputs, precision, pool);
        Ok(LoadedModel { model, tokenizer, text_ends, folder: self.path.clone() })
    }

    /// Writes a model folder with the files that other programs read and no state of a run.
    ///
    /// # Errors
    /// [`SaveError::Exists`] if `path` exists, or another error of writing files; there is then no
    /// folder.
    pub fn write(
        path: &Path,
        model: Model<'_>,
        tokenizer: &Tokenizer,
        codes: Option<&Codes>,
    ) -> Result<(), SaveError> {
        let config = &model.layout.config;
        let constant = ConstantFiles::new(config, tokenizer, codes, model.inputs);
        let mut files: Vec<FileEntry<'_>> = constant.entries();
        files.push(params_file(model));
        commit_folder(&RealFs, path, &files, None).map(drop)
    }
}
