//! The decoder: its table of tensors, its buffers, and its mirror lists of forward and backward.
//!
//! A plain Llama: RMSNorm, rotary positions, gated MLP, grouped-query attention, no biases.
//!
//! Letters in shape comments, here and everywhere: **B** sequences, **T** time, **C** model_dim,
//! **H** query heads, **K** key/value heads, **D** head_dim, **F** ffn_dim, **V** vocabulary,
//! **L** layers, **N** = B·T rows, **Q** = (H + 2K)·D the width of a fused query-key-value row.

mod arithmetic;
mod backward;
mod buffers;
mod config;
mod forward;
mod head_config;
mod inputs;
mod layout;
mod packed;
mod params;
mod unique;

pub(crate) use backward::operand;
pub use backward::{backward, embedding_gradient};
pub(crate) use buffers::as_rows;
pub use buffers::{HeadActs, LaneBuffers, MicroBatch, MicroShape};
pub use config::{ConfigError, ModelConfig, default_ffn_dim};
pub(crate) use config::{N_PARTS_MAX, check_ngrams};
pub use forward::{Dropout, Model, forward};
pub use head_config::{HeadConfig, HeadName};
pub(crate) use inputs::{Inputs, input_forward};
pub use layout::{
    AdaptiveSlots, ClusterSlots, FactorSlots, Init, LayerSlots, Layout, Matrix, Span, Tensor,
};
pub use packed::{Owner, PackedWeights};
pub use params::init_params;
