//! The exponential function in f32, written so that a loop over it becomes vectors.
//!
//! `e^x = 2^n e^r` with `n = round(x / ln 2)` and `|r| <= ln(2) / 2`, where a polynomial of degree 6
//! is good to 0.03 units in the last place. All roundings together stay below 1.

use crate::arch::{Arch, dispatch};
use crate::lanes::map;

/// Below this the result would be denormal: it is 0.
const LOWEST: f32 = -87.33;
/// Above this the result exceeds the largest f32: it is infinite.
const HIGHEST: f32 = 88.722_83;
/// 1.5 * 2^23: adding it to a small number leaves that number, rounded, in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 as a number of few bits, whose product with `n` is exact, plus the rest.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `(e^r - 1 - r) / r^2` by ascending powers of `r`, fitted for the least largest relative error
/// of `e^r`.
const POLY: [f32; 5] = [0.499_999_93, 0.166_665_2, 0.041_668_394, 0.008_368_78, 0.001_381_446_5];

/// `e^x` with an error below one unit in the last place; NaN stays NaN.
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
    // The lowest bits of `shifted` are n: this adds n to the exponent.
    let y = f32::from_bits(poly.to_bits().wrapping_add(shifted.to_bits() << 23));
    let y = if x < LOWEST { 0.0 } else { y };
    // Not `x > HIGHEST`, so that a NaN goes the way on which it stays one.
    if x <= HIGHEST { y } else { x * f32::INFINITY }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<A: Arch>(arch: A, x: f32) -> f32 {
    1.0 / (1.0 + exp(arch, -x))
}

/// Overwrites `y` with `e^x`, element by element, with an error below one unit in the last place.
///
/// Results below the smallest normal number are 0, those above the largest are infinite; NaN stays.
///
/// # Panics
/// If the lengths differ.
pub fn exp_all(y: &mut [f32], x: &[f32]) {
    assert_eq!(y.len(), x.len(), "exp_all: y and x differ in length");
    dispatch!(arch => map(arch, [y], x, |_, x| [exp(arch, x)]))
}
