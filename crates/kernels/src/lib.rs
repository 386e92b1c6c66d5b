//! The arithmetic of Crystalline: matrix products, row kernels, and the threads that run them.
//!
//! This is the only crate with `unsafe` code. Every kernel is one file: its contract, its slow
//! obvious definition, then its fast paths, chosen at run time by [`isa::Isa::active`]. Nothing
//! here allocates but [`aligned`] and [`pool`], which do so once.

pub mod accum;
pub mod adamw;
pub mod aligned;
mod arch;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod exp;
pub mod gated_mlp;
pub mod isa;
mod lanes;
pub mod pool;
pub mod qk_norm;
pub mod reduce;
pub mod rmsnorm;
pub mod rope;
pub mod rows;
pub mod scalar;
pub mod softmax;

pub use accum::Accum;
pub use adamw::{AdamwStep, adamw_update};
pub use aligned::AlignedVec;
pub use cross_entropy::{IGNORE, cross_entropy, cross_entropy_loss};
pub use dropout::{DropMask, dropout_add, dropout_backward};
pub use embedding::{embedding_backward, embedding_forward};
pub use exp::exp_all;
pub use gated_mlp::{swiglu_backward, swiglu_forward};
pub use isa::Isa;
pub use pool::Pool;
pub use qk_norm::{QkNormSaved, qk_norm_backward, qk_norm_forward};
pub use reduce::{add_into, all_finite, scale, sum_lanes, sum_squares};
pub use rmsnorm::{rmsnorm_backward, rmsnorm_forward};
pub use rope::{HEAD_DIM_MAX, Heads, RopeTable, rope_backward, rope_forward, rope_forward_to};
pub use rows::{Precision, Rows, RowsMut, store_rows};
pub use softmax::{argmax, softmax_in_place};
