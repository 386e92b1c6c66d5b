//! Kernel tests through public functions, driven by the op objects of `tests/ops`.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

#[path = "../ops/mod.rs"]
mod ops;

mod attention;
mod attention_cached;
mod coverage;
mod definitions;
mod gradients;
mod matmul;
mod paths;
mod record;
mod reductions;
mod threads;
