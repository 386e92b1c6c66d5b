//! Reductions and additions: sum of squares in a fixed order, adding slices and rows, finite checks.

use crate::arch::dispatch;
use crate::loops::{map, sum};
use crate::rows::Rows;

/// Elements between two checks of [`all_finite`] for an early exit.
const CHUNK: usize = 2048;

/// The sum of squares in f64, in a fixed order: bit-identical on every instruction set.
///
/// (The square of an f32 is exact in f64, so fusing it with the addition changes nothing.)
pub fn sum_squares(x: &[f32]) -> f64 {
    dispatch!(arch => {
        let _ = arch;
        squares(x)
    })
}

/// Adds `src` into `dst_acc`.
///
/// # Panics
/// If the lengths differ.
pub fn add_into(dst_acc: &mut [f32], src: &[f32]) {
    assert_eq!(dst_acc.len(), src.len(), "add_into: dst_acc and src differ in length");
    dispatch!(arch => map(arch, [dst_acc], src, |[d], s| [d + s]))
}

/// Adds every row of `x` (R, C) into `dst_acc` (C), in ascending order.
///
/// # Panics
/// If `x` is not whole rows.
pub fn add_rows(dst_acc: &mut [f32], x: Rows) {
    let cols = dst_acc.len().max(1);
    assert!(x.len().is_multiple_of(cols), "add_rows: x is not (R, C)");
    dispatch!(arch => match x {
        Rows::F32(x) => x.chunks_exact(cols).for_each(
            #[inline(always)]
            |row| map(arch, [&mut *dst_acc], row, |[sum], x| [sum + x]),
        ),
        Rows::Bf16(x) => x.chunks_exact(cols).for_each(
            #[inline(always)]
            |row| map(arch, [&mut *dst_acc], row, |[sum], x| [sum + x]),
        ),
    })
}

/// Whether every element is finite (neither NaN nor infinite).
pub fn all_finite(x: &[f32]) -> bool {
    // 0 times a finite number is 0; 0 times NaN or infinity is NaN.
    dispatch!(arch => x.chunks(CHUNK).all(
        #[inline(always)]
        |x| sum(arch, x, x.len(), |x| x * 0.0) == 0.0,
    ))
}

#[inline(always)]
fn squares(x: &[f32]) -> f64 {
    let mut acc = [0.0; 16];
    let (blocks, end) = x.as_chunks::<16>();
    for block in blocks {
        for l in 0..16 {
            acc[l] += block[l] as f64 * block[l] as f64;
        }
    }
    let total: f64 = acc.iter().sum();
    total + end.iter().map(|&x| x as f64 * x as f64).sum::<f64>()
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::rows::Rows;

    /// Definition of [`super::add_rows`].
    pub fn add_rows(dst_acc: &mut [f32], x: Rows) {
        for i in 0..x.len() {
            dst_acc[i % dst_acc.len()] += x.get(i);
        }
    }
}
