//! Model folders: reading and writing models in the formats that other programs share.
//!
//! [`ModelFolder`] is the entry point: it reads the configuration, the parameters, the tokeniser or
//! the whole model in a folder, each on demand. `hf` has the files of a Hugging Face folder,
//! `safetensors` the tensors in them.

mod file;
mod folder;
mod hf;
mod safetensors;

pub use file::{FileContents, FileEntry};
pub use folder::{LoadedModel, ModelFolder, ModelFolderError};
pub use hf::{
    CONFIG_BYTES_MAX, ConstantFiles, TokenIds, config_json, generation_config_json, params_file,
    parse_config, read_any_params, read_params,
};
pub use safetensors::{
    TensorFile, TensorInfo, TensorLimits, TensorRef, tensors_file_len, write_tensors,
};
