//! Crystalline's engine: from text to a trained model to text.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod convert;
pub mod data;
pub mod generate;
pub mod head;
pub mod model;
pub mod text;
pub mod train;
pub mod vocab;
