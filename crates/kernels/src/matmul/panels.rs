//! Packing loops: generic code compiled for every instruction set.
//!
//! A number is encoded as a word in one of five ways ([`Encoding`]). A matrix is laid out in panels
//! either as stored, row by row, or transposed, in blocks of 16 by 16 words.

use super::tile_portable;
use super::transpose::{BLOCK, transpose};
#[cfg(target_arch = "x86_64")]
use super::transpose::{transpose_avx2, transpose_avx512};
#[cfg(target_arch = "x86_64")]
use super::{tile_avx2, tile_avx512};
use crate::isa::Isa;
use crate::rows::{bf16_from_f32, f32_from_bf16};
use std::ops::Range;

/// Encoding of numbers as packed words.
pub(super) trait Encoding {
    /// Number type of the matrix.
    type Number: Copy + Default;
    /// Rows of the matrix per word: 1, or 2 for bf16 pairs.
    const PER_WORD: usize;
    /// The word of a number and, if words are pairs, of the number below it.
    fn word(first: Self::Number, second: Self::Number) -> u32;
}

/// f32, unchanged.
pub(super) struct Kept;
/// f32, rounded to bf16 and widened again.
pub(super) struct Rounded;
/// bf16, widened to f32.
pub(super) struct Widened;
/// Two f32, each rounded to bf16.
pub(super) struct RoundedPair;
/// Two bf16, unchanged.
pub(super) struct KeptPair;

impl Encoding for Kept {
    type Number = f32;
    const PER_WORD: usize = 1;
    #[inline(always)]
    fn word(first: f32, _: f32) -> u32 {
        first.to_bits()
    }
}

impl Encoding for Rounded {
    type Number = f32;
    const PER_WORD: usize = 1;
    #[inline(always)]
    fn word(first: f32, _: f32) -> u32 {
        Widened::word(bf16_from_f32(first), 0)
    }
}

impl Encoding for Widened {
    type Number = u16;
    const PER_WORD: usize = 1;
    #[inline(always)]
    fn word(first: u16, _: u16) -> u32 {
        f32_from_bf16(first).to_bits()
    }
}

impl Encoding for RoundedPair {
    type Number = f32;
    const PER_WORD: usize = 2;
    #[inline(always)]
    fn word(first: f32, second: f32) -> u32 {
        KeptPair::word(bf16_from_f32(first), bf16_from_f32(second))
    }
}

impl Encoding for KeptPair {
    type Number = u16;
    const PER_WORD: usize = 2;
    #[inline(always)]
    fn word(first: u16, second: u16) -> u32 {
        first as u32 | (second as u32) << 16
    }
}

/// Sub-matrix of a row-major matrix: a range of its rows and columns.
#[derive(Clone)]
pub(super) struct SubMatrix<'a, T> {
    /// The whole matrix.
    pub numbers: &'a [T],
    /// Columns of the whole matrix.
    pub n_columns: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl<'a, T: Copy + Default> SubMatrix<'a, T> {
    /// `W` numbers of row `row` from `column` on, both counted within the sub-matrix. Returns them in
    /// place, or, if they reach beyond it, a copy in `padded`, which must hold zeros.
    #[inline(always)]
    fn load<'b, const W: usize>(
        &self,
        row: usize,
        column: usize,
        padded: &'b mut [T; W],
    ) -> &'b [T; W]
    where
        'a: 'b,
    {
        if row >= self.rows.len() {
            return padded;
        }
        let row = &self.numbers[(self.rows.start + row) * self.n_columns..][..self.columns.end];
        let rest = &row[self.columns.start + column..];
        if let Some(whole) = rest.first_chunk() {
            return whole;
        }
        padded[..rest.len()].copy_from_slice(rest);
        padded
    }
}

/// Operand of a tile that panels are packed for: the panel width is the tile's columns or its rows.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Right,
}

/// Packs `part` in panels of its columns: word (step, j) starts at row step·PER_WORD.
pub(super) fn straight_on<E: Encoding>(
    isa: Isa,
    side: Side,
    dst: &mut [u32],
    part: &SubMatrix<E::Number>,
) {
    match isa {
        // SAFETY: the processor has the instruction set that was asked for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { straight_avx512::<E>(side, dst, part) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { straight_avx2::<E>(side, dst, part) },
        _ => match side {
            Side::Left => {
                straight::<E, { tile_portable::ROWS }, { 16 / tile_portable::ROWS }, 16>(dst, part)
            }
            Side::Right => straight::<E, { tile_portable::COLS }, 1, 16>(dst, part),
        },
    }
}

/// Packs the transpose of `part` in panels of its rows.
pub(super) fn transposed_on<E: Encoding>(isa: Isa, dst: &mut [u32], part: &SubMatrix<E::Number>) {
    match isa {
        // SAFETY: the processor has the instruction set that was asked for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { transposed_avx512::<E>(dst, part) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { transposed_avx2::<E>(dst, part) },
        _ => transposed::<E, { tile_portable::COLS }>(dst, part, transpose),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn straight_avx512<E: Encoding>(side: Side, dst: &mut [u32], part: &SubMatrix<E::Number>) {
    match side {
        Side::Left => straight::<E, { tile_avx512::ROWS }, 4, 32>(dst, part),
        Side::Right => straight::<E, { tile_avx512::COLS }, 1, 48>(dst, part),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn straight_avx2<E: Encoding>(side: Side, dst: &mut [u32], part: &SubMatrix<E::Number>) {
    match side {
        Side::Left => straight::<E, { tile_avx2::ROWS }, 4, 24>(dst, part),
        Side::Right => straight::<E, { tile_avx2::COLS }, 2, 32>(dst, part),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn transposed_avx512<E: Encoding>(dst: &mut [u32], part: &SubMatrix<E::Number>) {
    let transpose = |src: &_, dst: &mut [u32], stride| transpose_avx512(src, dst, stride);
    transposed::<E, { tile_avx512::COLS }>(dst, part, transpose);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn transposed_avx2<E: Encoding>(dst: &mut [u32], part: &SubMatrix<E::Number>) {
    let transpose = |src: &_, dst: &mut [u32], stride| transpose_avx2(src, dst, stride);
    transposed::<E, { tile_avx2::COLS }>(dst, part, transpose);
}

/// [`straight_on`] for panels of `W` columns.
///
/// `G` panels are filled at once, from `C = G·W` numbers of each row, so that narrow panels still
/// read whole cache lines.
#[inline(always)]
fn straight<E: Encoding, const W: usize, const G: usize, const C: usize>(
    dst: &mut [u32],
    part: &SubMatrix<E::Number>,
) {
    const { assert!(C == G * W) };
    let zero = E::Number::default();
    let steps = part.rows.len().div_ceil(E::PER_WORD);
    let panels = dst.as_chunks_mut::<W>().0;
    for (i, group) in panels.chunks_mut((G * steps).max(1)).enumerate() {
        for step in 0..steps {
            let (mut padded, mut padded_below) = ([zero; C], [zero; C]);
            let first = part.load(step * E::PER_WORD, i * C, &mut padded);
            let second = part.load(step * E::PER_WORD + 1, i * C, &mut padded_below);
            for g in 0..G {
                if let Some(row) = group.get_mut(g * steps + step) {
                    for j in 0..W {
                        row[j] = E::word(first[g * W + j], second[g * W + j]);
                    }
                }
            }
        }
    }
}

/// [`transposed_on`] for panels of `W` rows.
#[inline(always)]
fn transposed<E: Encoding, const W: usize>(
    dst: &mut [u32],
    part: &SubMatrix<E::Number>,
    transpose: impl Fn(&[[u32; BLOCK]; BLOCK], &mut [u32], usize),
) {
    let steps = part.columns.len().div_ceil(E::PER_WORD);
    for (p, panel) in dst.chunks_exact_mut((steps * W).max(1)).enumerate() {
        for n0 in (0..W).step_by(BLOCK) {
            for step in (0..steps).step_by(BLOCK) {
                let mut block = [[0; BLOCK]; BLOCK];
                for (i, words) in block.iter_mut().enumerate() {
                    *words = row_words::<E>(part, p * W + n0 + i, step);
                }
                transpose(&block, &mut panel[step * W + n0..], W);
            }
        }
    }
}

/// The words of one row of a transposed sub-matrix, from word `step` on.
#[inline(always)]
fn row_words<E: Encoding>(part: &SubMatrix<E::Number>, row: usize, step: usize) -> [u32; BLOCK] {
    let mut words = [0; BLOCK];
    if E::PER_WORD == 1 {
        let mut padded = [E::Number::default(); BLOCK];
        let numbers = part.load(row, step, &mut padded);
        for j in 0..BLOCK {
            words[j] = E::word(numbers[j], numbers[j]);
        }
    } else {
        let mut padded = [E::Number::default(); 2 * BLOCK];
        let numbers = part.load(row, 2 * step, &mut padded);
        for j in 0..BLOCK {
            words[j] = E::word(numbers[2 * j], numbers[2 * j + 1]);
        }
    }
    words
}
