//! AVX-512 bf16 register tile: 8 rows by 48 columns, two products per SIMD lane with `vdpbf16ps`.
//!
//! As `tile_avx512`, but a step along K covers two elements: a word of the panel holds two rows of B
//! in one column, and a word broadcast from A holds two neighbours of one row.

use super::tile::{Tile, TileCall};
use super::tile_avx512::{COLS, LANES, store};
use std::arch::x86_64::*;

pub(super) static BF16: Tile<u16> = Tile {
    by_rows: &[
        rows::<1>, rows::<2>, rows::<3>, rows::<4>, rows::<5>, rows::<6>, rows::<7>, rows::<8>,
    ],
    cols: COLS,
    k_per_word: 2,
    k_block: 2048,
};

/// A tile of `ROWS` rows and as many vectors of columns as the call needs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rows<const ROWS: usize>(call: &mut TileCall<u16>) {
    match call.cols.div_ceil(LANES) {
        1 => tile::<ROWS, 1>(call),
        2 => tile::<ROWS, 2>(call),
        _ => tile::<ROWS, 3>(call),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn tile<const ROWS: usize, const VECS: usize>(call: &mut TileCall<u16>) {
    call.check(ROWS, COLS, 2);
    let mut sum = [[_mm512_setzero_ps(); VECS]; ROWS];
    let mut a = [call.a.as_ptr(); ROWS];
    for r in 0..ROWS {
        a[r] = a[r].wrapping_add(r * call.a_row_stride);
    }
    let (b, a_step, steps) = (call.b.as_ptr(), call.a_step, call.k / 2);
    // SAFETY: `check`: a panel row for each step, and a pair for each row and step.
    unsafe {
        for step in 0..steps {
            if let Some(line) = call.line_at(step, ROWS, COLS) {
                _mm_prefetch::<_MM_HINT_T0>(line.cast());
            }
            multiply_add::<false, _, _>(&mut sum, &a, step * a_step, b.add(step * COLS));
        }
        if call.k % 2 == 1 {
            // One element remains in each row.
            multiply_add::<true, _, _>(&mut sum, &a, steps * a_step, b.add(steps * COLS));
        }
    }
    store(call, &sum);
}

/// One step along K: `sum[r][v] += a[r][at..] · b[v]`, each a sum of two products.
///
/// # Safety
/// `VECS` vectors can be read at `b`, and a pair of A (if `LAST`, one element) in each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_add<const LAST: bool, const ROWS: usize, const VECS: usize>(
    sum: &mut [[__m512; VECS]; ROWS],
    a: &[*const u16; ROWS],
    at: usize,
    b: *const u32,
) {
    let mut bk = [_mm512_setzero_si512(); VECS];
    for v in 0..VECS {
        // SAFETY: the caller's.
        bk[v] = unsafe { _mm512_loadu_si512(b.add(v * LANES).cast()) };
    }
    for r in 0..ROWS {
        // SAFETY: the caller's; a pair may have any alignment.
        let word = unsafe {
            if LAST { *a[r].add(at) as i32 } else { a[r].add(at).cast::<i32>().read_unaligned() }
        };
        let ak = pairs(_mm512_set1_epi32(word));
        for v in 0..VECS {
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], ak, pairs(bk[v]));
        }
    }
}

/// The same bits as pairs of bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain numbers.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}
