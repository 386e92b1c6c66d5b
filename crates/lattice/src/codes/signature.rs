//! Signatures of codes: 512 bits for any number of primes, a filter without false negatives.
//!
//! The first 256 primes, the frequent ones, have a bit each; all others share the remaining 256
//! bits. Codes whose signatures have no bit in common have no prime in common. All other pairs are
//! compared exactly.

use crate::codes::bits::{ones_below, ones_from};
use crate::codes::code_index::CodeIndex;
use crate::codes::neighbours::Postings;

/// Bits of a signature.
pub const SIGNATURE_BITS: usize = 512;

/// Primes with a bit of their own.
const OWN_BITS: usize = SIGNATURE_BITS / 2;

/// The bit of the prime with this index.
fn bit_of(index: usize) -> usize {
    if index < OWN_BITS { index } else { OWN_BITS + index % OWN_BITS }
}

/// The 512 bits of a code's primes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Signature([u64; SIGNATURE_BITS / 64]);

impl Signature {
    /// The signature of the primes with the given indices.
    pub fn of(indices: impl IntoIterator<Item = usize>) -> Signature {
        let mut words = [0; SIGNATURE_BITS / 64];
        for bit in indices.into_iter().map(bit_of) {
            words[bit / 64] |= 1 << (bit % 64);
        }
        Signature(words)
    }

    /// Number of common bits. If it is 0, the codes share no prime.
    pub fn n_common(&self, other: &Signature) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a & b).count_ones()).sum()
    }
}

/// Signatures of all codes of an index, transposed: one row for each of the 512 bits, with one bit
/// per code.
///
/// A query reads only the rows of its own few bits. Uses 64 bytes per code.
#[derive(Clone, Debug)]
pub struct SignatureRows<'a> {
    index: &'a CodeIndex,
    n_words: usize,
    /// (512, n_words): bit `rank` of row `b` is bit `b` of that code's signature.
    words: Vec<u64>,
    /// Number of codes in each row.
    counts: Vec<usize>,
}

impl<'a> SignatureRows<'a> {
    /// The rows of an index, for searchers over the same index.
    pub fn new(index: &'a CodeIndex) -> SignatureRows<'a> {
        let n_words = index.len().div_ceil(64);
        let mut words = vec![0u64; SIGNATURE_BITS * n_words];
        for rank in 0..index.len() {
            for &prime in index.code(rank) {
                words[bit_of(prime as usize) * n_words + rank / 64] |= 1 << (rank % 64);
            }
        }
        let row = |b: usize| &words[b * n_words..(b + 1) * n_words];
        let count = |b| row(b).iter().map(|word| word.count_ones() as usize).sum();
        let counts = (0..SIGNATURE_BITS).map(count).collect();
        SignatureRows { index, n_words, words, counts }
    }

    /// The index of the codes.
    pub(crate) fn index(&self) -> &'a CodeIndex {
        self.index
    }

    fn row(&self, prime: u32) -> &[u64] {
        let bit = bit_of(prime as usize);
        &self.words[bit * self.n_words..(bit + 1) * self.n_words]
    }
}

impl Postings for SignatureRows<'_> {
    fn count(&self, prime: u32) -> usize {
        self.counts[bit_of(prime as usize)]
    }

    fn from(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize> {
        ones_from(self.row(prime), rank)
    }

    fn below(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize> {
        ones_below(self.row(prime), rank)
    }
}

#[cfg(test)]
mod tests {
    use super::{OWN_BITS, SIGNATURE_BITS, Signature, bit_of};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn frequent_primes_share_no_bit() {
        let own: BTreeSet<usize> = (0..OWN_BITS).map(bit_of).collect();
        assert_eq!(own.len(), OWN_BITS);
        for index in OWN_BITS..5_000 {
            let bit = bit_of(index);
            assert!(bit < SIGNATURE_BITS && !own.contains(&bit), "{index} has bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_bit_in_common_means_no_prime_in_common(
            a in prop::collection::btree_set(0..3_000usize, 0..20),
            b in prop::collection::btree_set(0..3_000usize, 0..20),
        ) {
            let signature = |set: &BTreeSet<usize>| Signature::of(set.iter().copied());
            let (x, y) = (signature(&a), signature(&b));
            let bits = |set: &BTreeSet<usize>| -> BTreeSet<usize> {
                set.iter().map(|&i| bit_of(i)).collect()
            };
            prop_assert_eq!(x.n_common(&y) as usize, (&bits(&a) & &bits(&b)).len());
            prop_assert!(x.n_common(&y) > 0 || a.is_disjoint(&b));
        }
    }
}
