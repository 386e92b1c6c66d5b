//! Choosing from logits: softmax of one row in place, and the index of the largest.

use crate::arch::{Arch, dispatch};
use crate::exp::exp;
use crate::lanes::{largest, map, sum};

/// Elements that [`argmax`] looks through again for the position of the maximum.
const CHUNK: usize = 1024;

/// Replaces `x` by `softmax(x / temperature)`.
///
/// If an element is NaN or the maximum is infinite, every element becomes NaN.
///
/// # Panics
/// If the temperature is not positive.
pub fn softmax_in_place(x: &mut [f32], temperature: f32) {
    assert!(temperature > 0.0, "softmax_in_place: temperature {temperature} is not positive");
    dispatch!(arch => softmax(arch, x, 1.0 / temperature))
}

/// The index of the largest element, the first of equals; a NaN never wins. 0 if there is none.
pub fn argmax(x: &[f32]) -> usize {
    dispatch!(arch => first_largest(arch, x))
}

#[inline(always)]
fn softmax<A: Arch>(arch: A, x: &mut [f32], inverse_temperature: f32) {
    let max = largest(arch, x);
    map(arch, [&mut *x], (), |[x], ()| [exp(arch, (x - max) * inverse_temperature)]);
    let factor = 1.0 / sum(arch, &*x, x.len(), |x| x);
    map(arch, [x], (), |[x], ()| [x * factor]);
}

#[inline(always)]
fn first_largest<A: Arch>(arch: A, x: &[f32]) -> usize {
    let (mut best, mut best_chunk) = (f32::NEG_INFINITY, 0);
    for (c, chunk) in x.chunks(CHUNK).enumerate() {
        let max = largest(arch, chunk);
        if max > best {
            (best, best_chunk) = (max, c);
        }
    }
    let start = best_chunk * CHUNK;
    start + x[start..].iter().position(|&x| x == best).unwrap_or(0)
}
