//! Word class tests: planted classes are recovered for any number of threads, caps hold, edge
//! cases.
//!
//! `measure.rs` prints speeds and perplexities on a real corpus, on request.

// A panic is how a test fails; clippy allows it only in functions marked as tests.
#![allow(clippy::unwrap_used)]

mod edges;
mod measure;
mod planted;

use kernels::Pool;
use text::vocab::classes::{ClassMethod, ClassOptions, Classes, build};

/// Classes of a text on the given number of threads, without progress.
fn classes(tokens: &[u32], vocab_size: usize, options: &ClassOptions, threads: usize) -> Classes {
    build(tokens, vocab_size, options, &mut Pool::new(threads), &mut |_, _| true).unwrap()
}

fn options(method: ClassMethod, n_classes: usize) -> ClassOptions {
    ClassOptions::new(method, n_classes, 1)
}
