//! Dropout whose mask is a pure function of a key and the element's index: nothing is stored.
//!
//! Srivastava et al., 2014. The hash is a counter and a key put through a mixer of the shape
//! xor-shift, multiply (twice, the key's upper half between), which vectors do without 64-bit
//! products.

use crate::arch::{Arch, dispatch};
use crate::lanes::{Index, map};

/// Which elements are dropped: each with probability `rate`, as `key` and its index decide.
#[derive(Clone, Copy, Debug)]
pub struct DropMask {
    /// Names this use of dropout: seed, step, layer and place, hashed together by the caller.
    pub key: u64,
    /// Probability of being dropped, in `[0, 1)`.
    pub rate: f32,
}

impl DropMask {
    /// The factor of element `i`: 0 if it is dropped, else `1 / (1 - rate)`.
    #[inline(always)]
    fn factor(self, i: u32) -> f32 {
        // 2^32 * rate fits, as the largest f32 below 1 is 1 - 2^-24.
        let threshold = (self.rate as f64 * 4_294_967_296.0) as u32;
        if hash(self.key, i) >= threshold { 1.0 / (1.0 - self.rate) } else { 0.0 }
    }

    fn check(self, name: &str) {
        assert!((0.0..1.0).contains(&self.rate), "{name}: rate {} is not in [0, 1)", self.rate);
    }
}

/// 32 random bits for element `i` under `key`.
#[inline(always)]
fn hash(key: u64, i: u32) -> u32 {
    let mut h = i.wrapping_mul(0x9e37_79b1) ^ key as u32;
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_add((key >> 32) as u32).wrapping_mul(0x846c_a68b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// `out = x + drop(branch)`: a residual connection around a branch that ends in dropout.
///
/// Kept elements are divided by `1 - rate`. The index is the position in `branch`, modulo 2^32.
///
/// # Panics
/// If the lengths differ or the rate is not in `[0, 1)`.
pub fn dropout_add(out: &mut [f32], x: &[f32], branch: &[f32], mask: DropMask) {
    mask.check("dropout_add");
    assert_eq!(x.len(), out.len(), "dropout_add: x and out differ in length");
    assert_eq!(branch.len(), out.len(), "dropout_add: branch and out differ in length");
    dispatch!(arch => add(arch, out, x, branch, mask))
}

/// Backward of [`dropout_add`] for the branch: `dbranch = drop(dy)` with the same mask.
///
/// # Panics
/// As [`dropout_add`].
pub fn dropout_backward(dbranch: &mut [f32], dy: &[f32], mask: DropMask) {
    mask.check("dropout_backward");
    assert_eq!(dy.len(), dbranch.len(), "dropout_backward: dy and dbranch differ in length");
    dispatch!(arch => {
        map(arch, [dbranch], (dy, Index(0)), |_, (dy, i)| [dy * mask.factor(i)])
    })
}

#[inline(always)]
fn add<A: Arch>(arch: A, out: &mut [f32], x: &[f32], branch: &[f32], mask: DropMask) {
    map(arch, [out], (x, branch, Index(0)), |_, (x, branch, i)| {
        [arch.mul_add(branch, mask.factor(i), x)]
    });
}

/// The definition.
pub mod naive {
    use super::DropMask;
    use crate::scalar::Scalar;

    /// Definition of [`super::dropout_add`].
    pub fn dropout_add<S: Scalar>(out: &mut [S], x: &[S], branch: &[S], mask: DropMask) {
        for i in 0..out.len() {
            out[i] = x[i] + branch[i] * S::from_f64(mask.factor(i as u32) as f64);
        }
    }

    /// Definition of [`super::dropout_backward`].
    pub fn dropout_backward<S: Scalar>(dbranch: &mut [S], dy: &[S], mask: DropMask) {
        for i in 0..dy.len() {
            dbranch[i] = dy[i] * S::from_f64(mask.factor(i as u32) as f64);
        }
    }
}
