//! Exact nearest-neighbour search among codes, with the same result as comparing with every code.
//!
//! Codes that share no prime with the query are never read. The primes of the query are processed
//! from the rarest, with the shortest list, to the most frequent. A code not seen so far can share
//! only the remaining primes, and their weights bound its similarity. Once the k best so far exceed
//! that bound, the long lists of small primes are skipped (as in MaxScore: Turtle & Flood 1995).
//! Within a list, the size of a code bounds its similarity too; lists ascend by size, so only a
//! window of each is read.

use crate::codes::code_index::CodeIndex;
use crate::codes::factor_code::FactorCode;
use crate::codes::signature::SignatureRows;
use crate::codes::similarity::{by_factors, of_primes, total, weight};

/// A code near a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Index in the list of codes.
    pub index: usize,
    /// Similarity to the query, in (0, 1]; bit for bit the result of [`by_factors`].
    pub similarity: f64,
}

impl Neighbour {
    /// Order of results: descending similarity, ties by ascending index.
    fn order(&self, other: &Neighbour) -> std::cmp::Ordering {
        other.similarity.total_cmp(&self.similarity).then(self.index.cmp(&other.index))
    }
}

/// Reference implementation: compares `query` with every code. Omits codes of similarity 0.
pub fn nearest_by_scan(codes: &[FactorCode], query: &FactorCode, k: usize) -> Vec<Neighbour> {
    let score = |(index, code)| Neighbour { index, similarity: by_factors(query, code) };
    let mut all: Vec<Neighbour> = codes.iter().enumerate().map(score).collect();
    all.retain(|neighbour| neighbour.similarity > 0.0);
    all.sort_by(Neighbour::order);
    all.truncate(k);
    all
}

/// Posting lists: for a prime, the ranks of all codes that have it, possibly with false positives.
pub(crate) trait Postings {
    /// Length of the list of `prime`.
    fn count(&self, prime: u32) -> usize;
    /// Ranks from `rank` on, ascending.
    fn from(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize>;
    /// Ranks below `rank`, descending.
    fn below(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize>;
}

/// Search over an index, with buffers reused from query to query.
#[derive(Clone, Debug)]
pub struct Searcher<'a> {
    index: &'a CodeIndex,
    /// By prime index: the prime's weight if the query has it, else 0. All 0 between searches.
    marks: Vec<f64>,
    /// One bit per rank: whether the code was compared. All 0 between searches.
    seen: Vec<u64>,
    /// Primes of the current code.
    primes: Vec<u64>,
}

/// A query with the numbers that bounds are computed from.
struct Query<'a> {
    primes: &'a [u64],
    /// `ln n`.
    total: f64,
    /// Factor by which rounding can make a bound too small.
    slack: f64,
}

/// The k best neighbours so far, in the order of results.
struct Best {
    k: usize,
    list: Vec<Neighbour>,
    /// Similarity of the k-th; 0 while there are fewer than k.
    least: f64,
}

impl Best {
    fn offer(&mut self, neighbour: Neighbour) {
        let rank = self.list.partition_point(|other| other.order(&neighbour).is_lt());
        if rank < self.k {
            self.list.truncate(self.k - 1);
            self.list.insert(rank, neighbour);
            if self.list.len() == self.k {
                self.least = self.list[self.k - 1].similarity;
            }
        }
    }
}

impl Query<'_> {
    /// Whether a code of weight `total` that shares at most the weight `shared` with the query
    /// cannot be among the k best: `shared / ln lcm` is below the k-th similarity.
    #[inline]
    fn excludes(&self, shared: f64, total: f64, best: &Best) -> bool {
        // gcd * lcm = a * b, so ln lcm is the sum of both weights minus the shared one.
        shared * self.slack < best.least * (self.total + total - shared)
    }
}

impl<'a> Searcher<'a> {
    /// A searcher over an index.
    pub fn new(index: &'a CodeIndex) -> Searcher<'a> {
        Searcher {
            index,
            marks: vec![0.0; index.primes().len()],
            seen: vec![0; index.len().div_ceil(64)],
            primes: Vec::with_capacity(index.max_len()),
        }
    }

    /// The `k` codes most similar to `query`, most similar first, ties by ascending index. Fewer
    /// than `k` if fewer share a prime with the query.
    ///
    /// Same result as [`nearest_by_scan`]. Codes equal to the query are included.
    pub fn nearest(&mut self, query: &FactorCode, k: usize) -> Vec<Neighbour> {
        self.search(self.index, query, k)
    }

    /// Same result as [`Searcher::nearest`], with the signatures of the index's codes as filter.
    ///
    /// # Panics
    /// If `rows` belong to another index than the searcher's.
    pub fn nearest_by_signature(
        &mut self,
        rows: &SignatureRows,
        query: &FactorCode,
        k: usize,
    ) -> Vec<Neighbour> {
        let is_own = std::ptr::eq(rows.index(), self.index);
        assert!(is_own, "nearest_by_signature: the rows belong to another index");
        self.search(rows, query, k)
    }

    fn search(&mut self, postings: &impl Postings, query: &FactorCode, k: usize) -> Vec<Neighbour> {
        if k == 0 {
            return Vec::new();
        }
        if query.is_one() {
            return self.codes_without_features(k);
        }
        let known = |p| self.index.primes().binary_search(p).ok();
        let mut terms: Vec<u32> =
            query.primes().iter().filter_map(known).map(|i| i as u32).collect();
        terms.sort_by_key(|&prime| (postings.count(prime), prime));
        for &prime in &terms {
            self.marks[prime as usize] = self.index.weight(prime);
        }
        let n_terms = query.primes().len() + self.index.max_len();
        let query = Query {
            primes: query.primes(),
            total: total(query.primes().iter().map(|&p| weight(p))),
            // A sum of n weights has a relative error of at most n epsilon; five sums are compared.
            slack: 1.0 + 8.0 * n_terms as f64 * f64::EPSILON,
        };
        let mut best = Best { k, list: Vec::new(), least: 0.0 };
        for (i, &prime) in terms.iter().enumerate() {
            let rest = total(terms[i..].iter().map(|&prime| self.index.weight(prime)));
            // The best possible code consists of exactly the remaining terms.
            if query.excludes(rest, rest, &best) {
                break;
            }
            self.read(postings, prime, rest, &query, &mut best);
        }
        for prime in terms {
            self.marks[prime as usize] = 0.0;
        }
        self.seen.fill(0);
        best.list
    }

    /// Compares the query with the unseen codes of a posting list that can be among the best:
    /// they share at most the weight `rest` with the query.
    fn read(
        &mut self,
        postings: &impl Postings,
        prime: u32,
        rest: f64,
        query: &Query,
        best: &mut Best,
    ) {
        let totals = self.index.totals();
        // The bound is largest at this rank, and falls in both directions from it.
        let start = totals.partition_point(|&total| total < rest);
        for rank in postings.from(prime, start) {
            if query.excludes(rest, totals[rank], best) {
                break;
            }
            self.visit(rank, query, best);
        }
        for rank in postings.below(prime, start) {
            if query.excludes(totals[rank], totals[rank], best) {
                break;
            }
            self.visit(rank, query, best);
        }
    }

    /// Compares the query with the code of this rank, unless it was seen before.
    #[inline]
    fn visit(&mut self, rank: usize, query: &Query, best: &mut Best) {
        let (word, bit) = (&mut self.seen[rank / 64], 1 << (rank % 64));
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
        let code = self.index.code(rank);
        let shared = total(code.iter().map(|&prime| self.marks[prime as usize]));
        if shared == 0.0 || query.excludes(shared, self.index.totals()[rank], best) {
            return;
        }
        self.primes.clear();
        self.primes.extend(code.iter().map(|&prime| self.index.primes()[prime as usize]));
        let similarity = of_primes(query.primes, &self.primes);
        best.offer(Neighbour { index: self.index.given(rank), similarity });
    }

    /// Neighbours of the integer 1: codes equal to it, which have the lowest ranks.
    fn codes_without_features(&self, k: usize) -> Vec<Neighbour> {
        let n = self.index.totals().partition_point(|&total| total == 0.0);
        let neighbour = |rank| Neighbour { index: self.index.given(rank), similarity: 1.0 };
        (0..n.min(k)).map(neighbour).collect()
    }
}
