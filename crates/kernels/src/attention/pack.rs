//! Packing of attention operands: rows of one head into the layouts that the products read.

use super::layout::{HeadRows, LANES, OperandLayout};
use super::tile::{Simd, Word};
use crate::rows::{Rows, RowsMut};
use std::ops::Range;

/// The sixteen numbers of `x` from `at` on.
#[inline(always)]
pub(super) fn lanes<T>(x: &[T], at: usize) -> &[T; LANES] {
    x[at..at + LANES].first_chunk().expect("a slice of 16 has 16 elements")
}

/// The sixteen numbers of `x` from `at` on, writable.
#[inline(always)]
pub(super) fn lanes_mut<T>(x: &mut [T], at: usize) -> &mut [T; LANES] {
    x[at..at + LANES].first_chunk_mut().expect("a slice of 16 has 16 elements")
}

/// Start of each vector of a row of `n` numbers. (`step_by` would divide to count its steps, which
/// costs as much as the two to four steps of a row.)
#[inline(always)]
pub(super) fn vectors(n: usize) -> impl Iterator<Item = usize> {
    (0..n.div_ceil(LANES)).map(|v| v * LANES)
}

/// Up to sixteen of the `n` numbers from `at` on, as f32, padded with zeros.
#[inline(always)]
pub(super) fn read<S: Simd>(s: S, rows: Rows, at: usize, n: usize) -> S::V {
    match rows {
        Rows::F32(x) if n >= LANES => s.load(lanes(x, at)),
        Rows::Bf16(x) if n >= LANES => s.load_bf16(lanes(x, at)),
        _ if n == 0 => s.splat(0.0),
        _ => {
            let mut part = [0.0; LANES];
            read_tail(&mut part, rows, at, n);
            s.load(&part)
        }
    }
}

/// Fills the first `n` of `dst`. (Not inlined: a rare loop would slow the loop around it.)
#[cold]
#[inline(never)]
fn read_tail(dst: &mut [f32; LANES], rows: Rows, at: usize, n: usize) {
    for i in 0..n {
        dst[i] = rows.get(at + i);
    }
}

/// Writes up to sixteen of the `n` numbers from `at` on.
#[inline(always)]
pub(super) fn write<S: Simd>(s: S, rows: &mut RowsMut, at: usize, n: usize, v: S::V) {
    match rows {
        RowsMut::F32(x) if n >= LANES => s.store(lanes_mut(x, at), v),
        RowsMut::Bf16(x) if n >= LANES => s.store_bf16(lanes_mut(x, at), v),
        _ => {
            let mut part = [0.0; LANES];
            s.store(&mut part, v);
            write_tail(rows, at, &part[..n]);
        }
    }
}

/// Writes `src` from `at` on; not inlined for the same reason as [`read_tail`].
#[cold]
#[inline(never)]
fn write_tail(rows: &mut RowsMut, at: usize, src: &[f32]) {
    for (i, x) in src.iter().enumerate() {
        rows.set(at + i, *x);
    }
}

/// Sixteen words, paired along the row, from the `n` numbers at `at`.
#[inline(always)]
fn left_words<S: Simd, W: Word>(s: S, dst: &mut [u32; LANES], src: Rows, at: usize, n: usize) {
    if W::PER == 1 {
        s.store_words(dst, read(s, src, at, n));
        return;
    }
    let (low, high) = dst.split_at_mut(LANES / 2);
    let low = low.first_chunk_mut().expect("half of 16 is 8");
    let high = high.first_chunk_mut().expect("half of 16 is 8");
    s.store_bf16_words(low, read(s, src, at, n));
    s.store_bf16_words(high, read(s, src, at + LANES, n.saturating_sub(LANES)));
}

/// Packs `rows` as left rows, with zeros up to the end of `dst`.
#[inline(always)]
pub(super) fn pack_left<S: Simd, W: Word>(
    s: S,
    dst: &mut [u32], // (>= rows, left_row)
    src: Rows,
    at: HeadRows,
    rows: Range<usize>,
) {
    let row_words = at.head_dim.div_ceil(W::PER);
    let (filled, padding) = dst.split_at_mut(rows.len() * row_words);
    padding.fill(0);
    for (row, r) in filled.chunks_exact_mut(row_words).zip(rows) {
        for word in vectors(row_words) {
            let (from, n) = (at.at(r) + word * W::PER, at.head_dim - word * W::PER);
            if word + LANES <= row_words {
                left_words::<S, W>(s, lanes_mut(row, word), src, from, n);
            } else {
                let mut words = [0; LANES];
                left_words::<S, W>(s, &mut words, src, from, n);
                row[word..].copy_from_slice(&words[..row_words - word]);
            }
        }
    }
}

/// Packs `rows` as a right operand, with zeros up to the end of `dst`.
#[inline(always)]
pub(super) fn pack_right<S: Simd, W: Word>(
    s: S,
    dst: &mut [u32], // (>= rows / PER, right_row)
    src: Rows,
    at: HeadRows,
    rows: Range<usize>,
) {
    let layout = OperandLayout { head_dim: at.head_dim, precision: W::PRECISION };
    let (filled, padding) = dst.split_at_mut(layout.right(rows.len()));
    padding.fill(0);
    for (words, r) in filled.chunks_exact_mut(layout.right_row()).zip(rows.clone().step_by(W::PER))
    {
        let has_second = W::PER == 2 && r + 1 < rows.end;
        for d in vectors(at.head_dim) {
            let n = at.head_dim - d;
            let mut v = read(s, src, at.at(r) + d, n);
            if W::PER == 2 {
                let second =
                    if has_second { read(s, src, at.at(r + 1) + d, n) } else { s.splat(0.0) };
                v = s.pair(v, second);
            }
            s.store_words(lanes_mut(words, d), v);
        }
    }
}

/// Packs `rows` as panels; the last panel is padded with zeros.
#[inline(always)]
pub(super) fn pack_panels<S: Simd, W: Word>(
    s: S,
    dst: &mut [u32], // (>= rows / 16, left_row, 16)
    src: Rows,
    at: HeadRows,
    rows: Range<usize>,
) {
    let row_words = at.head_dim.div_ceil(W::PER);
    let mut square = [0; LANES * LANES];
    let mut transposed = [0; LANES * LANES];
    for (panel, first) in dst.chunks_exact_mut(row_words * LANES).zip(rows.clone().step_by(LANES)) {
        for word in vectors(row_words) {
            for i in 0..LANES {
                let n = if first + i < rows.end { at.head_dim - word * W::PER } else { 0 };
                let from = if n > 0 { at.at(first + i) + word * W::PER } else { 0 };
                left_words::<S, W>(s, lanes_mut(&mut square, i * LANES), src, from, n);
            }
            let n_words = LANES.min(row_words - word) * LANES;
            let part = &mut panel[word * LANES..][..n_words];
            match part.first_chunk_mut() {
                Some(whole) => s.transpose(whole, &square, LANES),
                None => {
                    s.transpose(&mut transposed, &square, LANES);
                    part.copy_from_slice(&transposed[..n_words]);
                }
            }
        }
    }
}
