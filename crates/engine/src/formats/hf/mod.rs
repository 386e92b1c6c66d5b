//! Hugging Face model folders: their files and the contents of these.

mod config;
mod folder;
mod foreign;
mod generation_config;
mod model_type;
mod param_files;

pub use config::{CONFIG_BYTES_MAX, config_json, parse_config};
pub(crate) use folder::TOKENIZER_NAME;
pub(in crate::formats) use folder::check_files;
pub(super) use folder::{CONFIG_NAME, read_config, read_text_ends};
pub use folder::{ConstantFiles, params_file, read_any_params, read_params};
pub use generation_config::{TokenIds, generation_config_json};
use serde::Serialize;

/// The text of a JSON file, indented as other programs write it.
fn pretty(value: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(value).expect("plain structs always have a JSON form");
    json + "\n"
}
