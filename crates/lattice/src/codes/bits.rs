//! Iterators over the positions of set bits in a slice of 64-bit words.
//!
//! Position `i` is bit `i % 64` of word `i / 64`.

/// Positions of the set bits, ascending.
pub fn ones(words: impl IntoIterator<Item = u64>) -> impl Iterator<Item = usize> {
    let mut words = words.into_iter().enumerate();
    let (mut first, mut word) = (0, 0u64);
    std::iter::from_fn(move || {
        while word == 0 {
            let (i, next) = words.next()?;
            (first, word) = (64 * i, next);
        }
        let position = first + word.trailing_zeros() as usize;
        word &= word - 1;
        Some(position)
    })
}

/// Positions of the set bits from `start` on, ascending.
pub fn ones_from(words: &[u64], start: usize) -> impl Iterator<Item = usize> + '_ {
    let first = (start / 64).min(words.len());
    let masked = words[first..]
        .iter()
        .enumerate()
        .map(move |(i, word)| if i == 0 { word & (!0 << (start % 64)) } else { *word });
    ones(masked).map(move |position| 64 * first + position)
}

/// Positions of the set bits below `end`, descending.
pub fn ones_below(words: &[u64], end: usize) -> impl Iterator<Item = usize> + '_ {
    let end = end.min(64 * words.len());
    // First the word that contains `end`, with bits from `end` on cleared, then whole words.
    let mut next = end / 64;
    let mut word = words.get(next).map_or(0, |word| word & !(!0 << (end % 64)));
    std::iter::from_fn(move || {
        while word == 0 {
            next = next.checked_sub(1)?;
            word = words[next];
        }
        let bit = word.ilog2();
        word ^= 1 << bit;
        Some(64 * next + bit as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::{ones, ones_below, ones_from};
    use proptest::prelude::*;

    /// The definition.
    fn is_set(words: &[u64], position: usize) -> bool {
        words[position / 64] >> (position % 64) & 1 == 1
    }

    proptest! {
        #[test]
        fn positions_follow_the_definition(
            words in prop::collection::vec(prop_oneof![Just(0), Just(!0), any::<u64>()], 0..5),
            cut in 0..400usize,
        ) {
            let all: Vec<usize> = (0..64 * words.len()).filter(|&i| is_set(&words, i)).collect();
            let (below, above): (Vec<usize>, Vec<usize>) = all.iter().partition(|i| **i < cut);
            prop_assert_eq!(ones(words.iter().copied()).collect::<Vec<_>>(), all);
            prop_assert_eq!(ones_from(&words, cut).collect::<Vec<_>>(), above);
            let mut descending: Vec<usize> = ones_below(&words, cut).collect();
            descending.reverse();
            prop_assert_eq!(descending, below);
        }
    }
}
