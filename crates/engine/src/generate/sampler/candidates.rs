//! Candidates for the next token, narrowed by top-k, top-p and min-p.
//!
//! Vocabularies are large and few tokens are kept, so dropped tokens are never sorted: top-k skips
//! scores below the k-th best so far, and top-p first finds by a histogram how far down it reaches.

use std::cmp::Ordering;

/// A candidate for the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Logit, log-probability or probability, depending on the stage.
    pub score: f32,
    /// Its id.
    pub token: u32,
}

/// Better candidates compare as less. Ties go to the smaller id, so that the result does not depend
/// on the sort algorithm.
impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        other.score.total_cmp(&self.score).then(self.token.cmp(&other.token))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Candidate {}

/// List of candidates; allocates when created, not when used.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Unordered until [`Candidates::sort`]; with a limit, the best k and some more.
    items: Vec<Candidate>,
    /// Lower bound of what is kept: the k-th best score seen, once k were seen.
    floor: f32,
    k: Option<usize>,
}

/// Buckets of the histogram, eight per halving of the probability.
const N_BUCKETS: usize = 256;

/// Scores compared together.
const CHUNK: usize = 16;

impl Candidates {
    /// List with capacity for a vocabulary of this size.
    pub fn new(vocab_size: usize) -> Candidates {
        Candidates { items: Vec::with_capacity(vocab_size), floor: f32::NEG_INFINITY, k: None }
    }

    /// Starts a new list; only the best `k` are kept, if there is a limit.
    pub fn begin(&mut self, k: Option<usize>) {
        self.items.clear();
        self.floor = f32::NEG_INFINITY;
        self.k = k;
    }

    /// Adds a candidate for each of `scores`, the tokens from `first` on; NaN is skipped.
    pub fn push_all(&mut self, first: usize, scores: &[f32]) {
        for (start, chunk) in (first..).step_by(CHUNK).zip(scores.chunks(CHUNK)) {
            // Nearly always none reaches the floor; without a branch per score the compiler
            // vectorises this.
            if chunk.iter().fold(false, |any, score| any | (*score >= self.floor)) {
                for (token, score) in (start..).zip(chunk) {
                    self.push(Candidate { score: *score, token: token as u32 });
                }
            }
        }
    }

    /// Adds a candidate, if its score is a number.
    pub fn push(&mut self, candidate: Candidate) {
        if candidate.score >= self.floor {
            self.items.push(candidate);
            if self.k.is_some_and(|k| self.items.len() >= k.saturating_mul(2).saturating_add(CHUNK))
            {
                self.drop_beyond_k();
            }
        }
    }

    /// Reduces the list to the best k, unordered.
    fn drop_beyond_k(&mut self) {
        let Some(k) = self.k.filter(|k| *k <= self.items.len()) else { return };
        let (_, worst, _) = self.items.select_nth_unstable(k - 1);
        self.floor = worst.score;
        self.items.truncate(k);
    }

    /// Score of the k-th best, once there are k.
    pub fn kth(&mut self) -> Option<f32> {
        self.drop_beyond_k();
        (Some(self.items.len()) == self.k).then_some(self.floor)
    }

    /// The best score, or -inf.
    pub fn best(&self) -> f32 {
        self.items.iter().fold(f32::NEG_INFINITY, |best, c| best.max(c.score))
    }

    /// All kept candidates.
    pub fn all(&mut self) -> &mut Vec<Candidate> {
        self.drop_beyond_k();
        &mut self.items
    }

    /// Sorts, best first.
    pub fn sort(&mut self) {
        self.all().sort_unstable();
    }

    /// The candidates, in their current order.
    pub fn as_slice(&self) -> &[Candidate] {
        &self.items
    }

    /// The candidate at the point `u`, a share from 0 to 1 of the sum of probabilities.
    pub fn draw(&self, u: f64) -> u32 {
        let total: f64 = self.items.iter().map(|c| c.score as f64).sum();
        let mut left = u * total;
        for c in &self.items {
            left -= c.score as f64;
            if left < 0.0 {
                return c.token;
            }
        }
        self.items.last().map_or(0, |c| c.token)
    }

    /// Replaces scores by probabilities among the candidates.
    pub fn softmax(&mut self, temperature: f32) {
        let max = self.best();
        let items = self.all();
        let mut sum = 0.0f64;
        for c in &mut *items {
            // With an infinite best score, its difference to itself would be NaN.
            c.score = if c.score == max { 1.0 } else { ((c.score - max) / temperature).exp() };
            sum += c.score as f64;
        }
        items.iter_mut().for_each(|c| c.score = (c.score as f64 / sum) as f32);
    }

    /// Keeps the fewest likeliest candidates whose probabilities reach `p`; sorts them.
    pub fn keep_top_p(&mut self, p: f64) {
        self.drop_tail(p);
        self.sort();
        let mut sum = 0.0;
        let reached = self.items.iter().position(|c| {
            sum += c.score as f64;
            sum >= p
        });
        if let Some(last) = reached {
            self.items.truncate(last + 1);
        }
    }

    /// Drops candidates that are certainly not needed: likelier ones reach the sum `p`.
    fn drop_tail(&mut self, p: f64) {
        let items = self.all();
        let max = items.iter().fold(0.0f32, |max, c| max.max(c.score));
        // The bits of positive floats rise with their values, by 2^23 per doubling.
        let bucket = |score: f32| {
            let below = max.to_bits().saturating_sub(score.max(0.0).to_bits());
            ((below >> 20) as usize).min(N_BUCKETS - 1)
        };
        let mut sums = [0.0f64; N_BUCKETS];
        items.iter().for_each(|c| sums[bucket(c.score)] += c.score as f64);
        let mut sum = 0.0;
        // A little more, because the sums are rounded.
        let reached = sums.iter().position(|bucket| {
            sum += bucket;
            sum >= p * (1.0 + 1e-9)
        });
        if let Some(last) = reached {
            items.retain(|c| bucket(c.score) <= last);
        }
    }

    /// Keeps candidates at least `min_p` times as likely as the likeliest.
    pub fn keep_min_p(&mut self, min_p: f32) {
        let items = self.all();
        let max = items.iter().fold(0.0f32, |max, c| max.max(c.score));
        if max > 0.0 {
            items.retain(|c| c.score >= min_p * max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::{Purpose, Rng};

    fn random(n: usize, seed: u64) -> Vec<Candidate> {
        let mut scores = vec![0.0; n];
        Rng::new(seed, Purpose::Test, 0).fill_normal(&mut scores, 0, 3.0);
        // Some scores are equal.
        let score = |i: usize| if i % 5 == 4 { scores[i - 1] } else { scores[i] };
        (0..n).map(|i| Candidate { score: score(i), token: i as u32 }).collect()
    }

    fn candidates(from: &[Candidate], k: Option<usize>) -> Candidates {
        let mut candidates = Candidates::new(from.len());
        candidates.begin(k);
        let scores: Vec<f32> = from.iter().map(|c| c.score).collect();
        // Added in two parts, as from classes.
        let (a, b) = scores.split_at(scores.len() / 3);
        candidates.push_all(a.len(), b);
        candidates.push_all(0, a);
        candidates
    }

    #[test]
    fn the_best_k_are_those_of_a_sorted_list() {
        for (n, k) in [(1, 1), (10, 3), (100, 100), (1000, 50), (20, 30)] {
            let all = random(n, 1);
            let mut found = candidates(&all, Some(k));
            let mut sorted = all.clone();
            sorted.sort();
            sorted.truncate(k);
            assert_eq!(found.kth(), (k <= n).then(|| sorted[sorted.len() - 1].score));
            found.sort();
            assert_eq!(found.as_slice(), sorted);
        }
    }

    #[test]
    fn top_p_is_the_shortest_beginning_of_a_sorted_list() {
        for (n, p) in [(1, 0.5), (10, 0.3), (1000, 0.01), (1000, 0.9), (1000, 0.999999), (50, 1.0)]
        {
            let mut found = candidates(&random(n, 2), None);
            found.softmax(0.7);
            let mut sorted = found.as_slice().to_vec();
            sorted.sort();
            let mut sum = 0.0;
            let more = sorted.iter().position(|c| {
                sum += c.score as f64;
                sum >= p
            });
            sorted.truncate(more.map_or(n, |last| last + 1));
            found.keep_top_p(p);
            assert_eq!(found.as_slice(), sorted, "{n} {p}");
        }
    }

    #[test]
    fn min_p_is_relative_to_the_likeliest() {
        let mut found = candidates(&random(200, 3), None);
        found.softmax(1.0);
        let max = found.as_slice().iter().fold(0.0f32, |max, c| max.max(c.score));
        let n = found.as_slice().iter().filter(|c| c.score >= 0.1 * max).count();
        found.keep_min_p(0.1);
        assert_eq!(found.as_slice().len(), n);
        found.keep_min_p(1.0);
        assert!(found.as_slice().iter().all(|c| c.score == max));
    }
}
