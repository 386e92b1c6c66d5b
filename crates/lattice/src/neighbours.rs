//! The most similar of many codes: exact, and equal to comparing with every one of them.
//!
//! Codes that share no prime with the query are never looked at. The primes of the query are taken
//! from the rarest, with the shortest list, to the most frequent. What has not been seen by then
//! shares only primes that are still to come, whose weights bound its similarity: as soon as the k
//! best so far lie above that bound, the long lists of the small primes are not read at all
//! (the idea of MaxScore: Turtle & Flood 1995). Within a list the sizes of the codes bound their
//! similarity too, and lists ascend by size, so that only a window of each is read.

use crate::code_index::CodeIndex;
use crate::factor_code::FactorCode;
use crate::signature::SignatureRows;
use crate::similarity::{by_factors, of_primes, total, weight};

/// One of the codes near a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place in the list of codes.
    pub place: usize,
    /// Its similarity to the query, above 0 and at most 1: the bits of [`by_factors`].
    pub similarity: f64,
}

impl Neighbour {
    /// Order of results: falling similarity, and of equals the first in the list of codes.
    fn order(&self, other: &Neighbour) -> std::cmp::Ordering {
        other.similarity.total_cmp(&self.similarity).then(self.place.cmp(&other.place))
    }
}

/// The definition: compares `query` with every code. Only those with a similarity above 0 count.
pub fn nearest_by_scan(codes: &[FactorCode], query: &FactorCode, k: usize) -> Vec<Neighbour> {
    let score = |(place, code)| Neighbour { place, similarity: by_factors(query, code) };
    let mut all: Vec<Neighbour> = codes.iter().enumerate().map(score).collect();
    all.retain(|neighbour| neighbour.similarity > 0.0);
    all.sort_by(Neighbour::order);
    all.truncate(k);
    all
}

/// Ranks of codes that may have a prime: all that have it, and perhaps others.
pub(crate) trait Candidates {
    /// How many there are.
    fn count(&self, prime: u32) -> usize;
    /// Those from `rank` on, ascending.
    fn from(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize>;
    /// Those below `rank`, descending.
    fn below(&self, prime: u32, rank: usize) -> impl Iterator<Item = usize>;
}

/// Searches in an index, one after the other; holds what they need of memory.
#[derive(Clone, Debug)]
pub struct Searcher<'a> {
    index: &'a CodeIndex,
    /// By index of a prime: its weight if the query has it, else 0. All 0 between searches.
    marks: Vec<f64>,
    /// One bit a rank: whether the code was compared. All 0 between searches.
    seen: Vec<u64>,
    /// Primes of the code at hand.
    primes: Vec<u64>,
}

/// A query, as the bounds need it.
struct Query<'a> {
    primes: &'a [u64],
    /// `ln n`.
    total: f64,
    /// Factor by which rounding may have made a bound too small.
    slack: f64,
}

/// The best so far, in their order.
struct Best {
    k: usize,
    list: Vec<Neighbour>,
    /// Similarity of the k-th; 0 while there are fewer.
    least: f64,
}

impl Best {
    fn offer(&mut self, neighbour: Neighbour) {
        let place = self.list.partition_point(|other| other.order(&neighbour).is_lt());
        if place < self.k {
            self.list.truncate(self.k - 1);
            self.list.insert(place, neighbour);
            if self.list.len() == self.k {
                self.least = self.list[self.k - 1].similarity;
            }
        }
    }
}

impl Query<'_> {
    /// Whether a code is out of the running that shares at most the weight `shared`, where its own
    /// weight is `total`: `shared / lcm` lies below the k-th best.
    #[inline]
    fn excludes(&self, shared: f64, total: f64, best: &Best) -> bool {
        // Divisor and multiple of codes with these weights: gcd * lcm = a * b.
        shared * self.slack < best.least * (self.total + total - shared)
    }
}

impl<'a> Searcher<'a> {
    /// A searcher of an index.
    pub fn new(index: &'a CodeIndex) -> Searcher<'a> {
        let (n_primes, n_words) = (index.primes().len(), index.len().div_ceil(64));
        Searcher {
            index,
            marks: vec![0.0; n_primes],
            seen: vec![0; n_words],
            primes: Vec::with_capacity(index.max_len()),
        }
    }

    /// The `k` codes most similar to `query`, from the most similar on; of equally similar ones
    /// the first in the list of codes. Fewer if fewer share a prime with it.
    ///
    /// The same as [`nearest_by_scan`]. Codes equal to the query are among them.
    pub fn nearest(&mut self, query: &FactorCode, k: usize) -> Vec<Neighbour> {
        self.search(self.index, query, k)
    }

    /// The same result as [`Searcher::nearest`], found by the signatures of the index's codes.
    ///
    /// # Panics
    /// If the rows are of another index than the searcher.
    pub fn nearest_by_signature(
        &mut self,
        rows: &SignatureRows,
        query: &FactorCode,
        k: usize,
    ) -> Vec<Neighbour> {
        let is_own = std::ptr::eq(rows.index(), self.index);
        assert!(is_own, "nearest_by_signature: the rows are of another index");
        self.search(rows, query, k)
    }

    fn search(&mut self, source: &impl Candidates, query: &FactorCode, k: usize) -> Vec<Neighbour> {
        if k == 0 {
            return Vec::new();
        }
        if query.is_one() {
            return self.codes_without_features(k);
        }
        let known = |p| self.index.primes().binary_search(p).ok();
        let mut terms: Vec<u32> =
            query.primes().iter().filter_map(known).map(|i| i as u32).collect();
        terms.sort_by_key(|&prime| (source.count(prime), prime));
        for &prime in &terms {
            self.marks[prime as usize] = self.index.weight(prime);
        }
        let n_terms = query.primes().len() + self.index.max_len();
        let query = Query {
            primes: query.primes(),
            total: total(query.primes().iter().map(|&p| weight(p))),
            // A sum of n weights errs by n epsilons at most, relatively; five sums are compared.
            slack: 1.0 + 8.0 * n_terms as f64 * f64::EPSILON,
        };
        let mut best = Best { k, list: Vec::new(), least: 0.0 };
        for (i, &prime) in terms.iter().enumerate() {
            let rest = total(terms[i..].iter().map(|&prime| self.index.weight(prime)));
            // The most that is possible: a code that is exactly the rest of the terms.
            if query.excludes(rest, rest, &best) {
                break;
            }
            self.read(source, prime, rest, &query, &mut best);
        }
        for prime in terms {
            self.marks[prime as usize] = 0.0;
        }
        self.seen.fill(0);
        best.list
    }

    /// Compares with the codes that have a prime and were not seen, as far as they may be among
    /// the best: they share at most the weight `rest` with the query.
    fn read(
        &mut self,
        source: &impl Candidates,
        prime: u32,
        rest: f64,
        query: &Query,
        best: &mut Best,
    ) {
        let totals = self.index.totals();
        // Above this rank the bound falls with the size of the code, below it with its smallness.
        let start = totals.partition_point(|&total| total < rest);
        for rank in source.from(prime, start) {
            if query.excludes(rest, totals[rank], best) {
                break;
            }
            self.visit(rank, query, best);
        }
        for rank in source.below(prime, start) {
            if query.excludes(totals[rank], totals[rank], best) {
                break;
            }
            self.visit(rank, query, best);
        }
    }

    /// Compares with the code of a rank, unless that was done.
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
        best.offer(Neighbour { place: self.index.place(rank), similarity });
    }

    /// What is near the integer 1: its equals, which have the lowest ranks.
    fn codes_without_features(&self, k: usize) -> Vec<Neighbour> {
        let n = self.index.totals().partition_point(|&total| total == 0.0);
        let neighbour = |rank| Neighbour { place: self.index.place(rank), similarity: 1.0 };
        (0..n.min(k)).map(neighbour).collect()
    }
}
