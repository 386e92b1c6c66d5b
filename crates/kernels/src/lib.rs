//! The arithmetic of Crystalline: matrix products, row kernels, and the threads that run them.
//!
//! This is the only crate with `unsafe` code. Every kernel is one file: its contract, its slow
//! obvious definition, then its fast paths, chosen at run time by [`isa::Isa::active`]. Nothing
//! here allocates but [`aligned`] and [`pool`], which do so once.

pub mod aligned;
pub mod attention;
pub mod isa;
pub mod pool;
pub mod rows;

pub use aligned::AlignedVec;
pub use isa::Isa;
pub use pool::Pool;
pub use rows::{Precision, Rows, RowsMut};
