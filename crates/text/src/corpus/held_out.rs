//! Held-out text: blocks from all over a corpus, with gaps between them and the text to train on.
//!
//! The end of a text is often of another kind than the rest: an index, notes, a licence. So the
//! corpus is divided into as many segments as there are blocks, and each segment gives one block, at
//! a place that depends only on the text. The text next to a block is dropped, because it says much
//! about the block: a model that has read it would look better than it is.

use super::boundary::find_boundary;
use super::{Corpus, Error};
use kernels::rng::{Purpose, Rng};

/// A position in a corpus: before byte `byte` of file number `file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPosition {
    /// Number of the file, from 0. The end of the corpus is byte 0 of file `n_files`.
    pub file: usize,
    /// Bytes from the start of the file.
    pub byte: u64,
}

/// The text of a corpus between two positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpan {
    /// Start, inclusive.
    pub start: TextPosition,
    /// End, exclusive; not before `start`.
    pub end: TextPosition,
}

/// Training text and held-out text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The text to train on, in order.
    pub train: Vec<TextSpan>,
    /// The text to validate with, in order; none if nothing is held out.
    pub held_out: Vec<TextSpan>,
}

/// Most blocks: enough for every part of a text to be represented.
const N_BLOCKS_MAX: u64 = 32;
/// Fewest bytes of a block, unless less text is held out: a block's first words are predicted
/// without any context.
const BLOCK_BYTES_MIN: u64 = 512;
/// Bytes that are dropped on each side of a block, before the search for a boundary.
const GAP_BYTES: u64 = 512;
/// Distance on each side of the exact position within which a better boundary is searched.
const SEARCH_BYTES: u64 = 1 << 16;

/// Holds about `fraction` of `corpus` out, in up to 32 blocks from all over it; 0 holds nothing out.
///
/// The result depends only on the contents of the files and on `separator`, which stands between
/// documents. Cuts move to the nearest boundary of the best kind within 64 KiB, or within half of a
/// block if that is less: the start of a file or document, of a paragraph, of a line; the blank
/// before a word; between any two characters. About 512 bytes on each side of a block, or half of
/// the block if that is less, are dropped, except at the start of a file or a document.
///
/// # Errors
/// [`Error::BadFraction`] unless `0 <= fraction < 1`; [`Error::TooShortToSplit`] if a part would
/// be empty; [`Error::Unreadable`].
pub fn hold_out(corpus: &Corpus, fraction: f64, separator: Option<&str>) -> Result<Split, Error> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::BadFraction { found: fraction });
    }
    if fraction == 0.0 {
        return Ok(Split { train: vec![corpus.all()], held_out: Vec::new() });
    }
    let n_bytes = corpus.n_bytes();
    let n_held = (n_bytes as f64 * fraction) as u64;
    let too_short = || Error::TooShortToSplit { found: n_bytes };
    if n_held == 0 || n_held >= n_bytes {
        return Err(too_short());
    }
    let n_blocks = (n_held / BLOCK_BYTES_MIN).clamp(1, N_BLOCKS_MAX);
    let block = n_held / n_blocks;
    let spare = n_bytes / n_blocks - block;
    let gap = GAP_BYTES.min(block / 2).min(spare / 8);
    let reach = SEARCH_BYTES.min(block / 2).min(spare / 8);
    let places = Rng::new(0, Purpose::HeldOut, first_word(corpus.hash()));
    let find = |wanted: u64| find_boundary(corpus, wanted, reach, separator);

    let mut split = Split { train: Vec::new(), held_out: Vec::new() };
    let mut train_start = corpus.all().start;
    for i in 0..n_blocks {
        // Away from the segment's ends, so that two blocks never meet.
        let margin = (gap + reach).min(spare / 2);
        let segment = (u128::from(n_bytes) * u128::from(i) / u128::from(n_blocks)) as u64;
        let wanted = segment + margin + places.below_at(i, spare - 2 * margin + 1);
        let (start, end) = (find(wanted)?, find(wanted + block)?);
        if start.position >= end.position {
            continue;
        }
        let before = if start.begins_document { start } else { find(wanted - gap)? };
        let after = if end.begins_document { end } else { find(wanted + block + gap)? };
        let train_end = before.position.min(start.position);
        if train_start < train_end {
            split.train.push(TextSpan { start: train_start, end: train_end });
        }
        split.held_out.push(TextSpan { start: start.position, end: end.position });
        train_start = after.position.max(end.position);
    }
    if train_start < corpus.all().end {
        split.train.push(TextSpan { start: train_start, end: corpus.all().end });
    }
    if split.held_out.is_empty() || split.train.is_empty() {
        return Err(too_short());
    }
    Ok(split)
}

fn first_word(hash: [u8; 32]) -> u64 {
    hash[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
#[path = "held_out_tests.rs"]
mod tests;
