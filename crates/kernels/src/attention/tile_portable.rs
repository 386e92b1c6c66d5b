//! Portable lanes of attention: sixteen f32 in plain Rust, for any processor.

use super::layout::LANES;
use super::tile::{EXP2, EXP2_MIN, Kernel, Pair, Simd, Single};
use crate::rows::{Precision, bf16_from_f32, f32_from_bf16};

/// Rows of a register tile: with 16 registers of 4 lanes two rows of 16 fill half of them.
const ROWS: usize = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

#[derive(Clone, Copy)]
struct Portable;

/// Runs `kernel` on words of this format.
pub(super) fn run<K: Kernel>(precision: Precision, kernel: K) {
    match precision {
        Precision::F32 => kernel.run::<_, Single, ROWS, 1>(Portable),
        Precision::Bf16 => kernel.run::<_, Pair, ROWS, 1>(Portable),
    }
}

/// Lane by lane.
macro_rules! lanes {
    ($i:ident => $lane:expr) => {{
        let mut v = [0.0; LANES];
        for $i in 0..LANES {
            v[$i] = $lane;
        }
        v
    }};
}

impl Simd for Portable {
    type V = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Self::V {
        *src
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], v: Self::V) {
        *dst = v;
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Self::V {
        lanes!(i => f32_from_bf16(src[i]))
    }
    #[inline(always)]
    fn store_bf16(self, dst: &mut [u16; LANES], v: Self::V) {
        for i in 0..LANES {
            dst[i] = bf16_from_f32(v[i]);
        }
    }
    #[inline(always)]
    fn pair(self, lo: Self::V, hi: Self::V) -> Self::V {
        lanes!(i => {
            let (lo, hi) = (bf16_from_f32(lo[i]), bf16_from_f32(hi[i]));
            f32::from_bits(u32::from(lo) | u32::from(hi) << 16)
        })
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanes!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn first(self, n: usize, v: Self::V, fill: f32) -> Self::V {
        lanes!(i => if i < n { v[i] } else { fill })
    }
    #[inline(always)]
    fn exp2(self, x: Self::V) -> Self::V {
        lanes!(i => exp2(x[i]))
    }
    #[inline(always)]
    fn dot_bf16(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => acc[i] + lower(a[i]) * lower(b[i]) + upper(a[i]) * upper(b[i]))
    }
    #[inline(always)]
    fn transpose(self, dst: &mut [u32; LANES * LANES], src: &[u32], src_row: usize) {
        for r in 0..LANES {
            for (c, word) in src[r * src_row..][..LANES].iter().enumerate() {
                dst[c * LANES + r] = *word;
            }
        }
    }
}

/// The lower bf16 of a word as f32.
#[inline(always)]
fn lower(word: f32) -> f32 {
    f32::from_bits(word.to_bits() << 16)
}

/// The upper bf16 of a word as f32.
#[inline(always)]
fn upper(word: f32) -> f32 {
    f32::from_bits(word.to_bits() & 0xffff_0000)
}

/// `2^x`: the fraction by a polynomial, the whole part into the exponent.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < 127.0 { x } else { 127.0 };
    let clamped = if clamped > EXP2_MIN { clamped } else { EXP2_MIN };
    let shifted = clamped + ROUND;
    let f = clamped - (shifted - ROUND);
    let p = EXP2.iter().rev().fold(0.0, |p, c| p * f + c);
    let power = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < EXP2_MIN {
        0.0
    } else if x.is_nan() {
        x
    } else {
        power
    }
}
