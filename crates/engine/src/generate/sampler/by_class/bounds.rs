//! Class bounds: lower and upper bounds of the weights in a distribution by classes.
//!
//! Scores and weights ([`Rules`]) are known for the tokens of open classes. The total weight of a
//! closed class's tokens is bounded by the class's probability.

use crate::generate::sampler::candidates::Candidate;
use crate::generate::sampler::rules::Rules;
use crate::head::Expansion;
use kernels::exp::exp_scaled;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::AddAssign;

/// Number of some tokens, and the sum of their weights.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::generate::sampler) struct Tally {
    pub n: usize,
    pub weight: f64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.n += other.n;
        self.weight += other.weight;
    }
}

/// A class in the queue of those to open; the likeliest is the greatest, of equals the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::generate::sampler) struct QueuedClass {
    /// Its log-probability.
    pub log_p: f32,
    class: u32,
}

impl Ord for QueuedClass {
    fn cmp(&self, other: &QueuedClass) -> Ordering {
        self.log_p.total_cmp(&other.log_p).then(other.class.cmp(&self.class))
    }
}

impl PartialOrd for QueuedClass {
    fn partial_cmp(&self, other: &QueuedClass) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for QueuedClass {}

/// The classes, open or closed, and the tokens of the open ones. Belongs to one sampler, whose
/// temperature never changes; allocates on the first distribution of a model.
#[derive(Debug, Default)]
pub(in crate::generate::sampler) struct ClassBounds {
    /// (V) scores, valid for tokens of open classes.
    scores: Vec<f32>,
    weights: Vec<f32>,
    /// Upper bound of all scores; weights are relative to the weight of this score.
    score_max: f32,
    /// Open classes, in the order of opening.
    open: Vec<u32>,
    /// (classes) whether the class is open.
    is_open: Vec<bool>,
    /// (classes) P(class) of closed classes, 0 of open ones.
    closed_p: Vec<f32>,
    /// (classes) bounds of the total weight of the class's tokens; equal once it is open.
    lower: Vec<f32>,
    upper: Vec<f32>,
    /// (classes) number of tokens of the class, n.
    sizes: Vec<u32>,
    /// (classes) n^(1 - a), where a = 1 / temperature: the total weight of n equally likely tokens,
    /// relative to that of one token as likely as the class.
    even_weights: Vec<f32>,
    /// Classes to open; may include open ones. Empty until needed.
    queue: BinaryHeap<QueuedClass>,
    /// Classes being opened.
    batch: Vec<u32>,
    /// Best score in open classes.
    best: f32,
}

impl ClassBounds {
    /// Starts a distribution with all classes closed.
    pub fn begin(&mut self, classes: &Expansion, rules: &Rules) {
        let log_p = classes.class_log_p();
        let n = log_p.len();
        let (a, q) = (1.0 / rules.temperature, rules.bound_factor());
        let sizes = (0..n).map(|class| classes.ids(class).len() as u32);
        if !sizes.eq(self.sizes.iter().copied()) {
            self.measure(classes, a);
        }
        self.open.clear();
        self.queue.clear();
        self.is_open.fill(false);
        self.best = f32::NEG_INFINITY;
        self.score_max = log_p.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x)) * q;
        exp_scaled(&mut self.closed_p, log_p, 1.0, 0.0);
        // If n tokens share P, the sum of their P_i^a lies between P^a (one has it all) and n^(1 -
        // a)·P^a (all have the same), because x^a is convex or concave.
        exp_scaled(&mut self.upper, log_p, a * q, self.score_max / q);
        let bounds = self.lower.iter_mut().zip(&mut self.upper).zip(&self.even_weights);
        let penalty = rules.settings.repetition_penalty;
        for (((lower, upper), even), size) in bounds.zip(&self.sizes) {
            let one = *upper;
            (*lower, *upper) = (one * even.min(1.0), one * even.max(1.0));
            // The penalty or a ban may lower each weight to 0; a penalty may raise it up to its
            // own bound.
            if penalty > 1.0 || (penalty == 1.0 && rules.forbids_some()) {
                *lower = 0.0;
            } else if penalty < 1.0 {
                (*lower, *upper) = (0.0, one * *size as f32);
            }
        }
    }

    /// Sizes the buffers for this model's classes.
    fn measure(&mut self, classes: &Expansion, a: f32) {
        let n = classes.class_log_p().len();
        self.sizes.clear();
        self.sizes.extend((0..n).map(|class| classes.ids(class).len() as u32));
        self.even_weights.clear();
        self.even_weights.extend(self.sizes.iter().map(|size| (*size as f32).powf(1.0 - a)));
        self.is_open.resize(n, false);
        for of_classes in [&mut self.closed_p, &mut self.lower, &mut self.upper] {
            of_classes.resize(n, 0.0);
        }
        let n_tokens = self.sizes.iter().map(|size| *size as usize).sum();
        self.scores.resize(n_tokens, 0.0);
        self.weights.resize(n_tokens, 0.0);
        self.open.reserve(n);
        self.batch.reserve(n);
        self.queue.reserve(n);
    }

    /// Opens the class whose interval contains the point `u` (a share from 0 to 1 of the total
    /// length of the classes' intervals, which are as long as the upper bounds) and returns the
    /// token at that point. Tokens are proposed in proportion to their weights; `None` is a
    /// rejection: the point lies past the tokens of its class.
    pub fn propose(&mut self, classes: &mut Expansion, rules: &Rules, u: f64) -> Option<Candidate> {
        let mut left = u * self.upper.iter().map(|upper| *upper as f64).sum::<f64>();
        let class = self.upper.iter().position(|upper| {
            let is_here = left < *upper as f64;
            left -= if is_here { 0.0 } else { *upper as f64 };
            is_here
        })?;
        self.open_one(classes, rules, class);
        let ids = classes.ids(class);
        let hit = self.weights[ids.clone()].iter().position(|weight| {
            left -= *weight as f64;
            left < 0.0
        })?;
        Some(self.candidate(ids.start + hit))
    }

    /// Candidate of a token, whose class is opened.
    #[cfg(test)]
    pub fn token(&mut self, classes: &mut Expansion, rules: &Rules, token: u32) -> Candidate {
        self.open_one(classes, rules, classes.class_of(token));
        self.candidate(token as usize)
    }

    fn candidate(&self, token: usize) -> Candidate {
        Candidate { score: self.scores[token], token: token as u32 }
    }

    /// Opens a class if it is closed.
    fn open_one(&mut self, classes: &mut Expansion, rules: &Rules, class: usize) {
        if !self.is_open[class] {
            self.batch.clear();
            self.batch.push(class as u32);
            self.open_batch(classes, rules);
        }
    }

    /// Opens the `n` likeliest closed classes; returns whether there was one.
    pub fn open_next(&mut self, classes: &mut Expansion, rules: &Rules, n: usize) -> bool {
        self.batch.clear();
        while self.batch.len() < n
            && let Some(next) = self.next_closed(classes)
        {
            self.queue.pop();
            self.batch.push(next.class);
            // Keeps the next search from finding the same class.
            self.is_open[next.class as usize] = true;
        }
        self.open_batch(classes, rules);
        !self.batch.is_empty()
    }

    /// The likeliest closed class.
    pub fn next_closed(&mut self, classes: &Expansion) -> Option<QueuedClass> {
        if self.queue.is_empty() && self.open.len() < self.sizes.len() {
            let all = classes.class_log_p().iter().zip(0..);
            self.queue.extend(all.map(|(log_p, class)| QueuedClass { log_p: *log_p, class }));
        }
        loop {
            let next = *self.queue.peek()?;
            if !self.is_open[next.class as usize] {
                return Some(next);
            }
            self.queue.pop();
        }
    }

    /// Opens the classes of the batch.
    fn open_batch(&mut self, classes: &mut Expansion, rules: &Rules) {
        classes.open(&mut self.batch);
        for class in &self.batch {
            let class = *class as usize;
            let ids = classes.ids(class);
            let scores = &mut self.scores[ids.clone()];
            let weights = &mut self.weights[ids.clone()];
            scores.copy_from_slice(classes.log_p(class));
            if rules.changes_scores() {
                let tokens = scores.iter_mut().zip(ids.clone());
                tokens.for_each(|(score, token)| *score = rules.score(*score, token));
            }
            exp_scaled(weights, scores, 1.0 / rules.temperature, self.score_max);
            let (best, sum) = best_and_sum(scores, weights);
            self.best = self.best.max(best);
            (self.lower[class], self.upper[class]) = (sum, sum);
            (self.closed_p[class], self.is_open[class]) = (0.0, true);
            self.open.push(class as u32);
        }
    }

    /// Open classes from index `from` on: first ids and scores of their tokens.
    pub fn open_classes<'a>(
        &'a self,
        classes: &'a Expansion,
        from: usize,
    ) -> impl Iterator<Item = (usize, &'a [f32])> {
        let ids = self.open[from..].iter().map(|class| classes.ids(*class as usize));
        ids.map(|ids| (ids.start, &self.scores[ids]))
    }

    /// Number of open classes.
    pub fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Tokens better than `than` in the open classes from index `from` on.
    pub fn better(&self, classes: &Expansion, from: usize, than: Candidate) -> Tally {
        let mut found = Tally::default();
        for class in &self.open[from..] {
            let ids = classes.ids(*class as usize);
            // Of equal scores the smaller id is better.
            let here = (than.token as usize).clamp(ids.start, ids.end);
            let parts = [(ids.start..here, than.score.next_down()), (here..ids.end, than.score)];
            for (ids, score) in parts {
                found += above(&self.scores[ids.clone()], &self.weights[ids], score);
            }
        }
        found
    }

    /// Upper bound of the tokens in closed classes that are better than a token of this score: no
    /// more fit into the classes' probabilities.
    pub fn better_in_closed(&self, rules: &Rules, score: f32) -> Tally {
        // A little more, because probabilities are rounded.
        let per_probability = (-score / rules.bound_factor()).exp() * 1.0001;
        let mut found = Tally::default();
        for ((p, size), upper) in self.closed_p.iter().zip(&self.sizes).zip(&self.upper) {
            let n = ((p * per_probability) as u32).min(*size);
            found.n += n as usize;
            found.weight += if n > 0 { *upper as f64 } else { 0.0 };
        }
        found
    }

    /// Lower and upper bound of the total weight of all tokens.
    pub fn total(&self) -> [f64; 2] {
        [&self.lower, &self.upper].map(|bounds| bounds.iter().map(|x| *x as f64).sum())
    }

    /// Lower and upper bound of the best score.
    pub fn best(&mut self, classes: &Expansion, rules: &Rules) -> [f32; 2] {
        let closed = self.next_closed(classes).map_or(f32::NEG_INFINITY, |next| next.log_p);
        [self.best, self.best.max(closed * rules.bound_factor())]
    }

    /// Weight of a token of an open class.
    pub fn weight(&self, token: u32) -> f64 {
        self.weights[token as usize] as f64
    }
}

/// Elements compared and added in parallel.
const LANES: usize = 8;

/// The largest of `scores` and the sum of `weights`.
fn best_and_sum(scores: &[f32], weights: &[f32]) -> (f32, f32) {
    let (mut best, mut sum) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
    let (score_blocks, scores) = scores.as_chunks::<LANES>();
    let (weight_blocks, weights) = weights.as_chunks::<LANES>();
    let mut take = |l: usize, score: f32, weight: f32| {
        best[l] = if score > best[l] { score } else { best[l] };
        sum[l] += weight;
    };
    for (scores, weights) in score_blocks.iter().zip(weight_blocks) {
        (0..LANES).for_each(|l| take(l, scores[l], weights[l]));
    }
    scores.iter().zip(weights).enumerate().for_each(|(l, (s, w))| take(l, *s, *w));
    (best.into_iter().fold(f32::NEG_INFINITY, f32::max), sum.into_iter().sum())
}

/// Tokens with scores above `score`.
fn above(scores: &[f32], weights: &[f32], score: f32) -> Tally {
    let (mut n, mut sum) = ([0u32; LANES], [0.0f32; LANES]);
    let (score_blocks, scores) = scores.as_chunks::<LANES>();
    let (weight_blocks, weights) = weights.as_chunks::<LANES>();
    let mut take = |l: usize, found: f32, weight: f32| {
        n[l] += u32::from(found > score);
        sum[l] += if found > score { weight } else { 0.0 };
    };
    for (scores, weights) in score_blocks.iter().zip(weight_blocks) {
        (0..LANES).for_each(|l| take(l, scores[l], weights[l]));
    }
    scores.iter().zip(weights).enumerate().for_each(|(l, (s, w))| take(l, *s, *w));
    Tally { n: n.into_iter().sum::<u32>() as usize, weight: sum.into_iter().map(f64::from).sum() }
}
