//! CPU kernels of Crystalline: matrix products, row kernels, random numbers, and threads.
//!
//! This is the only crate with `unsafe` code. Every kernel is one file: its contract, a slow and
//! obvious definition (`naive`), and fast paths that are chosen at run time by [`isa::Isa::active`].
//! Only [`aligned`] and [`pool`] allocate, and only once; [`heap`] is the allocator below them.

pub mod accum;
pub mod adamw;
pub mod aligned;
mod arch;
pub mod attention;
pub mod complex;
pub mod composed;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod exp;
pub mod gated_mlp;
pub mod heap;
pub mod isa;
mod loops;
pub mod matmul;
pub mod pool;
pub mod probe;
pub mod qk_norm;
pub mod reduce;
pub mod rmsnorm;
pub mod rng;
pub mod rope;
pub mod row_dot;
pub mod row_sums;
pub mod rows;
pub mod scalar;
pub mod stop;

pub use accum::Accum;
pub use aligned::AlignedVec;
pub use isa::Isa;
pub use pool::Pool;
pub use rows::{Precision, Rows, RowsMut};
pub use stop::Stop;
