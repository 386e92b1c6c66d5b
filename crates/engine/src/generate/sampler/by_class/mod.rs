//! Sampling from a distribution by classes, computing only a few of its classes.
//!
//! A factored output layer gives P(class) of all classes at once. P(token) costs a matrix product
//! for each class, which is then *opened*. Draws follow the settings exactly, as if all classes were
//! open. A repetition penalty multiplies log-probabilities here.
//!
//! **Rejection sampling** (von Neumann 1951). A token is at most as likely as its class. So P(class)
//! alone gives an upper bound on the sum of its tokens' weights ([`ClassBounds`]). Lay intervals of
//! these lengths end to end and pick a point at random. Open the class that it falls into, and lay
//! the weights of its tokens into the interval from the left. If the point falls on a token, that is
//! the *proposal*; else it is rejected. Each token is proposed in proportion to its weight. If
//! top-k, top-p and min-p keep the token it is accepted; otherwise the next point is tried.
//!
//! **Whether a token is kept** is decided from lower and upper bounds ([`decision`]): a class can
//! hold only as many better tokens as fit into its probability. While the bounds leave the question
//! undecided, the likeliest closed class is opened.
//!
//! An example with top-k 2 and temperature 1/2, where a weight is a probability squared:
//!
//! | class | P(class) | P(token)         | weights        | sum   | bounds of the sum |
//! |-------|----------|------------------|----------------|-------|-------------------|
//! | A     | 0.6      | 0.45, 0.15       | 0.2025, 0.0225 | 0.225 | 0.18 to 0.36      |
//! | B     | 0.3      | 0.14, 0.08, 0.08 | 0.0196, ...    | 0.032 | 0.03 to 0.09      |
//! | C     | 0.1      | 0.1              | 0.01           | 0.01  | 0.01              |
//!
//! ```text
//! 0        0.2025  0.225              0.36             0.45 0.46
//! |---- a1 ----|- a2 -|  no token of A  |       B       | C |
//! ```
//!
//! Intervals are 0.46 long together. Let the first point be 0.24. It falls into A, which is opened,
//! but behind a2: rejected. A's interval is now exact, 0.225, and all are 0.325 long. Let the second
//! point be 0.21: a2 is proposed, P = 0.15. In A one token is better. B has at most two that good,
//! since 0.3 = 2 · 0.15, and C has none: between one and three are better, so top-k 2 is undecided.
//! B is opened, none of its tokens is better, and a2 is accepted. Had a1 been proposed, neither B nor
//! C could have held a better token, and both would have stayed closed.
//!
//! After some rejections, and in greedy choice, classes are opened from the likeliest down until no
//! closed one can hold a token that is kept; then one draw from all kept tokens decides.

mod bounds;
mod decision;

pub(super) use bounds::ClassBounds;

use super::candidates::{Candidate, Candidates};
use super::rules::Rules;
use crate::head::Expansion;
use bounds::Tally;
use kernels::rng::Rng;

/// Number of proposals before all kept tokens are searched for.
const N_PROPOSALS: u64 = 16;

/// Number of classes opened together, or this share of the open ones if that is more. Independent
/// of the number of threads, because the choice must be.
const OPEN_AT_ONCE: usize = 2;
const OPEN_SHARE: usize = 2;

/// Draws the token at `position` of a text, with random numbers of that position alone.
pub(super) fn draw(
    rules: &Rules,
    candidates: &mut Candidates,
    bounds: &mut ClassBounds,
    classes: &mut Expansion,
    rng: Rng,
    position: usize,
) -> u32 {
    let mut draw = Draw::new(rules, candidates, bounds, classes);
    let first = position as u64 * (N_PROPOSALS + 1);
    if !rules.settings.is_greedy() {
        for i in first..first + N_PROPOSALS {
            let proposal = draw.bounds.propose(draw.classes, rules, rng.f64_at(i));
            if let Some(token) = proposal
                && draw.is_kept(token)
            {
                return token.token;
            }
        }
    }
    draw.keep();
    draw.candidates.draw(rng.f64_at(first + N_PROPOSALS))
}

/// A draw from one distribution.
pub(super) struct Draw<'a, 'e> {
    rules: &'a Rules,
    candidates: &'a mut Candidates,
    bounds: &'a mut ClassBounds,
    classes: &'a mut Expansion<'e>,
}

impl<'a, 'e> Draw<'a, 'e> {
    /// Starts with all classes closed.
    pub fn new(
        rules: &'a Rules,
        candidates: &'a mut Candidates,
        bounds: &'a mut ClassBounds,
        classes: &'a mut Expansion<'e>,
    ) -> Draw<'a, 'e> {
        bounds.begin(classes, rules);
        Draw { rules, candidates, bounds, classes }
    }

    /// Reduces the candidates to the tokens that the rules keep, with probabilities that sum to 1.
    /// Opens classes from the likeliest down until no closed one can hold such a token.
    pub fn keep(&mut self) {
        self.candidates.begin(self.rules.settings.k());
        let mut n_taken = 0;
        loop {
            for (first, scores) in self.bounds.open_classes(self.classes, n_taken) {
                self.candidates.push_all(first, scores);
            }
            n_taken = self.bounds.n_open();
            if self.has_all_kept() || !self.open_next() {
                break;
            }
        }
        self.rules.narrow(self.candidates);
    }

    /// Whether the rules keep a token, whose class must be open; opens classes until that is
    /// certain.
    fn is_kept(&mut self, token: Candidate) -> bool {
        if !self.rules.settings.has_limits() {
            return true;
        }
        let (mut better, mut n_counted) = (Tally::default(), 0);
        loop {
            better += self.bounds.better(self.classes, n_counted, token);
            n_counted = self.bounds.n_open();
            if let Some(is_kept) = decision::is_kept(self, token, better) {
                return is_kept;
            }
            if !self.open_next() {
                // As close to a limit as rounding errors: decided by the list of all kept tokens.
                self.keep();
                return self.candidates.as_slice().iter().any(|c| c.token == token.token);
            }
        }
    }

    /// Opens the likeliest closed classes; returns whether there was one.
    fn open_next(&mut self) -> bool {
        let n = (self.bounds.n_open() / OPEN_SHARE).max(OPEN_AT_ONCE);
        self.bounds.open_next(self.classes, self.rules, n)
    }

    /// Whether no closed class can hold a token that is kept.
    fn has_all_kept(&mut self) -> bool {
        let Some(next) = self.bounds.next_closed(self.classes) else { return true };
        let bound = next.log_p * self.rules.bound_factor();
        let settings = &self.rules.settings;
        if settings.k().is_some() {
            return self.candidates.kth().is_some_and(|kth| kth > bound);
        }
        if settings.top_p < 1.0 || settings.min_p == 0.0 {
            return false;
        }
        let [best, _] = self.bounds.best(self.classes, self.rules);
        let floor = best + self.rules.temperature * settings.min_p.ln();
        // A little lower, so that rounding does not exclude a score exactly at the floor.
        bound < floor - 1e-4 * (1.0 + floor.abs())
    }
}

#[cfg(test)]
impl Draw<'_, '_> {
    /// Whether the rules keep `token`, decided from bounds.
    pub fn keeps(&mut self, token: u32) -> bool {
        let token = self.bounds.token(self.classes, self.rules, token);
        self.is_kept(token)
    }
}
