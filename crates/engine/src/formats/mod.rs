//! Model folders: reading and writing models in the formats that other programs share.
//!
//! [`ModelFolder`] is the door: a path becomes a configuration, parameters, a tokeniser or a whole
//! model, each when it is asked for. Behind it are `hf`, the files of a Hugging Face folder, and
//! `safetensors`, the numbers in them.

mod file;
mod folder;
mod hf;
mod safetensors;

pub use file::{FileContents, FileEntry};
pub use folder::{LoadedModel, ModelFolder, ModelFolderError};
pub use hf::{
    CONFIG_BYTES_MAX, ConstantFiles, TokenIds, config_json, generation_config_json, params_file,
    parse_config, read_params,
};
pub use safetensors::{
    TensorFile, TensorInfo, TensorLimits, TensorRef, tensors_file_len, write_tensors,
};
