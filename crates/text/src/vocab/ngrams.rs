//! Hashed n-grams: which rows of a table stand for the last tokens.
//!
//! An n-gram has a hash, and a row in each of several tables: its hash modulo the table's size. The
//! sizes are different primes, so two n-grams share all their rows only if their hashes agree modulo
//! the product of all (Chinese remainder theorem). So do Engram (Cheng et al. 2026, arXiv:2601.07372)
//! and its kin; all rows are added to the token's own vector.
//!
//! A table learns a small text by heart. So an n-gram has rows only if it stands in the text several
//! times: what a text has once says nothing of another. Which ones do is kept with the model, as their
//! hashes.

use kernels::row_sums::NO_ROW;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

/// Tokens of an n-gram, at most.
pub const NGRAM_MAX: usize = 3;

/// Rows of a table, at most.
pub const N_ROWS_MAX: u32 = 1 << 22;

/// Heads for bigrams and for trigrams each.
const HEADS_EACH: usize = 2;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramHead {
    /// Tokens of its n-grams.
    pub n: usize,
    /// Its rows, a prime.
    pub n_rows: u32,
}

/// Two heads for bigrams and two for trigrams, each with a prime number of rows of its own, the
/// largest below `n_rows`.
///
/// # Panics
/// If there are not so many primes below.
pub fn ngram_heads(n_rows: usize) -> Vec<NgramHead> {
    let primes = lattice::numbers::primes::primes_below(n_rows);
    let n_heads = HEADS_EACH * (NGRAM_MAX - 1);
    assert!(primes.len() >= n_heads, "ngram_heads: {n_rows} rows are too few");
    let largest = primes.iter().rev().take(n_heads);
    let with_prime = |(i, prime): (usize, &u64)| NgramHead {
        n: 2 + i / HEADS_EACH,
        n_rows: u32::try_from(*prime).expect("a table of rows of floats has fewer rows"),
    };
    largest.enumerate().map(with_prime).collect()
}

/// Finds the rows of n-grams.
#[derive(Clone, Debug, PartialEq)]
pub struct Ngrams {
    heads: Vec<NgramHead>,
    /// Hashes of the n-grams that have rows.
    known: FxHashSet<u64>,
}

impl Ngrams {
    /// For the n-grams of these hashes.
    pub fn new(heads: &[NgramHead], known: FxHashSet<u64>) -> Ngrams {
        Ngrams { heads: heads.to_vec(), known }
    }

    /// For the n-grams that `ids` has at least `min_count` times.
    pub fn learn(heads: &[NgramHead], ids: &[u32], min_count: usize) -> Ngrams {
        let mut known = FxHashSet::default();
        for n in 2..=NGRAM_MAX {
            // In order equal ones stand together: less memory than a count for each.
            let mut hashes: Vec<u64> = ids.windows(n).map(hash).collect();
            hashes.sort_unstable();
            let same = hashes.chunk_by(|a, b| a == b).filter(|same| same.len() >= min_count);
            known.extend(same.map(|same| same[0]));
        }
        Ngrams::new(heads, known)
    }

    /// Heads, K.
    pub fn n_heads(&self) -> usize {
        self.heads.len()
    }

    /// Hashes of the n-grams that have rows, ascending.
    pub fn known(&self) -> Vec<u64> {
        let mut known: Vec<u64> = self.known.iter().copied().collect();
        known.sort_unstable();
        known
    }

    /// Writes the rows (T, K) of the n-grams that end at each place of one sequence (T): rows of all
    /// tables put together, or [`NO_ROW`].
    pub fn rows(&self, ids: &[u32], rows: &mut [u32]) {
        assert_eq!(rows.len(), ids.len() * self.n_heads(), "Ngrams::rows: not (T, K)");
        for (t, rows) in rows.chunks_exact_mut(self.n_heads()).enumerate() {
            let hash_of = |n: usize| {
                let ngram = ids.get((t + 1).checked_sub(n)?..=t)?;
                Some(hash(ngram)).filter(|hash| self.known.contains(hash))
            };
            let hashes: [Option<u64>; NGRAM_MAX - 1] = std::array::from_fn(|i| hash_of(i + 2));
            let mut first = 0;
            for (row, head) in rows.iter_mut().zip(&self.heads) {
                let in_table = |hash: u64| first + (hash % u64::from(head.n_rows)) as u32;
                *row = hashes[head.n - 2].map_or(NO_ROW, in_table);
                first += head.n_rows;
            }
        }
    }
}

/// The hash of an n-gram: its ids are taken in one by one, and mixed by the function of splitmix64
/// (Steele, Lea and Flood 2014), which is one to one.
fn hash(ngram: &[u32]) -> u64 {
    ngram.iter().fold(ngram.len() as u64, |hash, id| {
        let mut z = (hash ^ u64::from(*id)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_different_primes() {
        let heads = ngram_heads(1000);
        let expected = [(2, 997), (2, 991), (3, 983), (3, 977)];
        assert_eq!(heads.iter().map(|h| (h.n, h.n_rows)).collect::<Vec<_>>(), expected);
        assert!(heads.iter().all(|head| lattice::numbers::primality::is_prime(head.n_rows.into())));
    }

    /// The n-grams that end at each place, by whether they have rows: of bigrams, of trigrams.
    fn shown(ngrams: &Ngrams, ids: &[u32]) -> Vec<(bool, bool)> {
        let mut rows = vec![0; 4 * ids.len()];
        ngrams.rows(ids, &mut rows);
        let rows = rows.chunks_exact(4);
        rows.map(|row| {
            let has = [0, 1, 2, 3].map(|k| row[k] != NO_ROW);
            assert_eq!((has[0], has[2]), (has[1], has[3]));
            (has[0], has[2])
        })
        .collect()
    }

    #[test]
    fn only_what_was_seen_often_enough_has_rows() {
        let text = [1, 2, 3, 1, 2, 3, 9, 2, 3, 1];
        let heads = ngram_heads(100);
        let twice = Ngrams::learn(&heads, &text, 2);
        // 1 2, 2 3 and 3 1; 1 2 3 and 2 3 1.
        assert_eq!(twice.known().len(), 5);
        let found = shown(&twice, &[1, 2, 3, 4, 2, 3, 1]);
        let (no, two, both) = ((false, false), (true, false), (true, true));
        assert_eq!(found, [no, two, both, no, no, two, both]);
        assert_eq!(Ngrams::learn(&heads, &text, 3).known().len(), 1);
        assert_eq!(Ngrams::learn(&heads, &text, 1).known().len(), 5 + 6);
    }

    /// A row depends on the n-gram alone, and each head's rows are in its own table.
    #[test]
    fn rows_are_functions_of_the_last_ids() {
        let text: Vec<u32> = (0..500).map(|t| t * t % 23).collect();
        let heads = ngram_heads(50);
        let ngrams = Ngrams::learn(&heads, &text, 1);
        let mut rows = vec![0; 4 * text.len()];
        ngrams.rows(&text, &mut rows);
        let mut first = 0;
        for (k, head) in heads.iter().enumerate() {
            let of_head: Vec<u32> = rows.iter().skip(k).step_by(4).copied().collect();
            let table = first..first + head.n_rows;
            assert!(of_head[head.n - 1..].iter().all(|row| table.contains(row)));
            assert!(of_head[..head.n - 1].iter().all(|row| *row == NO_ROW));
            first = table.end;
        }
        for t in 2..text.len() {
            let mut last = [0; 12];
            ngrams.rows(&text[t - 2..=t], &mut last);
            assert_eq!(last[8..], rows[4 * t..4 * t + 4]);
        }
    }
}
