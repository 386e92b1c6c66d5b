//! Hashed n-grams: table rows for the last two or three tokens.
//!
//! An n-gram has a hash, and one row in each of several tables: its hash modulo the table's size.
//! The sizes are different primes, so two n-grams share all their rows only if their hashes agree
//! modulo the product of the sizes (Chinese remainder theorem). All rows are added to the token's
//! own vector, as in Engram (Cheng et al. 2026, arXiv:2601.07372).
//!
//! Tables memorise a small text. An n-gram therefore has rows only if it occurs several times in
//! the text: one that occurs once does not help on other text. The hashes of the n-grams that have
//! rows are stored with the model.

use kernels::row_sums::NO_ROW;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

/// Largest number of tokens of an n-gram.
pub const NGRAM_MAX: usize = 3;

/// Largest number of rows of a table.
pub const N_ROWS_MAX: u32 = 1 << 22;

/// Number of tables for each length of n-gram.
const TABLES_PER_LENGTH: usize = 2;

/// Size of one n-gram table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramTable {
    /// Length of its n-grams, in tokens.
    pub n: usize,
    /// Number of rows, a prime.
    pub n_rows: u32,
}

/// Two tables for bigrams and two for trigrams. Their sizes are the four largest primes below
/// `n_rows`.
///
/// # Panics
/// If there are fewer than four primes below `n_rows`.
pub fn ngram_tables(n_rows: usize) -> Vec<NgramTable> {
    let primes = lattice::numbers::primes::primes_below(n_rows);
    let n_tables = TABLES_PER_LENGTH * (NGRAM_MAX - 1);
    assert!(primes.len() >= n_tables, "ngram_tables: {n_rows} rows are too few");
    let largest = primes.iter().rev().take(n_tables);
    let with_prime = |(i, prime): (usize, &u64)| NgramTable {
        n: 2 + i / TABLES_PER_LENGTH,
        n_rows: u32::try_from(*prime).expect("a table of rows of floats has fewer rows"),
    };
    largest.enumerate().map(with_prime).collect()
}

/// Lookup of n-gram rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ngrams {
    tables: Vec<NgramTable>,
    /// Hashes of the n-grams that have rows.
    known: FxHashSet<u64>,
}

impl Ngrams {
    /// With rows for the n-grams that have these hashes.
    pub fn new(tables: &[NgramTable], known: FxHashSet<u64>) -> Ngrams {
        Ngrams { tables: tables.to_vec(), known }
    }

    /// With rows for the n-grams that occur at least `min_count` times in `ids`.
    pub fn learn(tables: &[NgramTable], ids: &[u32], min_count: usize) -> Ngrams {
        let mut known = FxHashSet::default();
        for n in 2..=NGRAM_MAX {
            // Sorting groups equal hashes, with less memory than a counter for each.
            let mut hashes: Vec<u64> = ids.windows(n).map(hash).collect();
            hashes.sort_unstable();
            let same = hashes.chunk_by(|a, b| a == b).filter(|same| same.len() >= min_count);
            known.extend(same.map(|same| same[0]));
        }
        Ngrams::new(tables, known)
    }

    /// Number of tables, K.
    pub fn n_tables(&self) -> usize {
        self.tables.len()
    }

    /// Hashes of the n-grams that have rows, ascending.
    pub fn known(&self) -> Vec<u64> {
        let mut known: Vec<u64> = self.known.iter().copied().collect();
        known.sort_unstable();
        known
    }

    /// Writes the rows (T, K) of the n-grams that end at each position of one sequence (T): indices
    /// into the concatenated tables, or [`NO_ROW`].
    ///
    /// # Panics
    /// If `rows` is not (T, K).
    pub fn rows(&self, ids: &[u32], rows: &mut [u32]) {
        assert_eq!(rows.len(), ids.len() * self.n_tables(), "Ngrams::rows: not (T, K)");
        for (t, rows) in rows.chunks_exact_mut(self.n_tables()).enumerate() {
            let hash_of = |n: usize| {
                let ngram = ids.get((t + 1).checked_sub(n)?..=t)?;
                Some(hash(ngram)).filter(|hash| self.known.contains(hash))
            };
            let hashes: [Option<u64>; NGRAM_MAX - 1] = std::array::from_fn(|i| hash_of(i + 2));
            let mut first = 0;
            for (row, table) in rows.iter_mut().zip(&self.tables) {
                let in_table = |hash: u64| first + (hash % u64::from(table.n_rows)) as u32;
                *row = hashes[table.n - 2].map_or(NO_ROW, in_table);
                first += table.n_rows;
            }
        }
    }
}

/// The hash of an n-gram: ids are absorbed one by one and mixed by the bijective function of
/// SplitMix64 (Steele, Lea and Flood 2014).
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
    use lattice::numbers::primality::is_prime;

    #[test]
    fn sizes_are_different_primes() {
        let tables = ngram_tables(1000);
        let expected = [(2, 997), (2, 991), (3, 983), (3, 977)];
        assert_eq!(
            tables.iter().map(|table| (table.n, table.n_rows)).collect::<Vec<_>>(),
            expected
        );
        let is_prime = |table: &NgramTable| is_prime(table.n_rows.into());
        assert!(tables.iter().all(is_prime));
    }

    /// The n-grams that end at each position, by whether they have rows: of bigrams, of trigrams.
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
    fn only_ngrams_seen_often_enough_have_rows() {
        let text = [1, 2, 3, 1, 2, 3, 9, 2, 3, 1];
        let tables = ngram_tables(100);
        let twice = Ngrams::learn(&tables, &text, 2);
        // 1 2, 2 3 and 3 1; 1 2 3 and 2 3 1.
        assert_eq!(twice.known().len(), 5);
        let found = shown(&twice, &[1, 2, 3, 4, 2, 3, 1]);
        let (no, two, both) = ((false, false), (true, false), (true, true));
        assert_eq!(found, [no, two, both, no, no, two, both]);
        assert_eq!(Ngrams::learn(&tables, &text, 3).known().len(), 1);
        assert_eq!(Ngrams::learn(&tables, &text, 1).known().len(), 5 + 6);
    }

    /// A row depends on the n-gram alone, and each table's rows are in its own table.
    #[test]
    fn rows_depend_on_the_last_ids_only() {
        let text: Vec<u32> = (0..500).map(|t| t * t % 23).collect();
        let tables = ngram_tables(50);
        let ngrams = Ngrams::learn(&tables, &text, 1);
        let mut rows = vec![0; 4 * text.len()];
        ngrams.rows(&text, &mut rows);
        let mut first = 0;
        for (k, table) in tables.iter().enumerate() {
            let found: Vec<u32> = rows.iter().skip(k).step_by(4).copied().collect();
            let own = first..first + table.n_rows;
            assert!(found[table.n - 1..].iter().all(|row| own.contains(row)));
            assert!(found[..table.n - 1].iter().all(|row| *row == NO_ROW));
            first = own.end;
        }
        for t in 2..text.len() {
            let mut last = [0; 12];
            ngrams.rows(&text[t - 2..=t], &mut last);
            assert_eq!(last[8..], rows[4 * t..4 * t + 4]);
        }
    }
}
