//! Inverted index of codes: a search reads only a few of them to find the nearest to a query.

use crate::codes::factor_code::FactorCode;
use crate::codes::neighbours::Postings;
use crate::codes::similarity::{total, weight};

/// Codes ordered by size, and for each prime the list of codes that have it.
///
/// Internally a code is identified by its rank in ascending order of size (ties in the order
/// given), and a prime by its index among the primes that occur. The similarity of two codes is at
/// most the smaller `ln n` divided by the larger. The neighbours of a query therefore lie in a
/// narrow range of ranks, and each list, ascending by rank, is read from the start of that range.
#[derive(Clone, Debug)]
pub struct CodeIndex {
    /// The primes that occur, ascending.
    primes: Vec<u64>,
    /// Their `ln p`.
    weights: Vec<f64>,
    /// By rank: index of the code in the list given to [`CodeIndex::new`].
    given: Vec<u32>,
    /// By rank: `ln n` of the code, ascending.
    totals: Vec<f64>,
    /// By rank: indices of the code's primes, ascending.
    codes: Lists,
    /// By prime index: ranks of the codes that have the prime, ascending.
    holders: Lists,
    max_len: usize,
}

/// Lists of numbers, concatenated in memory.
#[derive(Clone, Debug)]
struct Lists {
    /// Offset of each list in `items`, then the end of the last.
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn new(lists: impl Iterator<Item = impl IntoIterator<Item = u32>>) -> Lists {
        let mut starts = vec![0];
        let mut items = Vec::new();
        for list in lists {
            items.extend(list);
            starts.push(narrow(items.len()));
        }
        Lists { starts, items }
    }

    fn get(&self, i: usize) -> &[u32] {
        &self.items[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// For each number below `n`, the indices of the lists that contain it, ascending.
    fn transposed(&self, n: usize) -> Lists {
        let mut starts = vec![0u32; n + 1];
        for &item in &self.items {
            starts[item as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut items = vec![0; self.items.len()];
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
    u32::try_from(n).expect("CodeIndex: 2^32 or more codes or primes in codes")
}

impl CodeIndex {
    /// Indexes `codes`; search results refer to them by their index in this list.
    ///
    /// # Panics
    /// If the codes have 2^32 or more primes in total.
    pub fn new(codes: &[FactorCode]) -> CodeIndex {
        let mut primes: Vec<u64> = codes.iter().flat_map(|c| c.primes()).copied().collect();
        primes.sort_unstable();
        primes.dedup();
        let weights: Vec<f64> = primes.iter().map(|&p| weight(p)).collect();
        let indices_of = |code: &FactorCode| -> Vec<u32> {
            let index = |p| primes.binary_search(p).expect("the list has the primes of all codes");
            code.primes().iter().map(|p| narrow(index(p))).collect()
        };
        let mut ranked: Vec<(f64, usize, Vec<u32>)> = codes
            .iter()
            .map(indices_of)
            .enumerate()
            .map(|(given, code)| (total(code.iter().map(|&i| weights[i as usize])), given, code))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

        let given = ranked.iter().map(|(_, given, _)| narrow(*given)).collect();
        let totals = ranked.iter().map(|(total, _, _)| *total).collect();
        let codes = Lists::new(ranked.into_iter().map(|(_, _, code)| code));
        let holders = codes.transposed(primes.len());
        let max_len = (0..codes.starts.len() - 1).map(|i| codes.get(i).len()).max().unwrap_or(0);
        CodeIndex { primes, weights, given, totals, codes, holders, max_len }
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether the index has no codes.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The primes that occur in the codes, ascending.
    pub fn primes(&self) -> &[u64] {
        &self.primes
    }

    /// Number of primes of the longest code.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// `ln p` of the prime with this index.
    pub(crate) fn weight(&self, prime: u32) -> f64 {
        self.weights[prime as usize]
    }

    /// `ln n` of the codes by rank, ascending.
    pub(crate) fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// Prime indices of the code with this rank, ascending.
    pub(crate) fn code(&self, rank: usize) -> &[u32] {
        self.codes.get(rank)
    }

    /// Index, in the list given, of the code with this rank.
    pub(crate) fn given(&self, rank: usize) -> usize {
        self.given[rank] as usize
    }
}

impl Postings for CodeIndex {
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
    use crate::codes::factor_code::FactorCode;
    use crate::codes::neighbours::Postings;
    use crate::codes::signature::SignatureRows;

    fn codes() -> Vec<FactorCode> {
        let lists: [&[u64]; 6] = [&[2, 3, 101], &[], &[5], &[2, 3], &[5], &[2, 101]];
        lists.iter().map(|primes| FactorCode::new(primes.iter().copied()).unwrap()).collect()
    }

    #[test]
    fn codes_are_ranked_by_size_then_by_given_order() {
        let index = CodeIndex::new(&codes());
        let given: Vec<usize> = (0..index.len()).map(|rank| index.given(rank)).collect();
        assert_eq!(given, [1, 2, 4, 3, 5, 0]); // 1, 5, 5, 6, 202, 606
        assert!(index.totals().is_sorted());
        assert_eq!(index.primes(), [2, 3, 5, 101]);
        assert_eq!((index.code(5), index.max_len()), (&[0, 1, 3][..], 3));
    }

    #[test]
    fn lists_and_signature_rows_iterate_over_the_codes_of_a_prime_in_both_directions() {
        fn check(postings: &impl Postings) {
            let (two, from) = (0, |rank| postings.from(0, rank).collect::<Vec<_>>());
            let below = |rank| postings.below(0, rank).collect::<Vec<_>>();
            assert_eq!(postings.count(two), 3);
            assert_eq!((from(0), from(4), from(6)), (vec![3, 4, 5], vec![4, 5], vec![]));
            assert_eq!((below(6), below(4), below(3)), (vec![5, 4, 3], vec![3], vec![]));
        }
        let index = CodeIndex::new(&codes());
        check(&index);
        check(&SignatureRows::new(&index));
    }

    #[test]
    fn an_index_of_no_codes_is_empty() {
        let index = CodeIndex::new(&[]);
        assert!(index.is_empty() && index.primes().is_empty() && index.max_len() == 0);
    }
}
