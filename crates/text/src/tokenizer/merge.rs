//! Byte-pair merges of one pre-token: by definition, and with a queue for long ones.
//!
//! Sennrich, Haddow and Birch 2016 (arXiv 1508.07909), section 3.2: while two neighbours form a
//! learnt pair, merge the pair learnt first, and of several occurrences the leftmost. The
//! definition checks every pair again after each merge, in quadratic time. The queue keeps a list
//! of positions for each pair and processes each list from left to right, in linear time. Unlike a
//! heap of all positions, it reads memory in order.

use super::error::TextError;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to this number of symbols, repeated scans are faster than a queue.
const SHORT: usize = 24;

/// Longest pre-token merged as one, in bytes; longer ones are cut, so that a position fits `u32`.
pub(super) const LEN_MAX: usize = 1 << 30;

/// Marks a missing neighbour.
const NONE: u32 = u32::MAX;

/// A learnt pair: its rank in the order of learning, and the token it forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Merge {
    rank: u32,
    merged: u32,
}

/// The learnt pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Merges {
    by_pair: FxHashMap<(u32, u32), Merge>,
    /// The pairs in the order learnt.
    pairs: Vec<(u32, u32)>,
}

impl Merges {
    /// Adds the next pair and the token it forms.
    ///
    /// # Errors
    /// If the pair was added before: its rank would be ambiguous.
    pub(super) fn push(&mut self, pair: (u32, u32), merged: u32) -> Result<(), TextError> {
        let rank = self.pairs.len() as u32;
        if self.by_pair.insert(pair, Merge { rank, merged }).is_some() {
            let field = format!("model.merges[{rank}]");
            return Err(TextError::format(field, "a pair given before", "each pair once"));
        }
        self.pairs.push(pair);
        Ok(())
    }

    /// The pairs in the order learnt.
    pub(super) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Merges `symbols` until no learnt pair is left. `queue` is scratch.
    pub(super) fn apply(&self, symbols: &mut Vec<u32>, queue: &mut MergeQueue) {
        if self.pairs.is_empty() {
        } else if symbols.len() <= SHORT {
            self.apply_by_scanning(symbols);
        } else {
            self.apply_by_queue(symbols, queue);
        }
    }

    fn get(&self, left: u32, right: u32) -> Option<Merge> {
        self.by_pair.get(&(left, right)).copied()
    }

    /// Applies merges by the definition: scans all pairs after each merge.
    fn apply_by_scanning(&self, symbols: &mut Vec<u32>) {
        loop {
            let pairs = symbols.windows(2).enumerate();
            let merges = pairs.filter_map(|(i, pair)| Some((i, self.get(pair[0], pair[1])?)));
            // `min_by_key` returns the first of equals.
            let Some((i, merge)) = merges.min_by_key(|(_, merge)| merge.rank) else { return };
            symbols[i] = merge.merged;
            symbols.remove(i + 1);
        }
    }

    /// Applies merges with a queue. A queued position is stale, and skipped, if its pair now has
    /// another rank. Symbols only grow, so a pair cannot reappear at a position.
    fn apply_by_queue(&self, symbols: &mut Vec<u32>, queue: &mut MergeQueue) {
        queue.fill(self, symbols);
        while let Some(Reverse(rank)) = queue.ranks.pop() {
            queue.current = Some(rank);
            let mut positions = queue.positions.remove(&rank).unwrap_or_default();
            if !positions.is_sorted() {
                positions.sort_unstable();
            }
            for at in positions {
                while let Some((rank, earlier)) = queue.pop_urgent_before((rank, at)) {
                    self.merge_at(rank, earlier, symbols, queue);
                }
                self.merge_at(rank, at, symbols, queue);
            }
            while let Some((rank, at)) = queue.pop_urgent_before((u32::MAX, u32::MAX)) {
                self.merge_at(rank, at, symbols, queue);
            }
        }
        queue.collect(symbols);
    }

    /// Merges the pair of this rank at `at`, if it is still there, and queues the new pairs.
    fn merge_at(&self, rank: u32, at: u32, symbols: &mut [u32], queue: &mut MergeQueue) {
        let Some(right) = queue.right_of(at) else { return };
        let merge = self.get(symbols[at as usize], symbols[right as usize]);
        let Some(merge) = merge.filter(|merge| merge.rank == rank) else { return };
        symbols[at as usize] = merge.merged;
        queue.unlink(at, right);
        for left in [queue.prev[at as usize], at] {
            if left != NONE
                && let Some(right) = queue.right_of(left)
                && let Some(new) = self.get(symbols[left as usize], symbols[right as usize])
            {
                queue.push(new.rank, left);
            }
        }
    }
}

/// Scratch of [`Merges::apply`]: positions of pairs by rank, and the linked list of symbols.
#[derive(Debug, Default)]
pub(super) struct MergeQueue {
    /// By rank: positions of the pair, given by its left symbol.
    positions: FxHashMap<u32, Vec<u32>>,
    /// The ranks that have positions.
    ranks: BinaryHeap<Reverse<u32>>,
    /// The rank whose positions are being processed.
    current: Option<u32>,
    /// New pairs, as rank and position, that precede some of those positions. Merges learnt from
    /// text give none (a pair is learnt after its parts), but other files may, and so may two
    /// merges that form the same token.
    urgent: BinaryHeap<Reverse<(u32, u32)>>,
    prev: Vec<u32>,
    next: Vec<u32>,
}

impl MergeQueue {
    fn fill(&mut self, merges: &Merges, symbols: &[u32]) {
        let n = symbols.len() as u32;
        self.prev.clear();
        self.prev.extend([NONE].into_iter().chain(0..n - 1));
        self.next.clear();
        self.next.extend((1..n).chain([NONE]));
        self.current = None;
        for (at, pair) in (0..).zip(symbols.windows(2)) {
            if let Some(merge) = merges.get(pair[0], pair[1]) {
                self.push(merge.rank, at);
            }
        }
    }

    fn push(&mut self, rank: u32, at: u32) {
        if self.current.is_some_and(|current| rank <= current) {
            return self.urgent.push(Reverse((rank, at)));
        }
        let positions = self.positions.entry(rank).or_default();
        if positions.is_empty() {
            self.ranks.push(Reverse(rank));
        }
        positions.push(at);
    }

    fn pop_urgent_before(&mut self, limit: (u32, u32)) -> Option<(u32, u32)> {
        let &Reverse(first) = self.urgent.peek()?;
        if first >= limit {
            return None;
        }
        self.urgent.pop();
        Some(first)
    }

    /// The right neighbour of `at`; `None` if `at` is the last, or was merged into its left one.
    fn right_of(&self, at: u32) -> Option<u32> {
        let right = self.next[at as usize];
        (right != NONE && right != at).then_some(right)
    }

    /// Removes `right`, the right neighbour of `at`, from the linked list.
    fn unlink(&mut self, at: u32, right: u32) {
        let after = self.next[right as usize];
        self.next[at as usize] = after;
        if after != NONE {
            self.prev[after as usize] = at;
        }
        // A removed symbol is marked as its own neighbour.
        self.next[right as usize] = right;
    }

    /// Compacts the remaining symbols. The first is never merged into another, so the list starts
    /// there.
    fn collect(&self, symbols: &mut Vec<u32>) {
        let mut at = 0;
        let mut len = 0;
        while at != NONE {
            symbols[len] = symbols[at as usize];
            len += 1;
            at = self.next[at as usize];
        }
        symbols.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All words of up to six letters `a` and `b`; the index is the id, so `a` is 0, `b` 1.
    fn words() -> Vec<String> {
        let mut words = vec![String::new()];
        for at in 0..63 {
            words.extend(["a", "b"].map(|letter| words[at].clone() + letter));
        }
        words.split_off(1)
    }

    /// Merges in any order: pairs may be learnt before their parts exist, and several pairs may
    /// form the same token. Training produces no such file, but one can be written.
    fn merges_of(choices: &[(usize, usize)]) -> Merges {
        let (words, mut merges) = (words(), Merges::default());
        for &(left, right) in choices {
            let merged = words[left].clone() + &words[right];
            if let Some(id) = words.iter().position(|word| *word == merged) {
                // A pair chosen twice is refused, with the same effect as choosing it once.
                let _ = merges.push((left as u32, right as u32), id as u32);
            }
        }
        merges
    }

    #[test]
    fn the_pair_learnt_first_is_merged_first_from_left_to_right() {
        let mut merges = Merges::default();
        merges.push((1, 2), 10).unwrap();
        merges.push((0, 1), 11).unwrap();
        merges.push((0, 0), 12).unwrap();
        let mut symbols = vec![0, 1, 2, 0, 1, 0, 0, 0];
        merges.apply_by_scanning(&mut symbols);
        assert_eq!(symbols, [0, 10, 11, 12, 0]);
        assert!(merges.push((0, 0), 13).is_err(), "a second rank for a pair");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_queue_agrees_with_the_definition(
            choices in prop::collection::vec((0..30usize, 0..30usize), 0..60),
            symbols in prop::collection::vec(0..2u32, 1..80),
        ) {
            let merges = merges_of(&choices);
            let (mut expected, mut found) = (symbols.clone(), symbols);
            merges.apply_by_scanning(&mut expected);
            merges.apply_by_queue(&mut found, &mut MergeQueue::default());
            prop_assert_eq!(found, expected);
        }
    }
}
