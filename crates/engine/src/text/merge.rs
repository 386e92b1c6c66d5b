//! Byte-pair merges of one pre-token: the definition, and the same with a queue for long ones.
//!
//! Sennrich, Haddow and Birch 2016 (arXiv 1508.07909), section 3.2: while two neighbours form a
//! pair that was learnt, merge the pair learnt first, the leftmost where it stands more than once.
//! The definition looks at every pair again after each merge, so its time grows with the square of
//! the length; the queue takes n log n, whatever the text.

use super::error::TextError;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to this many symbols, looking again is faster than keeping a queue.
const SHORT: usize = 24;

/// Longest pre-token merged as one, in bytes; longer ones are cut, so that a position fits `u32`.
pub(super) const LEN_MAX: usize = 1 << 30;

/// No neighbour.
const NONE: u32 = u32::MAX;

/// What became of a pair: the order in which it was learnt, and the token it forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Merge {
    rank: u32,
    merged: u32,
}

/// The pairs that were learnt.
#[derive(Clone, Debug, Default)]
pub(super) struct Merges {
    by_pair: FxHashMap<(u32, u32), Merge>,
    /// The pairs in the order they were learnt.
    pairs: Vec<(u32, u32)>,
}

impl Merges {
    /// Adds the next pair and the token it forms.
    ///
    /// # Errors
    /// If the pair is known already: its rank would be ambiguous.
    pub(super) fn push(&mut self, pair: (u32, u32), merged: u32) -> Result<(), TextError> {
        let rank = self.pairs.len() as u32;
        if self.by_pair.insert(pair, Merge { rank, merged }).is_some() {
            let field = format!("model.merges[{rank}]");
            return Err(TextError::format(field, "a pair given before", "each pair once"));
        }
        self.pairs.push(pair);
        Ok(())
    }

    /// The pairs in the order they were learnt.
    pub(super) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Merges `symbols` until no learnt pair is left. `queue` is scratch.
    pub(super) fn apply(&self, symbols: &mut Vec<u32>, queue: &mut MergeQueue) {
        if self.pairs.is_empty() {
        } else if symbols.len() <= SHORT {
            self.apply_by_looking(symbols);
        } else {
            self.apply_by_queue(symbols, queue);
        }
    }

    fn get(&self, left: u32, right: u32) -> Option<Merge> {
        self.by_pair.get(&(left, right)).copied()
    }

    /// The definition.
    fn apply_by_looking(&self, symbols: &mut Vec<u32>) {
        loop {
            let pairs = symbols.windows(2).enumerate();
            let merges = pairs.filter_map(|(i, pair)| Some((i, self.get(pair[0], pair[1])?)));
            // `min_by_key` returns the first of equals.
            let Some((i, merge)) = merges.min_by_key(|(_, merge)| merge.rank) else { return };
            symbols[i] = merge.merged;
            symbols.remove(i + 1);
        }
    }

    /// The same with a queue of (rank, position). An entry is stale, and skipped, when the pair
    /// that now stands there has another rank; a symbol only ever grows, so none can come back.
    fn apply_by_queue(&self, symbols: &mut Vec<u32>, queue: &mut MergeQueue) {
        queue.fill(self, symbols);
        while let Some(Reverse((rank, at))) = queue.heap.pop() {
            let at = at as usize;
            let right = queue.next[at];
            // The symbol was merged into its left neighbour, or is the last.
            if queue.is_gone(at) || right == NONE {
                continue;
            }
            let merge = self.get(symbols[at], symbols[right as usize]);
            let Some(merge) = merge.filter(|merge| merge.rank == rank) else { continue };
            symbols[at] = merge.merged;
            queue.unlink(at, right as usize);
            for left in [queue.prev[at], at as u32] {
                if left == NONE {
                    continue;
                }
                let right = queue.next[left as usize];
                if right == NONE {
                    continue;
                }
                if let Some(m) = self.get(symbols[left as usize], symbols[right as usize]) {
                    queue.heap.push(Reverse((m.rank, left)));
                }
            }
        }
        // The first symbol is never merged into another, so the chain starts there.
        let (mut at, mut len) = (0, 0);
        while at != NONE {
            symbols[len] = symbols[at as usize];
            len += 1;
            at = queue.next[at as usize];
        }
        symbols.truncate(len);
    }
}

/// Scratch of [`Merges::apply`]: the pairs to look at, and the chain of symbols.
#[derive(Debug, Default)]
pub(super) struct MergeQueue {
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    prev: Vec<u32>,
    next: Vec<u32>,
}

impl MergeQueue {
    fn fill(&mut self, merges: &Merges, symbols: &[u32]) {
        let n = symbols.len() as u32;
        self.prev.clear();
        self.prev.extend((0..n).map(|at| at.checked_sub(1).unwrap_or(NONE)));
        self.next.clear();
        self.next.extend((1..n).chain([NONE]));
        // From a vector, so that the heap is built in linear time.
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.clear();
        let pairs = symbols.windows(2).enumerate();
        entries.extend(pairs.filter_map(|(at, pair)| {
            Some(Reverse((merges.get(pair[0], pair[1])?.rank, at as u32)))
        }));
        self.heap = entries.into();
    }

    /// Takes `right`, the right neighbour of `at`, out of the chain.
    fn unlink(&mut self, at: usize, right: usize) {
        let after = self.next[right];
        self.next[at] = after;
        if after != NONE {
            self.prev[after as usize] = at as u32;
        }
        // A symbol that is its own neighbour is gone.
        self.next[right] = right as u32;
    }

    fn is_gone(&self, at: usize) -> bool {
        self.next[at] == at as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Merges over an alphabet of four, each pair drawn from what can exist by then.
    fn merges_from(choices: &[(u32, u32)]) -> Merges {
        let (mut merges, mut n_tokens) = (Merges::default(), 4);
        for &(left, right) in choices {
            if merges.push((left % n_tokens, right % n_tokens), n_tokens).is_ok() {
                n_tokens += 1;
            }
        }
        merges
    }

    #[test]
    fn the_pair_learnt_first_goes_first_and_the_leftmost_of_equals() {
        let mut merges = Merges::default();
        merges.push((1, 2), 10).unwrap();
        merges.push((0, 1), 11).unwrap();
        merges.push((0, 0), 12).unwrap();
        let mut symbols = vec![0, 1, 2, 0, 1, 0, 0, 0];
        merges.apply_by_looking(&mut symbols);
        assert_eq!(symbols, [0, 10, 11, 12, 0]);
        assert!(merges.push((0, 0), 13).is_err(), "a second rank for a pair");
    }

    proptest! {
        #[test]
        fn the_queue_gives_what_the_definition_gives(
            choices in prop::collection::vec((0..40u32, 0..40u32), 0..40),
            symbols in prop::collection::vec(0..4u32, 0..120),
        ) {
            let merges = merges_from(&choices);
            let (mut expected, mut found) = (symbols.clone(), symbols);
            merges.apply_by_looking(&mut expected);
            if !found.is_empty() {
                merges.apply_by_queue(&mut found, &mut MergeQueue::default());
            }
            prop_assert_eq!(found, expected);
        }
    }
}
