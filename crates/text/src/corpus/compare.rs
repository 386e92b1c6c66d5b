//! Comparison of held-out text with the text trained on: how much is repeated, and whether both are
//! of one kind.
//!
//! A held-out loss says something about new text only if the held-out text is new, and of the kind
//! that the model has seen.

use rustc_hash::FxHashMap;

/// Length of the pieces that are looked for, in bytes: about ten words. Shorter ones are repeated in
/// any text.
const PIECE_BYTES: usize = 64;
/// Bits of the filter before the table of pieces.
const FILTER_BITS: u32 = 22;
/// Multiplier of the rolling hash; any odd number with mixed bits.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The share of `held_out`, from 0 to 1, that stands in `train` byte for byte, in pieces of 64 bytes
/// at any place. `goes_on` is asked every mebibyte; `None` once it is false.
///
/// Takes about two seconds for a gigabyte: a hash rolls over the training text (Karp and Rabin,
/// "Efficient randomized pattern-matching algorithms", 1987).
pub fn repeated_share(
    train: &[&str],
    held_out: &[&str],
    mut goes_on: impl FnMut() -> bool,
) -> Option<f64> {
    let hash = |piece: &[u8]| {
        piece.iter().fold(0u64, |h, b| h.wrapping_mul(MULTIPLIER).wrapping_add(u64::from(*b) + 1))
    };
    // A filter and a table by the top bits, which depend on all bytes of a piece.
    let slot = |h: u64| (h >> (64 - FILTER_BITS)) as usize;
    let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
    let mut pieces: FxHashMap<u64, (u32, bool)> = FxHashMap::default();
    let mut n_pieces = 0;
    for piece in held_out.iter().flat_map(|text| text.as_bytes().chunks_exact(PIECE_BYTES)) {
        let h = hash(piece);
        filter[slot(h) / 64] |= 1 << (slot(h) % 64);
        pieces.entry(h).or_default().0 += 1;
        n_pieces += 1;
    }
    if n_pieces == 0 {
        return Some(0.0);
    }
    let oldest = (0..PIECE_BYTES).fold(1u64, |power, _| power.wrapping_mul(MULTIPLIER));
    for text in train.iter().map(|text| text.as_bytes()).filter(|t| t.len() >= PIECE_BYTES) {
        let mut h = hash(&text[..PIECE_BYTES]);
        for (at, next) in (PIECE_BYTES..).zip(text[PIECE_BYTES..].iter().chain([&0])) {
            if filter[slot(h) / 64] >> (slot(h) % 64) & 1 == 1
                && let Some(piece) = pieces.get_mut(&h)
            {
                piece.1 = true;
            }
            let gone = (u64::from(text[at - PIECE_BYTES]) + 1).wrapping_mul(oldest);
            h = h.wrapping_mul(MULTIPLIER).wrapping_add(u64::from(*next) + 1).wrapping_sub(gone);
            if at.is_multiple_of(1 << 20) && !goes_on() {
                return None;
            }
        }
    }
    let n_found: u32 = pieces.values().filter(|(_, is_found)| *is_found).map(|(n, _)| n).sum();
    Some(f64::from(n_found) / f64::from(n_pieces))
}

/// Bytes of training text that are looked at to tell kinds apart.
const SAMPLE_BYTES: usize = 4 << 20;
/// Length of the blocks of training text that are learnt from, and measured, in turn.
const BLOCK_BYTES: usize = 1024;
/// Fewest bytes on either side that say anything.
const FEWEST_BYTES: usize = 2048;
/// Weight of the frequency of a byte against counts of pairs, in occurrences.
const PRIOR: f64 = 4.0;
/// Ratio of the bits of held-out and of training text beyond which they are of different kinds.
/// Chapters of one book, and articles of one encyclopedia, differ by less than a tenth.
const RATIO_MAX: f64 = 1.2;

/// How well pairs of bytes predict each side, in bits per byte, if the held-out text is of another
/// kind than the training text (another language, numbers, an index): training text, held-out text.
///
/// Pairs are counted in every other block of the training text, and measured on the blocks between
/// and on the held-out text, so that both are new to the counts.
pub fn other_kind(train: &[&str], held_out: &[&str]) -> Option<[f64; 2]> {
    let n_bytes = |texts: &[&str]| texts.iter().map(|text| text.len()).sum::<usize>();
    if n_bytes(train) < FEWEST_BYTES || n_bytes(held_out) < FEWEST_BYTES {
        return None;
    }
    let every = n_bytes(train).div_ceil(SAMPLE_BYTES);
    let blocks = || train.iter().flat_map(|text| text.as_bytes().chunks(BLOCK_BYTES));
    // Runs of two neighbouring blocks, from all over the text: one to learn from, one to measure.
    let block = |k: usize| {
        blocks().enumerate().filter(move |(i, _)| i / 2 % every == 0 && i % 2 == k).map(|(_, b)| b)
    };
    let pairs = Pairs::count(block(0));
    let [inside, outside] =
        [pairs.bits(block(1)), pairs.bits(held_out.iter().map(|text| text.as_bytes()))];
    let ratio = outside / inside;
    (!(1.0 / RATIO_MAX..=RATIO_MAX).contains(&ratio)).then_some([inside, outside])
}

/// Frequencies of bytes, and of bytes after each byte.
struct Pairs {
    singles: [f64; 256],
    n_singles: f64,
    pairs: Vec<f64>,
}

impl Pairs {
    fn count<'t>(blocks: impl Iterator<Item = &'t [u8]>) -> Pairs {
        let mut counts = Pairs { singles: [0.0; 256], n_singles: 0.0, pairs: vec![0.0; 1 << 16] };
        for block in blocks {
            for pair in block.windows(2) {
                counts.singles[pair[0] as usize] += 1.0;
                counts.pairs[pair[0] as usize * 256 + pair[1] as usize] += 1.0;
                counts.n_singles += 1.0;
            }
        }
        counts
    }

    /// Bits per byte of some text, each byte after the one before it.
    fn bits<'t>(&self, blocks: impl Iterator<Item = &'t [u8]>) -> f64 {
        let (mut bits, mut n) = (0.0, 0.0);
        for pair in blocks.flat_map(|block| block.windows(2)) {
            let [before, byte] = [pair[0] as usize, pair[1] as usize];
            let single = (self.singles[byte] + 1.0) / (self.n_singles + 256.0);
            let p =
                (self.pairs[before * 256 + byte] + PRIOR * single) / (self.singles[before] + PRIOR);
            bits -= p.log2();
            n += 1.0;
        }
        bits / f64::max(n, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stories;
    use kernels::rng::{Purpose, Rng};

    fn stories(n_bytes: u64, seed: u64) -> String {
        let mut text = Vec::new();
        stories::write_corpus(n_bytes, seed, 1, &mut text, &mut |_| true).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn share(train: &str, held_out: &str) -> f64 {
        repeated_share(&[train], &[held_out], || true).unwrap()
    }

    /// Text in which no piece is repeated.
    fn random_text(n: usize, stream: u64) -> String {
        let rng = Rng::new(1, Purpose::Test, stream);
        (0..n as u64).map(|i| char::from(b'a' + rng.below_at(i, 26) as u8)).collect()
    }

    #[test]
    fn repeated_text_is_found_at_any_place() {
        let (a, b) = (random_text(100_000, 0), random_text(6_400, 1));
        assert_eq!(
            (share(&a, &b), share(&a, &a[..6_400]), share(&a, &a[77..6_477])),
            (0.0, 1.0, 1.0)
        );
        let half = format!("{}{}", &a[33_333..][..3_200], &b[..3_200]);
        assert_eq!(share(&a, &half), 0.5);
        // At the very end of a text, and in the second of two.
        assert_eq!(share(&a, &a[a.len() - 64..]), 1.0);
        assert_eq!(repeated_share(&["", &a], &[&b, &a[..6_400]], || true), Some(0.5));
        assert_eq!((share("", &b), share(&a, ""), share(&a, "short")), (0.0, 0.0, 0.0));
        assert_eq!(repeated_share(&[&random_text(3 << 20, 2)], &[&b], || false), None);
    }

    #[test]
    fn a_text_is_of_its_own_kind_and_another_language_is_not() {
        let train = stories(300_000, 1);
        assert_eq!(other_kind(&[&train], &[&stories(20_000, 2)]), None);
        let numbers: String = (0..4_000).map(|i| format!("{i}, ")).collect();
        let spanish = "El viento movía los barcos y nadie quería volver a casa. ".repeat(80);
        let code = "fn next(&mut self) -> Option<u8> { self.0.pop() }\n".repeat(80);
        for other in [&numbers, &spanish, &code, &random_text(9_000, 3), &" ".repeat(4_000)] {
            assert!(other_kind(&[&train], &[other]).is_some(), "{}", &other[..20]);
        }
        assert_eq!(other_kind(&[&train], &["1 2 3"]), None, "too short to tell");
    }
}
