//! AVX-512 lanes of attention: sixteen f32 in a register, with or without bf16 instructions.

use super::layout::LANES;
use super::tile::{EXP2, Kernel, Pair, Simd, Single};
use crate::rows::Precision;
use std::arch::x86_64::*;

/// Rows and vectors of a register tile: 24 accumulators, 3 right vectors, 1 broadcast.
const ROWS: usize = 8;
const COLS: usize = 3;

/// The processor has AVX-512 F, BW, DQ and VL, and BF16 where `BF16` says so.
#[derive(Clone, Copy)]
struct Avx512<const BF16: bool>(());

/// Runs `kernel` on words of this format.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run<K: Kernel>(precision: Precision, kernel: K) {
    match precision {
        Precision::F32 => kernel.run::<_, Single, ROWS, COLS>(Avx512::<false>(())),
        Precision::Bf16 => kernel.run::<_, Pair, ROWS, COLS>(Avx512::<false>(())),
    }
}

/// Runs `kernel` on words of bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) fn run_bf16<K: Kernel>(kernel: K) {
    kernel.run::<_, Pair, ROWS, COLS>(Avx512::<true>(()));
}

/// Rounds to bf16 as `vcvtneps2bf16` does, leaving the result in the lower halves of the lanes.
#[inline(always)]
fn round_bf16(v: __m512) -> __m512i {
    // SAFETY: called only on a value of `Avx512`, where the processor has AVX-512.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let upper = _mm512_srli_epi32::<16>(bits);
        let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, bias));
        let denormal = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f80_0000));
        let sign = _mm512_and_si512(upper, _mm512_set1_epi32(0x8000));
        let rounded = _mm512_mask_mov_epi32(rounded, denormal, sign);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
        _mm512_mask_mov_epi32(rounded, nan, quiet)
    }
}

/// The lower bf16 of each word as f32.
#[inline(always)]
fn lower(words: __m512) -> __m512 {
    // SAFETY: called only on a value of `Avx512`, where the processor has AVX-512.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(words))) }
}

/// The upper bf16 of each word as f32.
#[inline(always)]
fn upper(words: __m512) -> __m512 {
    // SAFETY: called only on a value of `Avx512`, where the processor has AVX-512.
    unsafe {
        let mask = _mm512_set1_epi32(0xffff_0000u32.cast_signed());
        _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words), mask))
    }
}

// SAFETY of every block below: a value of `Avx512` exists only where the processor has AVX-512
// (and BF16 where the constant says so), see `run` and `run_bf16`; arrays have the sizes read.
impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(src.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(dst.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(src.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store_bf16(self, dst: &mut [u16; LANES], v: __m512) {
        // SAFETY: see above; `__m256bh` is 32 plain bytes.
        unsafe {
            let narrow = if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v))
            } else {
                _mm512_cvtepi32_epi16(round_bf16(v))
            };
            _mm256_storeu_si256(dst.as_mut_ptr().cast(), narrow);
        }
    }
    #[inline(always)]
    fn pair(self, lo: __m512, hi: __m512) -> __m512 {
        // SAFETY: see above; `__m256bh` is 32 plain bytes.
        unsafe {
            let (lo, hi) = if BF16 {
                let lo = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(lo));
                let hi = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(hi));
                (_mm512_cvtepu16_epi32(lo), _mm512_cvtepu16_epi32(hi))
            } else {
                (round_bf16(lo), round_bf16(hi))
            };
            _mm512_castsi512_ps(_mm512_or_si512(lo, _mm512_slli_epi32::<16>(hi)))
        }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn first(self, n: usize, v: __m512, fill: f32) -> __m512 {
        let mask = if n < LANES { (1 << n) - 1 } else { u16::MAX };
        // SAFETY: see above.
        unsafe { _mm512_mask_mov_ps(_mm512_set1_ps(fill), mask, v) }
    }
    #[inline(always)]
    fn exp2(self, x: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            // 2^-160 is 0 in f32; the bound keeps -inf away from the subtraction, and NaN passes
            // through.
            let x = _mm512_max_ps(_mm512_set1_ps(-160.0), x);
            let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(x);
            let f = _mm512_sub_ps(x, whole);
            let mut p = _mm512_set1_ps(EXP2[6]);
            for i in (0..6).rev() {
                p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(EXP2[i]));
            }
            _mm512_scalef_ps(p, whole)
        }
    }
    #[inline(always)]
    fn dot_bf16(self, acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above; `__m512bh` is 64 plain bytes.
        unsafe {
            if BF16 {
                let a = std::mem::transmute::<__m512, __m512bh>(a);
                let b = std::mem::transmute::<__m512, __m512bh>(b);
                return _mm512_dpbf16_ps(acc, a, b);
            }
            _mm512_fmadd_ps(upper(a), upper(b), _mm512_fmadd_ps(lower(a), lower(b), acc))
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn transpose(self, dst: &mut [u32; LANES * LANES], src: &[u32], src_row: usize) {
        assert!(src.len() >= (LANES - 1) * src_row + LANES);
        // SAFETY: see above; the assertion covers the 16 loads, the array's size the 16 stores.
        unsafe {
            let mut x = [_mm512_setzero_ps(); LANES];
            for r in 0..LANES {
                x[r] = _mm512_loadu_ps(src.as_ptr().add(r * src_row).cast());
            }
            let mut y = x;
            for r in 0..8 {
                y[2 * r] = _mm512_unpacklo_ps(x[2 * r], x[2 * r + 1]);
                y[2 * r + 1] = _mm512_unpackhi_ps(x[2 * r], x[2 * r + 1]);
            }
            for r in 0..4 {
                let (a, b) = (_mm512_castps_pd(y[4 * r]), _mm512_castps_pd(y[4 * r + 2]));
                let (c, d) = (_mm512_castps_pd(y[4 * r + 1]), _mm512_castps_pd(y[4 * r + 3]));
                x[4 * r] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                x[4 * r + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                x[4 * r + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
                x[4 * r + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
            }
            // x[4r + i] now holds columns i, 4+i, 8+i, 12+i of rows 4r..4r+4, one in each quarter.
            for i in 0..4 {
                let even = _mm512_shuffle_f32x4::<0x88>(x[i], x[4 + i]);
                let odd = _mm512_shuffle_f32x4::<0xdd>(x[i], x[4 + i]);
                let even_low = _mm512_shuffle_f32x4::<0x88>(x[8 + i], x[12 + i]);
                let odd_low = _mm512_shuffle_f32x4::<0xdd>(x[8 + i], x[12 + i]);
                y[i] = _mm512_shuffle_f32x4::<0x88>(even, even_low);
                y[4 + i] = _mm512_shuffle_f32x4::<0x88>(odd, odd_low);
                y[8 + i] = _mm512_shuffle_f32x4::<0xdd>(even, even_low);
                y[12 + i] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_low);
            }
            for r in 0..LANES {
                _mm512_storeu_ps(dst.as_mut_ptr().add(r * LANES).cast(), y[r]);
            }
        }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    fn max_lane(self, v: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(v) }
    }
}
