//! Register tile of attention's products, generic over the instruction set.
//!
//! ```text
//! acc[0..R][0..C] = 0
//! for each step k:
//!     right[0..C] = load C vectors of 16 words of B
//!     for r in 0..R:
//!         left = broadcast word A[r][k]
//!         for c in 0..C:
//!             acc[r][c] += left * right[c]      f32, or the two bf16 products of a word
//! ```
//!
//! A step has C loads, R broadcasts and R·C multiply-adds. The block of R·C accumulators is as large
//! as the registers allow next to C right vectors and one broadcast, so that arithmetic and not loads
//! sets the pace: 8 x 3 vectors of 16 lanes with AVX-512, 6 x 1 (two registers each) with AVX2.
//!
//! [`Simd`] is the interface of an instruction set: sixteen SIMD lanes of f32. A value of such a type
//! exists only where the processor supports the instructions, which makes its methods safe.

use super::layout::LANES;
use crate::rows::Precision;

/// Sixteen SIMD lanes of f32, or of words, on one instruction set.
///
/// Every method must be `#[inline(always)]`, and so must all callers up to the function with the
/// `#[target_feature]` attribute, for which the instructions are selected.
pub(super) trait Simd: Copy {
    /// A vector of sixteen lanes.
    type V: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// Reads sixteen f32.
    fn load(self, src: &[f32; LANES]) -> Self::V;
    /// Writes sixteen f32.
    fn store(self, dst: &mut [f32; LANES], v: Self::V);
    /// Reads sixteen bf16 as f32.
    fn load_bf16(self, src: &[u16; LANES]) -> Self::V;
    /// Writes sixteen f32 rounded to bf16.
    fn store_bf16(self, dst: &mut [u16; LANES], v: Self::V);
    /// Words with the bf16 of `lo` in the lower halves and of `hi` in the upper halves.
    fn pair(self, lo: Self::V, hi: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, fused where the processor supports it.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of `a` and `b`; `b` if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The first `n` lanes of `v`, and `fill` in the others.
    fn first(self, n: usize, v: Self::V, fill: f32) -> Self::V;
    /// `2^x` to 2 ulp for `x` up to 127; 0 below about -126.
    fn exp2(self, x: Self::V) -> Self::V;
    /// `acc + a.lo * b.lo + a.hi * b.hi` on words of bf16, in an order that depends on the path.
    fn dot_bf16(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Transposes 16 rows of 16 words, `src_row` words apart, into 16 packed rows.
    fn transpose(self, dst: &mut [u32; LANES * LANES], src: &[u32], src_row: usize);

    /// Prefetches the cache line at `at`, which may be an invalid address.
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        let _ = at;
    }

    /// Sum of the lanes, in an order that depends on the path.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut x = [0.0; LANES];
        self.store(&mut x, v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[i + half];
            }
        }
        x[0]
    }

    /// The largest lane.
    #[inline(always)]
    fn max_lane(self, v: Self::V) -> f32 {
        let mut x = [0.0; LANES];
        self.store(&mut x, v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] = if x[i] > x[i + half] { x[i] } else { x[i + half] };
            }
        }
        x[0]
    }

    /// Reads sixteen words.
    #[inline(always)]
    fn load_words(self, src: &[u32; LANES]) -> Self::V {
        // SAFETY: f32 and u32 have one size and alignment, and every bit pattern is a value.
        self.load(unsafe { &*std::ptr::from_ref(src).cast() })
    }

    /// Writes sixteen words.
    #[inline(always)]
    fn store_words(self, dst: &mut [u32; LANES], v: Self::V) {
        // SAFETY: as in `load_words`.
        self.store(unsafe { &mut *std::ptr::from_mut(dst).cast() }, v);
    }

    /// Writes sixteen f32 rounded to bf16, as eight words.
    #[inline(always)]
    fn store_bf16_words(self, dst: &mut [u32; LANES / 2], v: Self::V) {
        // SAFETY: eight u32 are sixteen u16, less strictly aligned.
        self.store_bf16(unsafe { &mut *std::ptr::from_mut(dst).cast() }, v);
    }
}

/// Coefficients of `2^f` on [-1/2, 1/2], lowest power first: relative error 3e-9 before rounding
/// (Remez exchange with the constant term held at 1).
pub(super) const EXP2: [f32; 7] = [
    1.0,
    0.693_147_24,
    0.240_226_52,
    0.055_503_104,
    0.009_617_693,
    0.001_340_664_3,
    0.000_155_946_78,
];

/// Smaller arguments give 0 in [`Simd::exp2`] on the paths that assemble the exponent.
pub(super) const EXP2_MIN: f32 = -125.5;

/// Number format of words.
pub(super) trait Word: Copy {
    /// The format.
    const PRECISION: Precision;
    /// Numbers in a word.
    const PER: usize;
    /// `acc` plus the product of the words `a` and `b`, lane by lane.
    fn dot<S: Simd>(s: S, acc: S::V, a: S::V, b: S::V) -> S::V;
}

/// Words of one f32.
#[derive(Clone, Copy)]
pub(super) struct Single;

impl Word for Single {
    const PRECISION: Precision = Precision::F32;
    const PER: usize = 1;
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::V, a: S::V, b: S::V) -> S::V {
        s.mul_add(a, b, acc)
    }
}

/// Words of two bf16.
#[derive(Clone, Copy)]
pub(super) struct Pair;

impl Word for Pair {
    const PRECISION: Precision = Precision::Bf16;
    const PER: usize = 2;
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::V, a: S::V, b: S::V) -> S::V {
        s.dot_bf16(acc, a, b)
    }
}

/// Computation that runs on any instruction set and any word format.
pub(super) trait Kernel {
    /// Runs with register tiles of `ROWS` x `COLS` vectors. Must be `#[inline(always)]`.
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(self, s: S);
}

/// A left operand: the word of row `r` in step `k` is `words[r * row + k * step]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) words: &'a [u32],
    pub(super) row: usize,
    pub(super) step: usize,
}

/// A right operand: the vector of column `c` in step `k` starts at `words[c * col + k * step]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) words: &'a [u32],
    pub(super) col: usize,
    pub(super) step: usize,
    /// Prefetch distance in words, where prefetching pays.
    pub(super) ahead: usize,
}

/// Tiles of at most this many rows, as in decoding, are limited by memory and not by arithmetic.
const PREFETCH_ROWS: usize = 4;

/// The product of `R` left rows and `C` right vectors, summed step by step from 0.
///
/// Each lane is summed in the order of the steps for any `R` and `C`, so the way that a product is
/// cut into tiles does not change its bits.
#[inline(always)]
pub(super) fn tile<S: Simd, W: Word, const R: usize, const C: usize>(
    s: S,
    a: Left,
    b: Right,
    steps: usize,
) -> [[S::V; C]; R] {
    let mut acc = [[s.splat(0.0); C]; R];
    if steps == 0 {
        return acc;
    }
    assert!((R - 1) * a.row + (steps - 1) * a.step < a.words.len());
    assert!((C - 1) * b.col + (steps - 1) * b.step + LANES <= b.words.len());
    for k in 0..steps {
        let mut right = [s.splat(0.0); C];
        for c in 0..C {
            // SAFETY: c < C and k < steps, so the assertion above keeps the 16 words inside.
            let at = unsafe { b.words.as_ptr().add(c * b.col + k * b.step) };
            // SAFETY: as above; an array of u32 needs no more alignment than a u32.
            right[c] = s.load_words(unsafe { &*at.cast() });
            if R <= PREFETCH_ROWS {
                s.prefetch(at.wrapping_add(b.ahead));
            }
        }
        for r in 0..R {
            // SAFETY: r < R and k < steps, so the assertion above keeps the word inside.
            let word = unsafe { *a.words.as_ptr().add(r * a.row + k * a.step) };
            let left = s.splat(f32::from_bits(word));
            for c in 0..C {
                acc[r][c] = W::dot(s, acc[r][c], left, right[c]);
            }
        }
    }
    acc
}

/// Width of the next tile, out of `n` remaining vectors, chosen to avoid one very narrow last tile.
#[inline(always)]
pub(super) fn next_width(n: usize, cols: usize) -> usize {
    match n {
        4 if cols == 3 => 2,
        5.. if n < cols => 4,
        _ => n.min(cols),
    }
}

/// Evaluates `$body` with the constant `$C` equal to `$n`, which is at most `$cols`.
macro_rules! with_width {
    ($n:expr, $cols:expr, $C:ident => $body:expr) => {
        match $n {
            8 if $cols >= 8 => {
                const $C: usize = 8;
                $body
            }
            4 if $cols >= 4 => {
                const $C: usize = 4;
                $body
            }
            3 if $cols >= 3 => {
                const $C: usize = 3;
                $body
            }
            2 if $cols >= 2 => {
                const $C: usize = 2;
                $body
            }
            _ => {
                const $C: usize = 1;
                $body
            }
        }
    };
}
pub(super) use with_width;
