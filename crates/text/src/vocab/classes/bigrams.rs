//! Bigram counts, sparse, by predecessor and by successor.

use super::error::ClassError;
use crate::corpus::TokenSource;
use std::ops::Range;

/// Largest number of tokens counted; of a longer text only evenly spaced pieces. Bounds memory to
/// about 200 MB and time to a second.
const N_TOKENS_MAX: usize = 1 << 23;

/// Number of tokens read at once, and the length of the pieces.
const PIECE_LEN: usize = 1 << 16;

/// (V) count of each token in all of `tokens`.
///
/// # Errors
/// [`ClassError::Token`].
pub fn count_tokens<T: TokenSource + ?Sized>(
    tokens: &T,
    vocab_size: usize,
) -> Result<Vec<u64>, ClassError> {
    let mut counts = vec![0; vocab_size];
    let mut buffer = vec![0; PIECE_LEN.min(tokens.len())];
    for start in (0..tokens.len()).step_by(PIECE_LEN) {
        let piece = &mut buffer[..PIECE_LEN.min(tokens.len() - start)];
        tokens.read(start, piece);
        for (i, &id) in piece.iter().enumerate() {
            let count = counts.get_mut(id as usize);
            let position = start + i;
            *count.ok_or(ClassError::Token { position, found: id, vocab_size })? += 1;
        }
    }
    Ok(counts)
}

/// Counts of pairs (token, the token after it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bigrams {
    n_pairs: u64,
    successors: Neighbours,
    predecessors: Neighbours,
}

/// For each token, its neighbours on one side by ascending id, with counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Neighbours {
    /// (V + 1) offsets of each token's neighbours in `entries`.
    starts: Vec<u32>,
    /// (neighbour, count), none of them 0.
    entries: Vec<(u32, u32)>,
}

impl Neighbours {
    fn of(&self, id: usize) -> &[(u32, u32)] {
        &self.entries[self.starts[id] as usize..self.starts[id + 1] as usize]
    }

    /// The same pairs, grouped by the other token.
    fn transposed(&self) -> Neighbours {
        let n = self.starts.len() - 1;
        let mut starts = starts_of(n, self.entries.iter().map(|(id, _)| *id));
        let mut entries = vec![(0, 0); self.entries.len()];
        for id in 0..n {
            for &(neighbour, count) in self.of(id) {
                entries[take_slot(&mut starts, neighbour)] = (id as u32, count);
            }
        }
        Neighbours { starts: put_back(starts), entries }
    }
}

/// (n + 1) offsets of groups `0..n` in an array sorted by group.
fn starts_of(n: usize, groups: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut starts = vec![0; n + 1];
    groups.for_each(|group| starts[group as usize + 1] += 1);
    for i in 0..n {
        starts[i + 1] += starts[i];
    }
    starts
}

/// The next free slot of a group; its start advances.
fn take_slot(starts: &mut [u32], group: u32) -> usize {
    let start = &mut starts[group as usize];
    *start += 1;
    *start as usize - 1
}

/// The starts before all slots were taken: each has become the start of the next group.
fn put_back(mut starts: Vec<u32>) -> Vec<u32> {
    starts.rotate_right(1);
    starts[0] = 0;
    starts
}

impl Bigrams {
    /// Counts the pairs of `tokens`, or of a sample of about eight million tokens.
    ///
    /// Pairs are sorted by two counting sorts, by successor and then by predecessor, so time and
    /// memory are linear in the number of tokens, without hashing.
    ///
    /// # Errors
    /// [`ClassError::Token`].
    pub fn count<T: TokenSource + ?Sized>(
        tokens: &T,
        vocab_size: usize,
    ) -> Result<Bigrams, ClassError> {
        let pieces = pieces(tokens.len(), N_TOKENS_MAX);
        let mut slots = vec![0; vocab_size + 1];
        each_pair(tokens, vocab_size, &pieces, |_, second| slots[second as usize + 1] += 1)?;
        for i in 0..vocab_size {
            slots[i + 1] += slots[i];
        }
        let n_pairs = slots[vocab_size] as usize;
        let mut by_second = vec![0; n_pairs];
        each_pair(tokens, vocab_size, &pieces, |first, second| {
            by_second[take_slot(&mut slots, second)] = first;
        })?;
        let seconds = put_back(slots);

        let mut slots = starts_of(vocab_size, by_second.iter().copied());
        let mut by_first = vec![0; n_pairs];
        for second in 0..vocab_size {
            for &first in &by_second[seconds[second] as usize..seconds[second + 1] as usize] {
                by_first[take_slot(&mut slots, first)] = second as u32;
            }
        }
        let successors = run_lengths(&put_back(slots), &by_first);
        let predecessors = successors.transposed();
        Ok(Bigrams { n_pairs: n_pairs as u64, successors, predecessors })
    }

    /// Size of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.successors.starts.len() - 1
    }

    /// Number of pairs, with repetitions.
    pub fn n_pairs(&self) -> u64 {
        self.n_pairs
    }

    /// Number of distinct pairs.
    pub fn n_different(&self) -> usize {
        self.successors.entries.len()
    }

    /// Tokens after token `id`: (id, count), ids ascending.
    pub fn successors(&self, id: u32) -> &[(u32, u32)] {
        self.successors.of(id as usize)
    }

    /// Tokens before token `id`: (id, count), ids ascending.
    pub fn predecessors(&self, id: u32) -> &[(u32, u32)] {
        self.predecessors.of(id as usize)
    }

    /// Number of times that token `id` is in a pair, on either side.
    pub fn n_occurrences(&self, id: u32) -> u64 {
        let sum = |entries: &[(u32, u32)]| entries.iter().map(|e| u64::from(e.1)).sum::<u64>();
        sum(self.successors(id)) + sum(self.predecessors(id))
    }
}

/// Positions of the first tokens of pairs: all, or evenly spaced pieces with `n_max` in total.
fn pieces(n_tokens: usize, n_max: usize) -> Vec<Range<usize>> {
    let n_pairs = n_tokens.saturating_sub(1);
    let n_pieces = n_pairs.div_ceil(PIECE_LEN);
    let n_taken = n_pieces.min(n_max.div_ceil(PIECE_LEN));
    let piece = |i: usize| i * PIECE_LEN..n_pairs.min((i + 1) * PIECE_LEN);
    (0..n_taken).map(|i| piece(i * n_pieces / n_taken)).collect()
}

fn each_pair<T: TokenSource + ?Sized>(
    tokens: &T,
    vocab_size: usize,
    pieces: &[Range<usize>],
    mut see: impl FnMut(u32, u32),
) -> Result<(), ClassError> {
    let mut buffer = vec![0; PIECE_LEN + 1];
    for piece in pieces {
        let ids = &mut buffer[..piece.len() + 1];
        tokens.read(piece.start, ids);
        if let Some(i) = ids.iter().position(|id| *id as usize >= vocab_size) {
            return Err(ClassError::Token { position: piece.start + i, found: ids[i], vocab_size });
        }
        ids.windows(2).for_each(|pair| see(pair[0], pair[1]));
    }
    Ok(())
}

/// Sorted groups of ids as (id, count).
fn run_lengths(starts: &[u32], ids: &[u32]) -> Neighbours {
    let mut entries: Vec<(u32, u32)> = Vec::new();
    let mut ends = vec![0];
    for group in starts.windows(2) {
        let ids = &ids[group[0] as usize..group[1] as usize];
        entries.extend(ids.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)));
        ends.push(entries.len() as u32);
    }
    Neighbours { starts: ends, entries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::{Purpose, Rng};
    use std::collections::BTreeMap;

    /// The definition: a map from pairs to counts.
    fn naive(tokens: &[u32]) -> BTreeMap<(u32, u32), u32> {
        let mut pairs = BTreeMap::new();
        tokens.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += 1);
        pairs
    }

    fn text(len: usize, vocab_size: u64) -> Vec<u32> {
        let rng = Rng::new(5, Purpose::Test, 0);
        let draw = |i| rng.below_at(i, vocab_size).min(rng.below_at(i + (1 << 40), vocab_size));
        (0..len as u64).map(|i| draw(i) as u32).collect()
    }

    #[test]
    fn counts_match_a_map() {
        for (len, vocab_size) in [(0, 1), (1, 1), (2, 3), (3, 1), (500, 7), (150_000, 90)] {
            let tokens = text(len, vocab_size);
            let bigrams = Bigrams::count(&tokens[..], vocab_size as usize).unwrap();
            let expected = naive(&tokens);
            let (mut forth, mut back) = (BTreeMap::new(), BTreeMap::new());
            for id in 0..vocab_size as u32 {
                forth.extend(bigrams.successors(id).iter().map(|&(next, n)| ((id, next), n)));
                back.extend(bigrams.predecessors(id).iter().map(|&(prev, n)| ((prev, id), n)));
                assert!(bigrams.predecessors(id).is_sorted() && bigrams.successors(id).is_sorted());
            }
            assert!(forth == expected && back == expected, "{len} tokens");
            assert_eq!(bigrams.n_pairs(), len.saturating_sub(1) as u64);
            assert_eq!(bigrams.n_different(), expected.len());
            let n_occurrences: u64 =
                (0..vocab_size as u32).map(|id| bigrams.n_occurrences(id)).sum();
            assert_eq!(n_occurrences, 2 * bigrams.n_pairs());
        }
    }

    #[test]
    fn tokens_are_counted_and_unknown_ones_refused() {
        let mut tokens = text(70_000, 20);
        let counts = count_tokens(&tokens[..], 20).unwrap();
        for id in 0..20 {
            assert_eq!(counts[id], tokens.iter().filter(|t| **t == id as u32).count() as u64);
        }
        tokens[68_000] = 20;
        let expected = ClassError::Token { position: 68_000, found: 20, vocab_size: 20 };
        assert_eq!(count_tokens(&tokens[..], 20), Err(expected.clone()));
        assert_eq!(Bigrams::count(&tokens[..], 20), Err(expected));
    }

    #[test]
    fn a_long_text_is_sampled_in_pieces_from_end_to_end() {
        let len = 100 * PIECE_LEN + 17;
        let all = pieces(len, len);
        assert_eq!(all.iter().map(Range::len).sum::<usize>(), len - 1);
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        let some = pieces(len, 10 * PIECE_LEN);
        assert_eq!(some.len(), 10);
        assert!(some.iter().all(|piece| all.contains(piece)));
        let gap = some.windows(2).map(|pair| pair[1].start - pair[0].start).max().unwrap();
        assert!(gap <= 11 * PIECE_LEN && some[9].end > 9 * len / 10);
        assert!(pieces(0, 10).is_empty() && pieces(1, 10).is_empty());
    }
}
