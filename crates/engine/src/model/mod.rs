//! Decoder model: its table of tensors, its memory, and the mirrored lists of forward, backward and
//! decoding pass.
//!
//! The architecture is Llama: RMSNorm, rotary positions, gated MLP, grouped-query attention, no
//! biases. Token ids become input vectors (`inputs`), which the blocks (`forward`) turn into the
//! output layer's input, (N, C); losses and distributions belong to the output layer
//! ([`crate::head`]). `decode` runs the same blocks over texts in progress.
//!
//! Letters in shape comments, here and everywhere: **B** sequences, **T** time, **C** model_dim,
//! **H** query heads, **K** key/value heads, **D** head_dim, **F** ffn_dim, **V** vocabulary, **L**
//! layers, **N** = B·T rows, **Q** = (H + 2K)·D the width of a fused query-key-value row.

mod activations;
mod active_rows;
mod arithmetic;
mod backward;
mod config;
mod config_error;
mod decode;
mod forward;
mod inputs;
mod lane;
mod layout;
mod micro_shape;
mod owned;
mod packed;
mod params;
mod product;
mod sequence;
mod shared_attention;
mod table;

pub use activations::Buffer;
pub(crate) use activations::{rows, rows_mut};
pub use active_rows::{ActiveRows, RowsUsed};
pub(crate) use backward::operand;
pub use backward::{add_input_gradient, backward};
pub(crate) use config::{HEAD_DIM_MAX, LIMITS, N_PARTS_MAX, check_ngrams};
pub use config::{ModelConfig, default_ffn_dim};
pub use config_error::ConfigError;
pub(crate) use decode::DecodeBuffers;
pub use decode::NewTokens;
pub use forward::{Dropout, Model, forward};
pub use inputs::{InputLayer, InputSlots, Lookups, SideFileError};
pub use lane::{Lane, LaneOutput};
pub use layout::{LayerSlots, Layout};
pub use micro_shape::MicroShape;
pub use owned::OwnedModel;
pub use packed::{PackedMatrix, PackedWeights, ReadBy, Weights};
pub use params::init_params;
pub(crate) use product::SharedProduct;
pub(crate) use sequence::CHUNK;
pub use sequence::{ContextFull, Sequence};
pub(crate) use table::INIT_STD;
pub use table::{Gradients, Init, Matrix, Span, TableBuilder, Tensor};
