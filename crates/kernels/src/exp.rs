//! Exponential function in f32: branch-free polynomial code that vectorises in a loop.
//!
//! `e^x = 2^n e^r` with `n = round(x / ln 2)` and `|r| <= ln(2) / 2`, where a polynomial of degree 6
//! is accurate to 0.03 ulp. The total error is below 1 ulp where multiply-add is fused and below
//! 1.2 ulp where it is not (tested for every f32 of magnitude 2^-9 and more).

use crate::arch::{Arch, dispatch};
use crate::loops::map;

/// Smaller arguments would give a denormal result; it becomes 0.
const LOWEST: f32 = -87.33;
/// Larger arguments exceed the largest f32; the result is infinity.
const HIGHEST: f32 = 88.722_83;
/// 1.5 * 2^23: adding it to a small number leaves that number, rounded, in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// The upper bits of ln 2, few enough that the product with `n` is exact; then the remainder.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `(e^r - 1 - r) / r^2` by ascending powers of `r`, a minimax fit of the relative error of `e^r`.
const POLY: [f32; 5] = [0.499_999_93, 0.166_665_2, 0.041_668_394, 0.008_368_78, 0.001_381_446_5];

/// `e^x` with an error below 1.2 ulp; NaN stays NaN.
///
/// Results below the smallest normal number are 0, those above the largest are infinite.
#[inline(always)]
pub(crate) fn exp<A: Arch>(arch: A, x: f32) -> f32 {
    let shifted = arch.mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = arch.mul_add(n, -LN2_LOW, arch.mul_add(n, -LN2_HIGH, x));
    let mut poly = POLY[4];
    for c in [POLY[3], POLY[2], POLY[1], POLY[0], 1.0, 1.0] {
        poly = arch.mul_add(poly, r, c);
    }
    // The lowest bits of `shifted` are n; this adds n to the exponent.
    let y = f32::from_bits(poly.to_bits().wrapping_add(shifted.to_bits() << 23));
    let y = if x < LOWEST { 0.0 } else { y };
    // `<=` rather than `>`, so that a NaN takes the branch that keeps it.
    if x <= HIGHEST { y } else { x * f32::INFINITY }
}

/// Sigmoid: `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<A: Arch>(arch: A, x: f32) -> f32 {
    1.0 / (1.0 + exp(arch, -x))
}

/// `y = e^(scale * (x - shift))`: turns logits into sampling weights at temperature `1 / scale`.
///
/// | argument | shape | meaning                              |
/// |----------|-------|--------------------------------------|
/// | `y`      | (N)   | overwritten                          |
/// | `x`      | (N)   | input; `-inf` gives 0, NaN stays NaN |
///
/// Cost: one exponential per element.
///
/// # Panics
/// If the lengths differ.
pub fn exp_scaled(y: &mut [f32], x: &[f32], scale: f32, shift: f32) {
    assert_eq!(y.len(), x.len(), "exp_scaled: y and x");
    dispatch!(arch => map(arch, [y], x, |_, x| [exp(arch, (x - shift) * scale)]));
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::scalar::Scalar;

    /// Definition of [`super::exp_scaled`].
    pub fn exp_scaled<S: Scalar>(y: &mut [S], x: &[S], scale: f64, shift: f64) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = ((*x - S::from_f64(shift)) * S::from_f64(scale)).exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::exp;
    use crate::arch::{Arch, dispatch};
    use crate::isa::testing::on_each_path;
    use crate::loops::map;

    fn is_fused<A: Arch>(_: A) -> bool {
        A::FMA
    }

    /// `e^x` of every element, on the active path.
    fn exp_all(x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        dispatch!(arch => map(arch, [&mut y], x, |_, x| [exp(arch, x)]));
        y
    }

    /// Difference from `e^x` in ulp of the result.
    fn error(x: f32, y: f32) -> f64 {
        let expected = f64::from(x).exp();
        let unit = f64::from(f32::EPSILON) * expected.log2().floor().exp2();
        (f64::from(y) - expected).abs() / unit
    }

    #[test]
    fn exp_is_within_its_bound() {
        let x: Vec<f32> = (0..300_007).map(|i| -87.33 + i as f32 * (176.05 / 300_007.0)).collect();
        on_each_path(|isa| {
            let bound = dispatch!(arch => if is_fused(arch) { 1.0 } else { 1.2 });
            for (x, y) in x.iter().zip(exp_all(&x)) {
                assert!(error(*x, y) < bound, "{} {x}: {y:e}", isa.name());
                let wrong = f32::from_bits(y.to_bits() + 3);
                assert!(error(*x, wrong) > bound, "an error of three units goes unseen");
            }
        });
    }

    #[test]
    fn exp_at_the_ends() {
        let x = [0.0, -0.0, -87.34, -1e9, f32::NEG_INFINITY, 88.73, 1e9, f32::INFINITY, f32::NAN];
        on_each_path(|isa| {
            let y = exp_all(&x);
            let infinite = f32::INFINITY;
            let expected = [1.0, 1.0, 0.0, 0.0, 0.0, infinite, infinite, infinite];
            assert_eq!(y[..8], expected, "{}", isa.name());
            assert!(y[8].is_nan(), "{}", isa.name());
        });
    }
}
