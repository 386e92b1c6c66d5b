//! The arithmetic of Crystalline: matrix products, row kernels, and the threads that run them.
//!
//! This is the only crate with `unsafe` code. Every kernel is one file: its contract, its slow
//! obvious definition, then its fast paths, chosen at run time by [`isa::Isa::active`]. Nothing
//! here allocates but [`aligned`] and [`pool`], which do so once.

pub mod aligned;
pub mod isa;
pub mod matmul;
pub mod pool;
pub mod probe;
pub mod rows;

pub use aligned::AlignedVec;
pub use isa::Isa;
pub use matmul::{
    Accum, MatmulShape, Packed, matmul, matmul_panels, matmul_wgrad, matmul_wgrad_outputs,
    n_panels, pack_straight, pack_straight_panels, pack_transposed, pack_transposed_panels,
    packed_len, panel_cols, panel_columns, panel_len, wgrad_scratch_len,
};
pub use pool::Pool;
pub use rows::{Precision, Rows, RowsMut};
