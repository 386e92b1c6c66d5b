//! Word classes: planted ones are found again, whatever the threads; caps hold; edge cases are met.
//!
//! `measure.rs` prints speeds and perplexities on a real corpus, when asked to.

// A failed `unwrap` is how a test fails; clippy knows that only of functions marked as tests.
#![allow(clippy::unwrap_used)]

mod edges;
mod measure;
mod planted;

use kernels::Pool;
use text::vocab::classes::{ClassMethod, ClassOptions, Classes, build};

/// Classes of a text on so many threads, nobody watching.
fn classes(tokens: &[u32], vocab_size: usize, options: &ClassOptions, threads: usize) -> Classes {
    build(tokens, vocab_size, options, &mut Pool::new(threads), &mut |_, _| true).unwrap()
}

fn options(method: ClassMethod, n_classes: usize) -> ClassOptions {
    ClassOptions::new(method, n_classes, 1)
}
