//! Sampling from a factored distribution without looking at all of it.
//!
//! No token of a class is likelier than the class. So points are thrown at the classes, as if each
//! weighed the most that it can (`known`), until one hits a token that the settings keep: of kept
//! tokens, each is then drawn as often as it should be (rejection sampling, von Neumann 1951).
//! Whether a token is kept is decided from bounds: few classes need be opened to see that fewer than
//! k tokens can be better (`verdict`). After some throws in vain, and for greedy choice, classes are
//! opened from the likeliest down until no other can hold a token that is kept.
//!
//! What temperature, top-k, top-p and min-p mean is what they mean on the whole distribution,
//! exactly; a repetition penalty multiplies log-probabilities.

mod known;
mod verdict;

pub(super) use known::Known;

use super::candidates::Candidate;
use super::sampler::{Sampler, draw};
use crate::head::Expansion;

/// Throws of a point before all that is kept is looked for.
const N_THROWS: u64 = 16;

/// Classes that are opened at once, at first; then as a share of those that are open. Not as many as
/// there are threads, on which the choice must not depend.
const OPEN_AT_ONCE: usize = 2;
const OPEN_SHARE: usize = 2;

impl Sampler {
    /// Chooses the token at `position` of the text.
    pub(super) fn choose_factored(&mut self, classes: &mut Expansion, position: usize) -> u32 {
        self.known.begin(classes, &self.scoring);
        // Each position has random numbers of its own.
        let (throws, first) = (self.throws, position as u64 * (N_THROWS + 1));
        if self.settings.temperature > 0.0 {
            for i in first..first + N_THROWS {
                let hit = self.known.throw(classes, &self.scoring, throws.f64_at(i));
                if let Some(hit) = hit
                    && self.is_kept(classes, hit)
                {
                    return hit.token;
                }
            }
        }
        self.find_kept(classes);
        draw(self.candidates.as_slice(), throws.f64_at(first + N_THROWS))
    }

    /// Whether [`Sampler::choose`] may choose `token`.
    pub fn keeps(&mut self, classes: &mut Expansion, token: u32) -> bool {
        self.known.begin(classes, &self.scoring);
        let token = self.known.token(classes, &self.scoring, token);
        self.is_kept(classes, token)
    }

    /// What [`Sampler::choose`] draws from, likeliest first; probabilities are those among the tokens
    /// that are left.
    pub fn factored_distribution(&mut self, classes: &mut Expansion) -> &[Candidate] {
        self.known.begin(classes, &self.scoring);
        self.find_kept(classes);
        self.candidates.sort();
        self.candidates.as_slice()
    }

    /// Whether the settings keep a token, opening classes until that is certain.
    ///
    /// # Panics
    /// If the token's class was not opened.
    fn is_kept(&mut self, classes: &mut Expansion, token: Candidate) -> bool {
        if !self.has_limits() {
            return true;
        }
        let (mut better, mut n_counted) = (known::Amount::default(), 0);
        loop {
            better += self.known.better(classes, n_counted, token);
            n_counted = self.known.n_opened();
            if let Some(is_kept) = self.verdict(classes, token, better) {
                return is_kept;
            }
            if !self.open_next(classes) {
                // As near to a limit as numbers are rounded: what is kept of the whole decides.
                self.find_kept(classes);
                return self.candidates.as_slice().iter().any(|c| c.token == token.token);
            }
        }
    }

    /// Opens the likeliest of the classes that are not open; returns whether there was one.
    fn open_next(&mut self, classes: &mut Expansion) -> bool {
        let n = (self.known.n_opened() / OPEN_SHARE).max(OPEN_AT_ONCE);
        self.known.open_next(classes, &self.scoring, n)
    }

    /// Opens classes from the likeliest down until no other can hold a token that is kept, and leaves
    /// the tokens that are, with their probabilities, among the candidates.
    fn find_kept(&mut self, classes: &mut Expansion) {
        self.candidates.begin(self.k());
        let mut n_taken = 0;
        loop {
            for (first, scores) in self.known.opened(classes, n_taken) {
                self.candidates.push_all(first, scores);
            }
            n_taken = self.known.n_opened();
            if self.has_all(classes) || !self.open_next(classes) {
                break;
            }
        }
        self.candidates.softmax(self.scoring.temperature);
        self.keep_top_p_and_min_p();
    }

    /// Whether no class that is not open can hold a token that is kept.
    fn has_all(&mut self, classes: &Expansion) -> bool {
        let Some(next) = self.known.next(classes) else { return true };
        let bound = self.scoring.bound(next.score);
        if self.k().is_some() {
            return self.candidates.kth().is_some_and(|kth| kth > bound);
        }
        let min_p = self.settings.min_p;
        if self.settings.top_p < 1.0 || min_p == 0.0 {
            return false;
        }
        let [best, _] = self.known.best(classes, &self.scoring);
        let floor = best + self.scoring.temperature * min_p.ln();
        // A hair more, so that rounding does not leave out what is exactly at the floor.
        bound < floor - 1e-4 * (1.0 + floor.abs())
    }
}
