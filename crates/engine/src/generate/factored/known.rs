//! What is known of a factored distribution while its classes are opened one after another.
//!
//! A token's *score* is its log-probability, penalised if it is in the text already; its *weight* is
//! e^(score / temperature), up to a factor that all have in common. Both are known of the tokens of
//! opened classes. Of the others there are bounds: no token is likelier than its class.

use crate::generate::candidates::Candidate;
use crate::generate::scoring::Scoring;
use crate::head::Expansion;
use kernels::exp::exp_scaled;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::AddAssign;

/// How many tokens, and what they weigh together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::generate) struct Amount {
    pub n: usize,
    pub weight: f64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.n += other.n;
        self.weight += other.weight;
    }
}

/// The classes, opened or not, and the tokens of those that are. It allocates when it sees the first
/// distribution of a model.
#[derive(Debug, Default)]
pub(in crate::generate) struct Known {
    /// (V) of the tokens of opened classes.
    scores: Vec<f32>,
    weights: Vec<f32>,
    /// The score whose weight is 1: the most that any token can have.
    top: f32,
    /// The opened classes, in the order in which they were.
    opened: Vec<u32>,
    /// (classes) whether the class is one of them.
    is_open: Vec<bool>,
    /// (classes) the class's probability until it is opened, then 0.
    hidden: Vec<f32>,
    /// (classes) bounds of what its tokens weigh together; equal once it is opened.
    least: Vec<f32>,
    most: Vec<f32>,
    /// (classes) how many tokens there are in it, and what they weigh together if all are equally
    /// likely, as a multiple of what one would weigh that is as likely as the class.
    sizes: Vec<u32>,
    spread: Vec<f32>,
    /// Classes to be opened, the likeliest on top, and maybe some that are; empty until needed.
    queue: BinaryHeap<Reverse<Candidate>>,
    /// Classes being opened.
    batch: Vec<u32>,
    /// The best score of the tokens of opened classes.
    best: f32,
}

impl Known {
    /// Nothing of this distribution but its classes.
    pub fn begin(&mut self, classes: &Expansion, scoring: &Scoring) {
        let log_p = classes.class_log_p();
        let n = log_p.len();
        let (a, q) = (1.0 / scoring.temperature, scoring.penalty.min(1.0));
        if self.sizes.len() != n {
            self.measure(classes, a);
        }
        self.opened.clear();
        self.queue.clear();
        self.is_open.fill(false);
        self.best = f32::NEG_INFINITY;
        self.top = log_p.iter().fold(f32::NEG_INFINITY, |top, x| top.max(*x)) * q;
        exp_scaled(&mut self.hidden, log_p, 1.0, 0.0);
        // With n tokens that share P, the sum of their P_i^a is between P^a and n^(1 - a)·P^a, since
        // x^a is convex or concave.
        exp_scaled(&mut self.most, log_p, a * q, self.top / q);
        let bounds = self.least.iter_mut().zip(&mut self.most).zip(&self.spread);
        for (((least, most), spread), size) in bounds.zip(&self.sizes) {
            let one = *most;
            (*least, *most) = (one * spread.min(1.0), one * spread.max(1.0));
            // Penalised tokens: the sum is lower by at most all of it, or higher by what the bound
            // allows each.
            if scoring.penalty > 1.0 {
                *least = 0.0;
            } else if scoring.penalty < 1.0 {
                (*least, *most) = (0.0, one * *size as f32);
            }
        }
    }

    /// Makes room for this model's classes.
    fn measure(&mut self, classes: &Expansion, a: f32) {
        let n = classes.class_log_p().len();
        self.sizes.clear();
        self.sizes.extend((0..n).map(|class| classes.ids(class).len() as u32));
        self.spread.clear();
        self.spread.extend(self.sizes.iter().map(|size| (*size as f32).powf(1.0 - a)));
        self.is_open.resize(n, false);
        for of_classes in [&mut self.hidden, &mut self.least, &mut self.most] {
            of_classes.resize(n, 0.0);
        }
        let n_tokens = self.sizes.iter().map(|size| *size as usize).sum();
        self.scores.resize(n_tokens, 0.0);
        self.weights.resize(n_tokens, 0.0);
        self.opened.reserve(n);
        self.batch.reserve(n);
        self.queue.reserve(n);
    }

    /// Throws a point at `u` of the sum of what the classes weigh at most, opens the class that it is
    /// in, and returns the token that it hits there. Of many points, each token is hit by as many as
    /// its weight says; points that hit none are to be thrown away.
    pub fn throw(
        &mut self,
        classes: &mut Expansion,
        scoring: &Scoring,
        u: f64,
    ) -> Option<Candidate> {
        let mut left = u * self.most.iter().map(|most| *most as f64).sum::<f64>();
        let class = self.most.iter().position(|most| {
            let is_here = left < *most as f64;
            left -= if is_here { 0.0 } else { *most as f64 };
            is_here
        })?;
        self.open_one(classes, scoring, class);
        let ids = classes.ids(class);
        let hit = self.weights[ids.clone()].iter().position(|weight| {
            left -= *weight as f64;
            left < 0.0
        })?;
        Some(self.candidate(ids.start + hit))
    }

    /// A token, of which the class is opened.
    pub fn token(&mut self, classes: &mut Expansion, scoring: &Scoring, token: u32) -> Candidate {
        self.open_one(classes, scoring, classes.class_of(token));
        self.candidate(token as usize)
    }

    fn candidate(&self, token: usize) -> Candidate {
        Candidate { score: self.scores[token], token: token as u32 }
    }

    /// Opens a class, unless it is open.
    fn open_one(&mut self, classes: &mut Expansion, scoring: &Scoring, class: usize) {
        if !self.is_open[class] {
            self.batch.clear();
            self.batch.push(class as u32);
            self.open(classes, scoring);
        }
    }

    /// Opens the `n` likeliest of the classes that are not open; returns whether there was one.
    pub fn open_next(&mut self, classes: &mut Expansion, scoring: &Scoring, n: usize) -> bool {
        self.batch.clear();
        while self.batch.len() < n
            && let Some(next) = self.next(classes)
        {
            self.queue.pop();
            self.batch.push(next.token);
            // Not twice, should it be asked for again before.
            self.is_open[next.token as usize] = true;
        }
        self.open(classes, scoring);
        !self.batch.is_empty()
    }

    /// The likeliest class that is not open, and its log-probability.
    pub fn next(&mut self, classes: &Expansion) -> Option<Candidate> {
        if self.queue.is_empty() && self.opened.len() < self.sizes.len() {
            let all = classes.class_log_p().iter().zip(0..);
            self.queue
                .extend(all.map(|(score, token)| Reverse(Candidate { score: *score, token })));
        }
        loop {
            let Reverse(next) = *self.queue.peek()?;
            if !self.is_open[next.token as usize] {
                return Some(next);
            }
            self.queue.pop();
        }
    }

    /// Opens the classes of the batch.
    fn open(&mut self, classes: &mut Expansion, scoring: &Scoring) {
        classes.open(&mut self.batch);
        for class in &self.batch {
            let class = *class as usize;
            let ids = classes.ids(class);
            let scores = &mut self.scores[ids.clone()];
            let weights = &mut self.weights[ids.clone()];
            scores.copy_from_slice(classes.log_p(class));
            if !scoring.is_plain() {
                let tokens = scores.iter_mut().zip(ids.clone());
                tokens.for_each(|(score, token)| *score = scoring.score(*score, token));
            }
            exp_scaled(weights, scores, 1.0 / scoring.temperature, self.top);
            let (best, sum) = best_and_sum(scores, weights);
            self.best = self.best.max(best);
            (self.least[class], self.most[class]) = (sum, sum);
            (self.hidden[class], self.is_open[class]) = (0.0, true);
            self.opened.push(class as u32);
        }
    }

    /// The opened classes from number `from` on: their tokens' first ids and scores.
    pub fn opened<'a>(
        &'a self,
        classes: &'a Expansion,
        from: usize,
    ) -> impl Iterator<Item = (usize, &'a [f32])> {
        let ids = self.opened[from..].iter().map(|class| classes.ids(*class as usize));
        ids.map(|ids| (ids.start, &self.scores[ids]))
    }

    /// How many classes are open.
    pub fn n_opened(&self) -> usize {
        self.opened.len()
    }

    /// The tokens that are better than `than` in the opened classes from number `from` on.
    pub fn better(&self, classes: &Expansion, from: usize, than: Candidate) -> Amount {
        let mut found = Amount::default();
        for class in &self.opened[from..] {
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

    /// At most so many tokens that are better than one of this score are in classes that are not
    /// open: no more fit into the class's probability.
    pub fn hidden_better(&self, scoring: &Scoring, score: f32) -> Amount {
        // More by a hair, since probabilities are rounded.
        let per_probability = (-score / scoring.penalty.min(1.0)).exp() * 1.0001;
        let mut found = Amount::default();
        for ((hidden, size), most) in self.hidden.iter().zip(&self.sizes).zip(&self.most) {
            let n = ((hidden * per_probability) as u32).min(*size);
            found.n += n as usize;
            found.weight += if n > 0 { *most as f64 } else { 0.0 };
        }
        found
    }

    /// What all tokens weigh together: at least, and at most.
    pub fn total(&self) -> [f64; 2] {
        [&self.least, &self.most].map(|bounds| bounds.iter().map(|x| *x as f64).sum())
    }

    /// The best score: at least, and at most.
    pub fn best(&mut self, classes: &Expansion, scoring: &Scoring) -> [f32; 2] {
        let hidden = self.next(classes).map_or(f32::NEG_INFINITY, |next| next.score);
        [self.best, self.best.max(scoring.bound(hidden))]
    }

    /// The weight of a token of an opened class.
    pub fn weight(&self, token: u32) -> f64 {
        self.weights[token as usize] as f64
    }
}

/// Elements that are compared and added side by side.
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

/// The tokens whose scores are above `score`.
fn above(scores: &[f32], weights: &[f32], score: f32) -> Amount {
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
    Amount { n: n.into_iter().sum::<u32>() as usize, weight: sum.into_iter().map(f64::from).sum() }
}
