//! AVX-512 register tile: 8 rows by 48 columns of f32, with sums in 24 of the 32 registers.
//!
//! Per step along K: 3 loads of B, 8 broadcasts of A, 24 multiply-adds; see `tile` for the loop. The
//! left operand is f32, or bf16 that is widened when broadcast; a packed word is one f32.

use super::Accum;
use super::tile::{Tile, TileCall};
use std::arch::x86_64::*;

/// SIMD lanes of a vector.
pub(super) const LANES: usize = 16;

/// Rows of a full tile.
pub(super) const ROWS: usize = 8;

/// Columns of a panel.
pub(super) const COLS: usize = 3 * LANES;

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
            rows::<E, 7>,
            rows::<E, 8>,
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
    /// AVX-512F is available and `at` can be read.
    unsafe fn broadcast(at: *const Self) -> __m512;
}

impl Element for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn broadcast(at: *const f32) -> __m512 {
        // SAFETY: the caller's.
        _mm512_set1_ps(unsafe { *at })
    }
}

impl Element for u16 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn broadcast(at: *const u16) -> __m512 {
        // SAFETY: the caller's.
        let twice = _mm512_set1_epi16(unsafe { *at } as i16);
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(twice))
    }
}

/// A tile of `ROWS` rows and as many vectors of columns as the call needs.
#[target_feature(enable = "avx512f,avx512bw")]
fn rows<E: Element, const ROWS: usize>(call: &mut TileCall<E>) {
    match call.cols.div_ceil(LANES) {
        1 => tile::<E, ROWS, 1>(call),
        2 => tile::<E, ROWS, 2>(call),
        _ => tile::<E, ROWS, 3>(call),
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn tile<E: Element, const ROWS: usize, const VECS: usize>(call: &mut TileCall<E>) {
    call.check(ROWS, COLS, 1);
    let mut sum = [[_mm512_setzero_ps(); VECS]; ROWS];
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
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn multiply_add<E: Element, const ROWS: usize, const VECS: usize>(
    sum: &mut [[__m512; VECS]; ROWS],
    a: &[*const E; ROWS],
    at: usize,
    b: *const f32,
) {
    let mut bk = [_mm512_setzero_ps(); VECS];
    for v in 0..VECS {
        // SAFETY: the caller's.
        bk[v] = unsafe { _mm512_loadu_ps(b.add(v * LANES)) };
    }
    for r in 0..ROWS {
        // SAFETY: the caller's.
        let ak = unsafe { E::broadcast(a[r].add(at)) };
        for v in 0..VECS {
            sum[r][v] = _mm512_fmadd_ps(ak, bk[v], sum[r][v]);
        }
    }
}

/// Writes or adds the sums of a tile into C; the last vector may exceed the columns of the call.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store<E, const ROWS: usize, const VECS: usize>(
    call: &mut TileCall<E>,
    sum: &[[__m512; VECS]; ROWS],
) {
    let c = call.c.as_mut_ptr();
    let plus = match call.accum {
        Accum::Replace => None,
        Accum::Add => Some(c.cast_const()),
        Accum::Plus(other) => Some(other.as_ptr()),
    };
    let last = 0xffff >> (VECS * LANES - call.cols);
    for r in 0..ROWS {
        for v in 0..VECS {
            let mask = if v + 1 == VECS { last } else { 0xffff };
            let at = r * call.c_stride + v * LANES;
            let mut value = sum[r][v];
            // SAFETY: `check`: `cols` elements from the start of each row, in C and its addend;
            // the mask keeps out the lanes beyond.
            unsafe {
                if let Some(plus) = plus {
                    value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, plus.add(at)), value);
                }
                _mm512_mask_storeu_ps(c.add(at), mask, value);
            }
        }
    }
}
