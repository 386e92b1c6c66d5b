//! AVX2 register tile: 6 rows by 16 columns of f32, with sums in 12 of the 16 registers.
//!
//! Per step along K: 2 loads of B, 6 broadcasts of A, 12 fused multiply-adds; see `tile` for the
//! loop. The left operand is f32, or bf16 that is widened when broadcast; a packed word is one f32.

use super::Accum;
use super::tile::{Tile, TileCall};
use std::arch::x86_64::*;

/// SIMD lanes of a vector.
const LANES: usize = 8;

/// Rows of a full tile.
pub(super) const ROWS: usize = 6;

/// Columns of a panel.
pub(super) const COLS: usize = 2 * LANES;

pub(super) static F32: Tile<f32> = tile_of();

pub(super) static BF16: Tile<u16> = tile_of();

const fn tile_of<E: Element>() -> Tile<E> {
    Tile {
        by_rows: &[
            rows::<E, 1>,
            rows::<E, 2>,
            rows::<E, 3>,
            rows::<E, 4>,
            rows::<E, 5>,
            rows::<E, 6>,
        ],
        cols: COLS,
        k_per_word: 1,
        k_block: 1024,
    }
}

/// An element of a left operand.
trait Element: Copy + 'static {
    /// The element at `at`, as f32 in every lane.
    ///
    /// # Safety
    /// AVX2 is available and `at` can be read.
    unsafe fn broadcast(at: *const Self) -> __m256;
}

impl Element for f32 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn broadcast(at: *const f32) -> __m256 {
        // SAFETY: the caller's.
        _mm256_set1_ps(unsafe { *at })
    }
}

impl Element for u16 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn broadcast(at: *const u16) -> __m256 {
        // SAFETY: the caller's.
        let twice = _mm256_set1_epi16(unsafe { *at } as i16);
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(twice))
    }
}

/// A tile of `ROWS` rows and as many vectors of columns as the call needs.
#[target_feature(enable = "avx2,fma")]
fn rows<E: Element, const ROWS: usize>(call: &mut TileCall<E>) {
    if call.cols <= LANES { tile::<E, ROWS, 1>(call) } else { tile::<E, ROWS, 2>(call) }
}

#[target_feature(enable = "avx2,fma")]
fn tile<E: Element, const ROWS: usize, const VECS: usize>(call: &mut TileCall<E>) {
    call.check(ROWS, COLS, 1);
    let mut sum = [[_mm256_setzero_ps(); VECS]; ROWS];
    let mut a = [call.a.as_ptr(); ROWS];
    for r in 0..ROWS {
        a[r] = a[r].wrapping_add(r * call.a_row_stride);
    }
    let (b, a_step, steps) = (call.b.as_ptr().cast::<f32>(), call.a_step, call.k);
    // SAFETY: `check`: a panel row for each step, and an element for each row and step.
    unsafe {
        for step in 0..steps {
            if let Some(line) = call.line_at(step, ROWS, COLS) {
                _mm_prefetch::<_MM_HINT_T0>(line.cast());
            }
            multiply_add(&mut sum, &a, step * a_step, b.add(step * COLS));
        }
    }
    store(call, &sum);
}

/// One step along K: `sum[r][v] += a[r][at] · b[v]`.
///
/// # Safety
/// `VECS` vectors can be read at `b`, and an element of A in each row.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_add<E: Element, const ROWS: usize, const VECS: usize>(
    sum: &mut [[__m256; VECS]; ROWS],
    a: &[*const E; ROWS],
    at: usize,
    b: *const f32,
) {
    let mut bk = [_mm256_setzero_ps(); VECS];
    for v in 0..VECS {
        // SAFETY: the caller's.
        bk[v] = unsafe { _mm256_loadu_ps(b.add(v * LANES)) };
    }
    for r in 0..ROWS {
        // SAFETY: the caller's.
        let ak = unsafe { E::broadcast(a[r].add(at)) };
        for v in 0..VECS {
            sum[r][v] = _mm256_fmadd_ps(ak, bk[v], sum[r][v]);
        }
    }
}

/// Writes or adds the sums of a tile into C; the last vector may exceed the columns of the call.
#[inline]
#[target_feature(enable = "avx2")]
fn store<E, const ROWS: usize, const VECS: usize>(
    call: &mut TileCall<E>,
    sum: &[[__m256; VECS]; ROWS],
) {
    let c = call.c.as_mut_ptr();
    let plus = match call.accum {
        Accum::Replace => None,
        Accum::Add => Some(c.cast_const()),
        Accum::Plus(other) => Some(other.as_ptr()),
    };
    // Lane i of the last vector is inside if i is below the number of remaining columns.
    let live = (call.cols - (VECS - 1) * LANES) as i32;
    let mask =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(live), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    let partial = live < LANES as i32;
    for r in 0..ROWS {
        for v in 0..VECS {
            let at = r * call.c_stride + v * LANES;
            let mut value = sum[r][v];
            // SAFETY: `check`: `cols` elements from the start of each row, in C and its addend;
            // the mask keeps out the lanes beyond. Masked stores are slow on some processors.
            unsafe {
                if partial && v + 1 == VECS {
                    if let Some(plus) = plus {
                        value = _mm256_add_ps(_mm256_maskload_ps(plus.add(at), mask), value);
                    }
                    _mm256_maskstore_ps(c.add(at), mask, value);
                } else {
                    if let Some(plus) = plus {
                        value = _mm256_add_ps(_mm256_loadu_ps(plus.add(at)), value);
                    }
                    _mm256_storeu_ps(c.add(at), value);
                }
            }
        }
    }
}
