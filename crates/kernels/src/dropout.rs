//! Dropout without a stored mask: the mask is a pure function of a key and the element's index.
//!
//! Srivastava et al., 2014. The hash mixes the index and the key by xor-shifts and multiplications,
//! with the key's upper half added halfway. It needs no 64-bit products, so it vectorises.

use crate::arch::{Arch, dispatch};
use crate::loops::{Index, map};

/// A dropout mask: each element is dropped with probability `rate`, decided by `key` and its index.
#[derive(Clone, Copy, Debug)]
pub struct DropMask {
    /// Identifies this use of dropout: a hash, by the caller, of seed, step, layer and site.
    pub key: u64,
    /// Drop probability, in `[0, 1)`.
    pub rate: f32,
}

impl DropMask {
    /// Whether element `i` is kept.
    #[inline(always)]
    fn keeps(self, i: u32) -> bool {
        // 2^32 * rate fits in u32, since the largest f32 below 1 is 1 - 2^-24.
        let threshold = (self.rate as f64 * 4_294_967_296.0) as u32;
        hash(self.key, i) >= threshold
    }

    /// The factor of element `i`: 0 if it is dropped, else `1 / (1 - rate)`.
    #[inline(always)]
    fn factor(self, i: u32) -> f32 {
        if self.keeps(i) { 1.0 / (1.0 - self.rate) } else { 0.0 }
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
/// Kept elements are divided by `1 - rate`. The index is that of the element in `branch`, modulo
/// 2^32.
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

/// Definitions: slow reference implementations.
pub mod naive {
    use super::DropMask;
    use crate::scalar::Scalar;

    /// Definition of [`super::dropout_add`].
    pub fn dropout_add<S: Scalar>(out: &mut [S], x: &[S], branch: &[S], mask: DropMask) {
        for i in 0..out.len() {
            out[i] = x[i] + branch[i] * factor(mask, i);
        }
    }

    /// Definition of [`super::dropout_backward`].
    pub fn dropout_backward<S: Scalar>(dbranch: &mut [S], dy: &[S], mask: DropMask) {
        for i in 0..dy.len() {
            dbranch[i] = dy[i] * factor(mask, i);
        }
    }

    fn factor<S: Scalar>(mask: DropMask, i: usize) -> S {
        let kept = 1.0 / (1.0 - f64::from(mask.rate));
        S::from_f64(if mask.keeps(i as u32) { kept } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::DropMask;

    const N: u32 = 200_000;

    /// Distance of `count` from its expectation, N times `rate`, in standard deviations.
    fn deviations(count: usize, rate: f64) -> f64 {
        let n = f64::from(N);
        (count as f64 - n * rate).abs() / (n * rate * (1.0 - rate)).sqrt()
    }

    #[test]
    fn the_share_that_is_dropped_is_the_rate() {
        for (key, rate) in [(0, 0.1f32), (1, 0.5), (u64::MAX, 0.9), (1 << 32, 0.02)] {
            let mask = DropMask { key, rate };
            let dropped = (0..N).filter(|&i| !mask.keeps(i)).count();
            assert!(deviations(dropped, rate.into()) < 5.0, "{key:x} {rate}: {dropped}");
            // An excess of a hundredth of all elements would be detected.
            assert!(deviations(dropped + N as usize / 100, rate.into()) > 5.0);
        }
        assert!((0..N).all(|i| DropMask { key: 3, rate: 0.0 }.keeps(i)));
    }

    /// Two independent masks both drop an element with the product of their rates.
    #[test]
    fn neighbouring_keys_and_elements_are_independent() {
        let mask = |key| DropMask { key, rate: 0.5 };
        for (key, other, shift) in [(5, 6, 0), (5, 5 + (1 << 32), 0), (5, 5, 1), (5, 5, 64)] {
            let both = |&i: &u32| !mask(key).keeps(i) && !mask(other).keeps(i + shift);
            let dropped = (0..N).filter(both).count();
            assert!(deviations(dropped, 0.25) < 5.0, "{key:x} {other:x} {shift}: {dropped}");
        }
        let same = (0..N).filter(|&i| !mask(5).keeps(i)).count();
        assert!(deviations(same, 0.25) > 5.0, "two equal masks pass for independent ones");
    }
}
