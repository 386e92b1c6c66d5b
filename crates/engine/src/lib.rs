//! Tensors, models, training and files: from token ids to a trained model, and from it to new ids.
//!
//! A model is one allocation of numbers, cut into tensors by a table. Strings, tokenisers and token
//! files come from the `text` crate, arithmetic and random numbers from `kernels`.
//!
//! Reading order: `train/step.rs` is one optimiser step and calls the rest.
//!
//! - [`model`]: configuration, the table of tensors, the forward pass, the backward pass that mirrors
//!   it, and the same blocks over texts in progress.
//! - [`head`]: output layers and their losses.
//! - [`train`]: batches over lanes, the optimiser, and a run from its settings to its end.
//! - [`disk`]: crash-safe files, whatever their content.
//! - [`formats`]: model folders: `config.json`, safetensors and other files.
//! - [`checkpoint`]: model folders with the state of a run, written and found again.
//! - [`generate`]: tokens from a trained model, one after another.
//! - [`memory`]: how much memory this process may take.
//! - [`convert`]: conversion of a model to a full output layer.
//! - [`nearest`]: the rows of a table that are nearest to a vector.
//! - [`vocabulary`]: the tokens of a model, their parts and classes, and what is similar to a word.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod convert;
pub mod disk;
pub mod formats;
pub mod generate;
pub mod head;
pub mod memory;
pub mod model;
pub mod nearest;
pub mod train;
pub mod vocabulary;
