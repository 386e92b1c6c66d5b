//! Sums in a fixed order, additions, scaling, and the search for numbers that are not finite.

use crate::arch::{Arch, dispatch};
use crate::lanes::{map, sum};

/// Elements that a loop over several slices takes at a time, so that they stay in cache.
const CHUNK: usize = 2048;

/// The sum of squares in f64, in a fixed order: the same bits on every instruction set.
///
/// (The square of an f32 is exact in f64, so fusing the addition changes nothing.)
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

/// Adds every one of `lanes` into `dst_acc`, in their order, in one pass over `dst_acc`.
///
/// # Panics
/// If the lengths differ.
pub fn sum_lanes(dst_acc: &mut [f32], lanes: &[&[f32]]) {
    for lane in lanes {
        assert_eq!(lane.len(), dst_acc.len(), "sum_lanes: dst_acc and a lane differ in length");
    }
    dispatch!(arch => add_lanes(arch, dst_acc, lanes))
}

/// Multiplies every element by `factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    dispatch!(arch => map(arch, [x], (), |[x], ()| [x * factor]))
}

/// Whether no element is NaN or infinite.
pub fn all_finite(x: &[f32]) -> bool {
    // 0 times a finite number is 0, and 0 times any other is NaN.
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

#[inline(always)]
fn add_lanes<A: Arch>(arch: A, dst_acc: &mut [f32], lanes: &[&[f32]]) {
    for (c, dst) in dst_acc.chunks_mut(CHUNK).enumerate() {
        for lane in lanes {
            let len = dst.len();
            map(arch, [&mut *dst], &lane[c * CHUNK..][..len], |[d], s| [d + s]);
        }
    }
}
