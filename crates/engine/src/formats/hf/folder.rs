//! Files of a Hugging Face model folder: their names, the constant ones, and the parameters.

use super::config::{CONFIG_BYTES_MAX, config_json, is_plain, parse_config};
use super::generation_config::{TokenIds, generation_config_json, parse_generation_config};
use super::param_files::{PARAMS_NAME, ParamFiles};
use crate::disk::{LoadError, RealFs, read_file};
use crate::formats::file::{FileContents, FileEntry};
use crate::formats::safetensors::TensorRef;
use crate::model::{InputLayer, Layout, Model, ModelConfig, Tensor};
use kernels::AlignedVec;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use text::tokenizer::Tokenizer;
use text::vocab::morphemes::Codes;
use text::vocab::{CODES_NAME, codes_json};

/// File name of the configuration.
pub const CONFIG_NAME: &str = "config.json";

/// File name of the tokeniser.
pub const TOKENIZER_NAME: &str = "tokenizer.json";

const GENERATION_CONFIG_NAME: &str = "generation_config.json";
const TOKENIZER_CONFIG_NAME: &str = "tokenizer_config.json";

const README_NAME: &str = "README.md";
/// What a folder says that transformers refuses with the advice to upgrade transformers.
const README: &str = "\
This model is of type `crystalline`: its output layer or its input vectors are such that only the
program Crystalline computes them. No version of transformers reads it, so upgrading transformers
does not help. Crystalline can convert a model with a factored output layer into a plain Llama, which
other programs read.
";

/// Files of a model folder that training does not change: all but the parameters.
pub struct ConstantFiles {
    files: Vec<(&'static str, Arc<[u8]>)>,
    tokenizer_blake3: String,
}

impl ConstantFiles {
    /// Constant files of a model. Word-level vocabularies include codes, except for old ones.
    pub fn new(
        model: &ModelConfig,
        tokenizer: &Tokenizer,
        codes: Option<&Codes>,
        inputs: &InputLayer,
    ) -> ConstantFiles {
        let ids = TokenIds { eos: tokenizer.eos_id().into_iter().collect(), ..TokenIds::default() };
        let json = tokenizer.to_json();
        let hash = blake3::hash(&json);
        let mut files: Vec<(&str, Arc<[u8]>)> = vec![
            (CONFIG_NAME, config_json(model, &ids).into_bytes().into()),
            (GENERATION_CONFIG_NAME, generation_config_json(&ids).into_bytes().into()),
            (TOKENIZER_NAME, json.into()),
            (TOKENIZER_CONFIG_NAME, tokenizer.config_json(Some(model.seq_len)).into()),
        ];
        if !is_plain(model) {
            files.push((README_NAME, README.as_bytes().into()));
        }
        files.extend(codes.map(|codes| (CODES_NAME, codes_json(codes, tokenizer).into())));
        let side_files = inputs.side_files(hash.as_bytes());
        files.extend(side_files.map(|(name, bytes)| (name, bytes.into())));
        ConstantFiles { files, tokenizer_blake3: hash.to_hex().to_string() }
    }

    /// The files, ready to be written.
    pub fn entries<'a>(&self) -> Vec<FileEntry<'a>> {
        let entry = |(name, bytes): &(&str, Arc<[u8]>)| FileEntry {
            name: name.to_string(),
            contents: FileContents::Bytes(Arc::clone(bytes)),
        };
        self.files.iter().map(entry).collect()
    }

    /// BLAKE3 of the tokeniser's file, in hexadecimal digits.
    pub fn tokenizer_blake3(&self) -> &str {
        &self.tokenizer_blake3
    }
}

/// The file of a model's parameters, ready to be written.
pub fn params_file(model: Model<'_>) -> FileEntry<'_> {
    let tensor = |t: &Tensor| TensorRef {
        name: t.name.clone(),
        shape: t.shape.clone(),
        data: t.span.of(model.params),
    };
    let tensors = model.layout.tensors.iter().map(tensor).collect();
    FileEntry { name: PARAMS_NAME.to_string(), contents: FileContents::Tensors(tensors) }
}

/// Reads the parameters of a model folder, all of them finite.
///
/// # Errors
/// [`LoadError`] with the first tensor that is missing, has another shape than in the table, or
/// holds NaN or infinity.
pub fn read_params(folder: &Path, layout: &Layout) -> Result<AlignedVec<f32>, LoadError> {
    let (params, not_finite) = read_any_params(folder, layout)?;
    not_finite.map_or(Ok(params), Err)
}

/// Reads the parameters of a model folder whatever their values. If some are NaN or infinite, also
/// returns the error of [`read_params`].
///
/// # Errors
/// [`LoadError`] with the first tensor that is missing or has another shape than in the table.
pub fn read_any_params(
    folder: &Path,
    layout: &Layout,
) -> Result<(AlignedVec<f32>, Option<LoadError>), LoadError> {
    let mut files = check_files(folder, layout)?;
    // Only now: a small file cannot ask for much memory.
    let mut params = AlignedVec::zeroed(layout.len);
    let mut bad = Vec::new();
    for tensor in &layout.tensors {
        let count = files.read(tensor, tensor.span.of_mut(&mut params))?;
        bad.extend((count > 0).then_some((tensor, count)));
    }
    let not_finite = bad.first().map(|(tensor, count)| LoadError::NotFinite {
        path: files.path_of(tensor).to_owned(),
        tensor: tensor.name.clone(),
        count: *count,
        len: tensor.span.len(),
        n_others: bad.len() - 1,
    });
    Ok((params, not_finite))
}

/// Opens the files of a model's parameters and compares their tables with `layout`.
///
/// # Errors
/// As [`read_params`].
pub(in crate::formats) fn check_files(
    folder: &Path,
    layout: &Layout,
) -> Result<ParamFiles, LoadError> {
    let files = ParamFiles::open(folder)?;
    files.expect_exactly(&layout.tensors)?;
    Ok(files)
}

/// Reads the configuration of a model folder.
///
/// # Errors
/// [`LoadError::Io`], and as [`parse_config`].
pub fn read_config(folder: &Path) -> Result<(ModelConfig, TokenIds), LoadError> {
    let path = folder.join(CONFIG_NAME);
    parse_config(&read_file(&RealFs, &path, CONFIG_BYTES_MAX)?, &path)
}

/// Reads the tokens that end a text from a model folder: from `generation_config.json` if it names
/// any, else from `config.json`.
///
/// # Errors
/// [`LoadError::Io`], and as [`parse_config`] and [`parse_generation_config`].
pub fn read_text_ends(folder: &Path) -> Result<Vec<u32>, LoadError> {
    let (config, ids) = read_config(folder)?;
    let path = folder.join(GENERATION_CONFIG_NAME);
    let ends = match read_file(&RealFs, &path, CONFIG_BYTES_MAX) {
        Err(LoadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        bytes => parse_generation_config(&bytes?, &path, config.vocab_size)?,
    };
    Ok(ends.unwrap_or(ids.eos))
}
