//! Many codes, laid out so that the codes near a query are found by reading few of them.

use crate::factor_code::FactorCode;
use crate::neighbours::Candidates;
use crate::similarity::{total, weight};

/// Codes ordered by size, and for each prime the list of the codes that have it.
///
/// Inside, a code is known by its rank in ascending order of size (equal codes in the order given),
/// and a prime by its index among those that occur. The similarity of two codes is at most the
/// smaller `ln n` over the larger, so that what is near a query is a narrow range of ranks, and
/// every list, ascending by rank, can be entered where that range begins.
#[derive(Clone, Debug)]
pub struct CodeIndex {
    /// The primes that occur, ascending.
    primes: Vec<u64>,
    /// Their `ln p`.
    weights: Vec<f64>,
    /// By rank: the place of the code among those given.
    places: Vec<u32>,
    /// By rank: `ln n` of the code, ascending.
    totals: Vec<f64>,
    /// By rank: indices of the code's primes, ascending.
    codes: Lists,
    /// By index of a prime: ranks of the codes that have it, ascending.
    holders: Lists,
    max_len: usize,
}

/// Lists of numbers, one after the other in memory.
#[derive(Clone, Debug)]
struct Lists {
    /// Where each list begins, and where the last one ends.
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn new(lists: impl Iterator<Item = impl IntoIterator<Item = u32>>) -> Lists {
        let (mut starts, mut items) = (vec![0], Vec::new());
        for list in lists {
            items.extend(list);
            starts.push(narrow(items.len()));
        }
        Lists { starts, items }
    }

    fn get(&self, i: usize) -> &[u32] {
        &self.items[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// For each number below `n`, the lists that hold it, ascending.
    fn transposed(&self, n: usize) -> Lists {
        let mut starts = vec![0u32; n + 1];
        for &item in &self.items {
            starts[item as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let (mut next, mut items) = (starts.clone(), vec![0; self.items.len()]);
        for list in 0..self.starts.len() - 1 {
            for &item in self.get(list) {
                items[next[item as usize] as usize] = narrow(list);
                next[item as usize] += 1;
            }
        }
        Lists { starts, items }
    }
}

/// A count as 32 bits.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("CodeIndex: more than 2^32 codes or primes in codes")
}

impl CodeIndex {
    /// Lays out `codes`; results name them by their place in this list.
    ///
    /// # Panics
    /// If the codes have more than 2^32 primes in all.
    pub fn new(codes: &[FactorCode]) -> CodeIndex {
        let mut primes: Vec<u64> = codes.iter().flat_map(|c| c.primes()).copied().collect();
        primes.sort_unstable();
        primes.dedup();
        let weights: Vec<f64> = primes.iter().map(|&p| weight(p)).collect();
        let indices_of = |code: &FactorCode| -> Vec<u32> {
            let index = |p| primes.binary_search(p).expect("all primes of all codes are there");
            code.primes().iter().map(|p| narrow(index(p))).collect()
        };
        let mut ranked: Vec<(f64, usize, Vec<u32>)> = codes
            .iter()
            .map(indices_of)
            .enumerate()
            .map(|(place, code)| (total(code.iter().map(|&i| weights[i as usize])), place, code))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

        let places = ranked.iter().map(|(_, place, _)| narrow(*place)).collect();
        let totals = ranked.iter().map(|(total, _, _)| *total).collect();
        let codes = Lists::new(ranked.into_iter().map(|(_, _, code)| code));
        let holders = codes.transposed(primes.len());
        let max_len = (0..codes.starts.len() - 1).map(|i| codes.get(i).len()).max().unwrap_or(0);
        CodeIndex { primes, weights, places, totals, codes, holders, max_len }
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no code.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The primes that occur in codes, ascending.
    pub fn primes(&self) -> &[u64] {
        &self.primes
    }

    /// Primes of the longest code.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// `ln p` of the prime with an index.
    pub(crate) fn weight(&self, prime: u32) -> f64 {
        self.weights[prime as usize]
    }

    /// `ln n` of the codes by rank, ascending.
    pub(crate) fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// Indices of the primes of the code of a rank, ascending.
    pub(crate) fn code(&self, rank: usize) -> &[u32] {
        self.codes.get(rank)
    }

    /// The place, among the codes given, of the code of a rank.
    pub(crate) fn place(&self, rank: usize) -> usize {
        self.places[rank] as usize
    }
}

impl Candidates for CodeIndex {
    fn count(&self, prime: u32) -> usize {
        self.holders.get(prime as usize).len()
    }

    fn from(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize> {
        let list = self.holders.get(prime as usize);
        let start = list.partition_point(|&r| (r as usize) < rank);
        list[start..].iter().map(|&r| r as usize)
    }

    fn below(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize> {
        let list = self.holders.get(prime as usize);
        let end = list.partition_point(|&r| (r as usize) < rank);
        list[..end].iter().rev().map(|&r| r as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::CodeIndex;
    use crate::factor_code::FactorCode;
    use crate::neighbours::Candidates;
    use crate::signature::SignatureRows;

    fn codes() -> Vec<FactorCode> {
        let lists: [&[u64]; 6] = [&[2, 3, 101], &[], &[5], &[2, 3], &[5], &[2, 101]];
        lists.iter().map(|primes| FactorCode::new(primes.iter().copied()).unwrap()).collect()
    }

    #[test]
    fn codes_stand_in_order_of_size_and_then_of_place() {
        let index = CodeIndex::new(&codes());
        let places: Vec<usize> = (0..index.len()).map(|rank| index.place(rank)).collect();
        assert_eq!(places, [1, 2, 4, 3, 5, 0]); // 1, 5, 5, 6, 202, 606
        assert!(index.totals().is_sorted());
        assert_eq!(index.primes(), [2, 3, 5, 101]);
        assert_eq!((index.code(5), index.max_len()), (&[0, 1, 3][..], 3));
    }

    #[test]
    fn lists_and_rows_hold_the_codes_of_a_prime_in_both_directions() {
        fn check(candidates: &impl Candidates) {
            let (two, from) = (0, |rank| candidates.from(0, rank).collect::<Vec<_>>());
            let below = |rank| candidates.below(0, rank).collect::<Vec<_>>();
            assert_eq!(candidates.count(two), 3);
            assert_eq!((from(0), from(4), from(6)), (vec![3, 4, 5], vec![4, 5], vec![]));
            assert_eq!((below(6), below(4), below(3)), (vec![5, 4, 3], vec![3], vec![]));
        }
        let index = CodeIndex::new(&codes());
        check(&index);
        check(&SignatureRows::new(&index));
    }

    #[test]
    fn no_codes_make_an_empty_index() {
        let index = CodeIndex::new(&[]);
        assert!(index.is_empty() && index.primes().is_empty() && index.max_len() == 0);
    }
}
