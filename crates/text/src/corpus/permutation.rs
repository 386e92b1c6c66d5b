//! Keyed permutation of `0..len`, with any element in constant time and memory.
//!
//! A Feistel network permutes the smallest power of four that holds `len`; an image outside the
//! range is permuted again until it falls inside ("cycle walking": Black and Rogaway, "Ciphers
//! with arbitrary finite domains", 2002), which keeps the map a bijection of `0..len`.

use kernels::rng::Rng;

/// Enough to mix small domains too; four suffice for large ones (Luby and Rackoff, 1988).
const ROUNDS: usize = 8;

/// Below six bits the halves are too small to mix, so the walk starts in a larger domain.
const MIN_HALF_BITS: u32 = 3;

/// A permutation of `0..len`, chosen by the words of an [`Rng`].
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    round_keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` that `rng` chooses; it uses words `0..8`.
    ///
    /// # Panics
    /// If `len` is 0.
    pub fn new(len: u64, rng: &Rng) -> Permutation {
        assert!(len > 0, "Permutation: len is 0");
        let bits = u64::BITS - (len - 1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(MIN_HALF_BITS);
        let round_keys = std::array::from_fn(|round| rng.u64_at(round as u64));
        Permutation { len, half_bits, round_keys }
    }

    /// The element at `index`. About one to four passes of the network, more only for `len < 16`.
    ///
    /// # Panics
    /// If `index` is not below `len`.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.len, "Permutation::at: index {index} is not below {}", self.len);
        let mut image = self.permute_domain(index);
        while image >= self.len {
            image = self.permute_domain(image);
        }
        image
    }

    /// One pass of the network over the whole domain of `2 * half_bits` bits.
    fn permute_domain(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.round_keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// A bijection of words in which every output bit depends on every input bit: the finaliser of
/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

/// The inverse of permutation `order`: element `i` is the index at which `order` has `i`. Turns a
/// list of the old id of each new id into a list of the new id of each old id.
///
/// # Panics
/// If `order` is not a permutation of `0..order.len()`.
pub fn inverse(order: &[u32]) -> Vec<u32> {
    let mut inverse = vec![u32::MAX; order.len()];
    for (index, &i) in (0..).zip(order) {
        assert_eq!(inverse[i as usize], u32::MAX, "inverse: argument order has {i} twice");
        inverse[i as usize] = index;
    }
    inverse
}

/// A sequence that does not visit each of `0..len` exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOnce {
    /// A value was visited twice.
    #[error("{0} was visited twice")]
    Repeated(u64),
    /// A value is not below `len`.
    #[error("{0} is outside the range")]
    Outside(u64),
    /// A value was never visited.
    #[error("{0} was never visited")]
    Missed(u64),
}

/// Checks that `visited` contains each of `0..len` exactly once, in any order.
///
/// # Errors
/// The first value that is repeated or outside, or else the smallest that is missing.
pub fn check_exactly_once(
    len: usize,
    visited: impl IntoIterator<Item = u64>,
) -> Result<(), NotOnce> {
    let mut seen = vec![false; len];
    for value in visited {
        let flag = usize::try_from(value).ok().and_then(|v| seen.get_mut(v));
        match flag {
            None => return Err(NotOnce::Outside(value)),
            Some(true) => return Err(NotOnce::Repeated(value)),
            Some(seen) => *seen = true,
        }
    }
    match seen.iter().position(|seen| !seen) {
        Some(missed) => Err(NotOnce::Missed(missed as u64)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::Purpose;

    fn permutation(len: u64, stream: u64) -> Permutation {
        Permutation::new(len, &Rng::new(3, Purpose::Test, stream))
    }

    #[test]
    fn visits_each_element_once_at_every_small_size() {
        for len in (1..=300).chain([1023, 1024, 1025, 65_535, 65_536, 65_537]) {
            let p = permutation(len, len);
            assert_eq!(check_exactly_once(len as usize, (0..len).map(|i| p.at(i))), Ok(()));
        }
    }

    #[test]
    fn is_a_bijection_of_the_domain_at_the_largest_size() {
        let p = permutation(u64::MAX, 0);
        let mut images: Vec<u64> = (0..10_000).map(|i| p.at(i)).collect();
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), 10_000);
    }

    #[test]
    fn a_permutation_and_its_inverse_are_the_identity() {
        let p = permutation(1000, 2);
        let order: Vec<u32> = (0..1000).map(|i| p.at(i) as u32).collect();
        let places = inverse(&order);
        assert!((0..1000).all(|i| places[order[i] as usize] as usize == i));
        assert_eq!(inverse(&places), order);
        assert!(inverse(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "has 1 twice")]
    fn a_list_with_repetitions_has_no_inverse() {
        inverse(&[0, 1, 1]);
    }

    #[test]
    fn the_checker_catches_planted_defects() {
        let p = permutation(100, 1);
        let mut order: Vec<u64> = (0..100).map(|i| p.at(i)).collect();
        order[40] = order[7];
        assert_eq!(check_exactly_once(100, order.clone()), Err(NotOnce::Repeated(order[7])));
        order[40] = 100;
        assert_eq!(check_exactly_once(100, order.clone()), Err(NotOnce::Outside(100)));
        let missed = order.remove(12);
        order.remove(39);
        assert!(matches!(check_exactly_once(100, order), Err(NotOnce::Missed(m)) if m <= missed));
    }

    /// All 24 orders of four elements appear about equally often over many keys.
    #[test]
    fn small_permutations_are_spread_over_all_orders() {
        let n = 24_000;
        let mut counts = std::collections::HashMap::new();
        for stream in 0..n {
            let p = permutation(4, stream);
            *counts.entry([0, 1, 2].map(|i| p.at(i))).or_insert(0u32) += 1;
        }
        // Five deviations of a binomial count with p = 1/24.
        let (mean, bound) = (1000.0, 5.0 * (1000.0f64 * 23.0 / 24.0).sqrt());
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|c| (f64::from(*c) - mean).abs() <= bound), "{counts:?}");
    }
}
