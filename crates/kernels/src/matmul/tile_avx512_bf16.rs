//! The bf16 tile: 8 rows by 48 columns, two products a lane with `vdpbf16ps`.
//!
//! As `tile_avx512`, but a step along K is a pair: a word of the panel is two rows of B in one
//! column, and a word broadcast from A is two neighbours in one row.

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
    let b = call.b.as_ptr();
    let pairs = call.k / 2;
    for step in 0..pairs {
        let mut word = [0; ROWS];
        for r in 0..ROWS {
            // SAFETY: `check`: a pair for each row and step, of any alignment.
            word[r] = unsafe { a[r].add(step * call.a_step).cast::<i32>().read_unaligned() };
        }
        // SAFETY: `check`: a panel row for each step.
        unsafe { multiply_add(&mut sum, word, b.add(step * COLS)) };
    }
    if call.k % 2 == 1 {
        let mut word = [0; ROWS];
        for r in 0..ROWS {
            // SAFETY: `check`: the one element that remains in each row.
            word[r] = unsafe { *a[r].add(pairs * call.a_step) } as i32;
        }
        // SAFETY: as above; the high half of the panel's words is zero here.
        unsafe { multiply_add(&mut sum, word, b.add(pairs * COLS)) };
    }
    store(call, &sum);
}

/// One step along K: `sum[r][v] += word[r] · b[v]`, each a sum of two products.
///
/// # Safety
/// `VECS` vectors can be read at `b`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_add<const ROWS: usize, const VECS: usize>(
    sum: &mut [[__m512; VECS]; ROWS],
    word: [i32; ROWS],
    b: *const u32,
) {
    let mut bk = [_mm512_setzero_si512(); VECS];
    for v in 0..VECS {
        // SAFETY: the caller's.
        bk[v] = unsafe { _mm512_loadu_si512(b.add(v * LANES).cast()) };
    }
    for r in 0..ROWS {
        let ak = pairs(_mm512_set1_epi32(word[r]));
        for v in 0..VECS {
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], ak, pairs(bk[v]));
        }
    }
}

/// The same bits, seen as pairs of bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain numbers.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}
