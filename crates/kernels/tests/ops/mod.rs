//! Op objects, one per kernel family: everything that tests, benchmark and record need of a kernel.
//!
//! | part        | what it says                                                                   |
//! |-------------|--------------------------------------------------------------------------------|
//! | `compare`   | outputs on a random shape, their definition in f64, a derived error bound        |
//! | `gradients` | backward definitions beside complex steps of the forward definitions             |
//! | `shared`    | outputs of work that threads share, which must not depend on their number        |
//! | `bench`     | sizes worth measuring, with flops and bytes                                      |
//!
//! Every output, gradient and benchmark line is named after its public function, so
//! `tests/it/coverage.rs` can compare these names with the functions of the crate.

#![allow(dead_code)] // The tests use every part but timings; the benchmark uses `bench` alone.

pub mod check;
pub mod constants;
pub mod inputs;

mod adamw;
pub mod attention;
mod composed;
mod cross_entropy;
mod dropout;
mod embedding;
mod exp;
mod gated_mlp;
pub mod matmul;
mod qk_norm;
mod reduce;
mod rmsnorm;
mod rope;
mod row_dot;
mod row_sums;
mod rows;

use check::{Compared, Gradient};
use inputs::Random;
use kernels::{Pool, Precision};

/// Every kernel family.
pub const ALL: [Op; 16] = [
    adamw::OP,
    attention::OP,
    composed::OP,
    cross_entropy::OP,
    dropout::OP,
    embedding::OP,
    exp::OP,
    gated_mlp::OP,
    matmul::OP,
    qk_norm::OP,
    reduce::OP,
    rmsnorm::OP,
    rope::OP,
    row_dot::OP,
    row_sums::OP,
    rows::OP,
];

/// A family of kernels: a forward function, its backward ones, and their variants.
pub struct Op {
    /// Runs the kernels on a random shape, with rows of the given format where they have a choice.
    pub compare: fn(&mut Random, Precision) -> Vec<Compared>,
    /// Gradients on a small random shape; empty if nothing is differentiated.
    pub gradients: fn(&mut Random) -> Vec<Gradient>,
    /// Outputs of one fixed problem, split among the pool's threads as callers split it.
    pub shared: Option<fn(&mut Pool, Precision) -> Vec<f32>>,
    /// Lines of the benchmark.
    pub bench: fn() -> Vec<Line>,
}

/// For kernels without a backward pass.
pub fn no_gradients(_: &mut Random) -> Vec<Gradient> {
    Vec::new()
}

/// A call to be timed.
pub struct Line {
    /// The function, then what distinguishes its lines.
    pub name: String,
    /// Multiplications and additions of a call; 0 if it has none.
    pub flops: usize,
    /// Bytes of a call, each number read or written counted once.
    pub bytes: usize,
    /// Allocates the arguments and returns the call.
    pub set_up: Box<dyn FnOnce() -> Box<dyn FnMut()>>,
}

/// A benchmark line; see [`Line`].
pub fn line<F: FnMut() + 'static>(
    name: impl Into<String>,
    [flops, bytes]: [usize; 2],
    set_up: impl FnOnce() -> F + 'static,
) -> Line {
    Line { name: name.into(), flops, bytes, set_up: Box::new(|| Box::new(set_up())) }
}

/// Elements of the buffers that fit the second-level cache.
pub const IN_CACHE: usize = 48 << 10;
/// Elements of the buffers that fit no cache.
pub const IN_MEMORY: usize = 8 << 20;
/// Both, with their names.
pub const PLACES: [(&str, usize); 2] = [("in cache", IN_CACHE), ("in memory", IN_MEMORY)];
