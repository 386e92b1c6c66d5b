//! AVX2 lanes of attention: sixteen f32 in a pair of registers.

use super::layout::LANES;
use super::tile::{EXP2, EXP2_MIN, Kernel, Pair, Simd, Single};
use crate::rows::{Precision, bf16_from_f32};
use std::arch::x86_64::*;

/// Rows of a register tile of 16 columns: 12 accumulators, 2 right vectors, 1 broadcast.
const ROWS: usize = 6;

/// Token: the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
struct Avx2(());

/// Runs `kernel` on words of this format.
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<K: Kernel>(precision: Precision, kernel: K) {
    match precision {
        Precision::F32 => kernel.run::<_, Single, ROWS, 1>(Avx2(())),
        Precision::Bf16 => kernel.run::<_, Pair, ROWS, 1>(Avx2(())),
    }
}

/// Lanes 0..8 and 8..16.
type Halves = [__m256; 2];

/// Applies an intrinsic to both halves of its arguments.
macro_rules! halves {
    ($f:ident $(, $x:ident)*) => {
        // SAFETY: used only in methods of `Avx2`, which exists only where the processor has AVX2.
        unsafe { [$f($($x[0]),*), $f($($x[1]),*)] }
    };
}

/// `2^x` as in [`Simd::exp2`].
#[inline(always)]
fn exp2(x: __m256) -> __m256 {
    // SAFETY: called only on a value of `Avx2`, where the processor has AVX2.
    unsafe {
        // The bound is the first operand of each, so that NaN passes through.
        let clamped = _mm256_min_ps(_mm256_set1_ps(127.0), x);
        let clamped = _mm256_max_ps(_mm256_set1_ps(EXP2_MIN), clamped);
        let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(clamped);
        let f = _mm256_sub_ps(clamped, whole);
        let mut p = _mm256_set1_ps(EXP2[6]);
        for i in (0..6).rev() {
            p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(EXP2[i]));
        }
        let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(whole));
        let power = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
        // "Not less" is true of NaN.
        let in_range = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, _mm256_set1_ps(EXP2_MIN));
        _mm256_and_ps(power, in_range)
    }
}

/// The lower bf16 of each word as f32.
#[inline(always)]
fn lower(words: __m256) -> __m256 {
    // SAFETY: called only on a value of `Avx2`, where the processor has AVX2.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(words))) }
}

/// The upper bf16 of each word as f32.
#[inline(always)]
fn upper(words: __m256) -> __m256 {
    // SAFETY: called only on a value of `Avx2`, where the processor has AVX2.
    unsafe {
        let mask = _mm256_set1_epi32(0xffff_0000u32.cast_signed());
        _mm256_and_ps(words, _mm256_castsi256_ps(mask))
    }
}

/// Lanes `start..start + 8` of a mask of the lanes below `n`.
#[inline(always)]
fn below(start: usize, n: usize) -> __m256 {
    // SAFETY: called only on a value of `Avx2`, where the processor has AVX2.
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let n = _mm256_set1_epi32(n.min(LANES) as i32 - start as i32);
        _mm256_castsi256_ps(_mm256_cmpgt_epi32(n, lane))
    }
}

/// Transposes 8 rows of 8 words, `src_row` apart, into rows [`LANES`] apart.
///
/// # Safety
/// The processor has AVX2; 8 words can be read at each row of `src` and written at each of `dst`.
#[inline(always)]
unsafe fn transpose8(dst: *mut u32, src: *const u32, src_row: usize) {
    // SAFETY: the caller vouches for the instructions and for the rows.
    unsafe {
        let mut x = [_mm256_setzero_ps(); 8];
        for r in 0..8 {
            x[r] = _mm256_loadu_ps(src.add(r * src_row).cast());
        }
        let mut y = x;
        for r in 0..4 {
            y[2 * r] = _mm256_unpacklo_ps(x[2 * r], x[2 * r + 1]);
            y[2 * r + 1] = _mm256_unpackhi_ps(x[2 * r], x[2 * r + 1]);
        }
        for r in 0..2 {
            x[4 * r] = _mm256_shuffle_ps::<0x44>(y[4 * r], y[4 * r + 2]);
            x[4 * r + 1] = _mm256_shuffle_ps::<0xee>(y[4 * r], y[4 * r + 2]);
            x[4 * r + 2] = _mm256_shuffle_ps::<0x44>(y[4 * r + 1], y[4 * r + 3]);
            x[4 * r + 3] = _mm256_shuffle_ps::<0xee>(y[4 * r + 1], y[4 * r + 3]);
        }
        // x[4r + i] now holds columns i and 4+i of rows 4r..4r+4, one in each half.
        for i in 0..4 {
            let low = _mm256_permute2f128_ps::<0x20>(x[i], x[4 + i]);
            let high = _mm256_permute2f128_ps::<0x31>(x[i], x[4 + i]);
            _mm256_storeu_ps(dst.add(i * LANES).cast(), low);
            _mm256_storeu_ps(dst.add((4 + i) * LANES).cast(), high);
        }
    }
}

impl Simd for Avx2 {
    type V = Halves;

    #[inline(always)]
    fn splat(self, x: f32) -> Halves {
        // SAFETY: a value of `Avx2` exists only where the processor has AVX2 and FMA; below too.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Halves {
        // SAFETY: see `splat`; the array holds both halves.
        unsafe { [_mm256_loadu_ps(src.as_ptr()), _mm256_loadu_ps(src.as_ptr().add(8))] }
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], v: Halves) {
        // SAFETY: see `splat`; the array holds both halves.
        unsafe {
            _mm256_storeu_ps(dst.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(dst.as_mut_ptr().add(8), v[1]);
        }
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Halves {
        let mut v = [0.0; LANES];
        for i in 0..LANES {
            v[i] = f32::from_bits(u32::from(src[i]) << 16);
        }
        self.load(&v)
    }
    #[inline(always)]
    fn store_bf16(self, dst: &mut [u16; LANES], v: Halves) {
        let mut x = [0.0; LANES];
        self.store(&mut x, v);
        for i in 0..LANES {
            dst[i] = bf16_from_f32(x[i]);
        }
    }
    #[inline(always)]
    fn pair(self, lo: Halves, hi: Halves) -> Halves {
        let (mut low, mut high) = ([0.0; LANES], [0.0; LANES]);
        self.store(&mut low, lo);
        self.store(&mut high, hi);
        for i in 0..LANES {
            let (lo, hi) = (bf16_from_f32(low[i]), bf16_from_f32(high[i]));
            low[i] = f32::from_bits(u32::from(lo) | u32::from(hi) << 16);
        }
        self.load(&low)
    }
    #[inline(always)]
    fn add(self, a: Halves, b: Halves) -> Halves {
        halves!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: Halves, b: Halves) -> Halves {
        halves!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: Halves, b: Halves, c: Halves) -> Halves {
        halves!(_mm256_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn max(self, a: Halves, b: Halves) -> Halves {
        halves!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    fn first(self, n: usize, v: Halves, fill: f32) -> Halves {
        let (mask, fill) = ([below(0, n), below(8, n)], self.splat(fill));
        halves!(_mm256_blendv_ps, fill, v, mask)
    }
    #[inline(always)]
    fn exp2(self, x: Halves) -> Halves {
        [exp2(x[0]), exp2(x[1])]
    }
    #[inline(always)]
    fn dot_bf16(self, acc: Halves, a: Halves, b: Halves) -> Halves {
        let (a_low, b_low) = ([lower(a[0]), lower(a[1])], [lower(b[0]), lower(b[1])]);
        let (a_high, b_high) = ([upper(a[0]), upper(a[1])], [upper(b[0]), upper(b[1])]);
        let acc = halves!(_mm256_fmadd_ps, a_low, b_low, acc);
        halves!(_mm256_fmadd_ps, a_high, b_high, acc)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn transpose(self, dst: &mut [u32; LANES * LANES], src: &[u32], src_row: usize) {
        assert!(src.len() >= (LANES - 1) * src_row + LANES);
        for (r, c) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: see `splat`; the assertion covers rows r..r+8, columns c..c+8 of `src`, and
            // the array rows c..c+8, columns r..r+8 of `dst`.
            unsafe {
                let to = dst.as_mut_ptr().add(c * LANES + r);
                transpose8(to, src.as_ptr().add(r * src_row + c), src_row);
            }
        }
    }
}
