//! Hugging Face model folders: their files and the contents of these.

mod config;
mod folder;
mod foreign;
mod generation_config;
mod model_type;

pub use config::{CONFIG_BYTES_MAX, config_json, parse_config};
pub(super) use folder::{CONFIG_NAME, TOKENIZER_NAME, read_config, read_text_ends};
pub use folder::{ConstantFiles, check_file, params_file, read_params};
pub use generation_config::{TokenIds, generation_config_json};
use serde::Serialize;

/// The text of a JSON file, indented as other programs write it.
fn pretty(value: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(value).expect("plain structs always have a JSON form");
    json + "\n"
}
