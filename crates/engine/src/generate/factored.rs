//! Sampling from a factored distribution without looking at all of it.
//!
//! No token of a class is likelier than the class, so classes are opened from the likeliest down,
//! until what is left cannot change the choice: best-first search. What temperature, top-k, top-p,
//! min-p and greedy choice mean is what they mean on the whole distribution, exactly; a repetition
//! penalty multiplies log-probabilities.

use super::candidates::Candidate;
use super::sampler::{Sampler, Sampling};
use crate::head::factor::Expansion;

/// Draws a class at the share `u` of the classes' mass, and a token of it with what is left of `u`:
/// the distribution as it is.
pub(super) fn by_class_then_member(classes: &mut Expansion, u: f64) -> u32 {
    let (class, share) = place(classes.class_log_p(), 0.0, u);
    let total = classes.class_log_p()[class];
    let first = classes.ids(class).start;
    let (member, _) = place(classes.open(class), total, share);
    (first + member) as u32
}

/// The item at the share `u` of e^(`log_p` - `total`), which sum to 1, and where within it.
fn place(log_p: &[f32], total: f32, u: f64) -> (usize, f64) {
    let mut left = u;
    let mut last = 0;
    for (i, log_p) in log_p.iter().enumerate() {
        let p = ((log_p - total) as f64).exp();
        if left < p {
            return (i, left / p);
        }
        left -= p;
        last = if p > 0.0 { i } else { last };
    }
    // Rounding: the sum was a little below 1.
    (last, 0.5)
}

/// How far the search for what top-p keeps has come.
#[derive(Debug, Default)]
struct Search {
    /// Opened classes at which to look again.
    next_look: usize,
    /// How many of the likeliest tokens are kept, once that is certain.
    nucleus: Option<usize>,
}

/// Sums over the tokens of classes that were not opened lie between these.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    least: f64,
    most: f64,
}

impl Sampler {
    /// Whether tokens are drawn from the distribution as it is.
    pub(super) fn keeps_all_as_they_are(&self) -> bool {
        let s = &self.settings;
        let limits = s.top_p < 1.0 || s.min_p > 0.0 || self.k().is_some();
        s.temperature == 1.0 && s.repetition_penalty == 1.0 && !limits
    }

    /// What [`Sampler::choose`] draws from, likeliest first; probabilities are those among the tokens
    /// that are left.
    pub fn factored_distribution(&mut self, classes: &mut Expansion) -> &[Candidate] {
        self.narrow_factored(classes);
        self.candidates.sort();
        self.candidates.as_slice()
    }

    /// Opens classes from the likeliest down, and keeps what the settings keep of the whole.
    pub(super) fn narrow_factored(&mut self, classes: &mut Expansion) {
        self.candidates.begin(self.k());
        self.order_classes(classes);
        let mut search = Search::default();
        for opened in 0..self.class_order.len() {
            let class = self.class_order[opened] as usize;
            let bound = self.bound(classes.class_log_p()[class]);
            if opened > 0 && self.is_decided(classes, opened, bound, &mut search) {
                break;
            }
            let ids = classes.ids(class);
            for (id, log_p) in ids.zip(classes.open(class)) {
                self.push(*log_p, id);
            }
        }
        if let Some(n) = search.nucleus {
            self.candidates.sort();
            self.candidates.all().truncate(n);
            self.candidates.softmax(self.temperature());
            self.candidates.keep_min_p(self.settings.min_p);
        } else {
            self.candidates.softmax(self.temperature());
            self.keep_top_p_and_min_p();
        }
    }

    /// Puts the classes in order, the likeliest first.
    fn order_classes(&mut self, classes: &Expansion) {
        let log_p = classes.class_log_p();
        self.class_order.clear();
        self.class_order.extend(0..log_p.len() as u32);
        self.class_order.sort_unstable_by(|a, b| {
            log_p[*b as usize].total_cmp(&log_p[*a as usize]).then(a.cmp(b))
        });
    }

    /// The most that the penalised log-probability of a token can be in a class of this one.
    fn bound(&self, class_log_p: f32) -> f32 {
        // A penalty below 1 raises log-probabilities, which are negative.
        class_log_p * self.settings.repetition_penalty.min(1.0)
    }

    /// Whether classes from number `opened` on, whose tokens have at most `bound`, cannot change
    /// which tokens are kept.
    fn is_decided(
        &mut self,
        classes: &Expansion,
        opened: usize,
        bound: f32,
        search: &mut Search,
    ) -> bool {
        if self.k().is_some() {
            return self.candidates.kth().is_some_and(|kth| kth > bound);
        }
        let Sampling { top_p, min_p, .. } = self.settings;
        if top_p < 1.0 {
            if opened < search.next_look {
                return false;
            }
            // Looking costs about as much as opening some classes.
            search.next_look = opened + opened / 8 + 1;
            search.nucleus = self.nucleus(bound, self.rest(classes, opened));
            return search.nucleus.is_some();
        }
        if min_p == 0.0 {
            return false;
        }
        let items = self.candidates.all().iter();
        let best = items.fold(f32::NEG_INFINITY, |best, c| best.max(c.score));
        let floor = best + self.temperature() * min_p.ln();
        // A hair more, so that rounding does not leave out what is exactly at the floor.
        bound < floor - 1e-4 * (1.0 + floor.abs())
    }

    /// Bounds of the sum of e^(log-probability / temperature) over the classes from number `opened`
    /// on. With n tokens that share P, and a = 1 / temperature, the sum of their P_i^a is between
    /// P^a and n^(1 - a)·P^a, since x^a is convex or concave.
    fn rest(&self, classes: &Expansion, opened: usize) -> Rest {
        let a = 1.0 / self.temperature() as f64;
        let mut rest = Rest::default();
        for class in &self.class_order[opened..] {
            let class = *class as usize;
            let log_p = classes.class_log_p()[class] as f64;
            let n = classes.ids(class).len() as f64;
            let (one, even) = ((a * log_p).exp(), (a * log_p + (1.0 - a) * n.ln()).exp());
            let (mut least, mut most) = (one.min(even), one.max(even));
            // Penalised tokens: the sum is lower by at most all of it, or higher by what the bound
            // allows each.
            let penalty = self.settings.repetition_penalty as f64;
            if penalty > 1.0 {
                least = 0.0;
            } else if penalty < 1.0 {
                most = n * (a * log_p * penalty).exp();
            }
            rest.least += least;
            rest.most += most;
        }
        rest
    }

    /// How many tokens top-p keeps, if that does not depend on where in `rest` the sum of what was
    /// not opened lies, nor on which tokens of at most `bound` there are.
    fn nucleus(&mut self, bound: f32, rest: Rest) -> Option<usize> {
        let (a, p) = (1.0 / self.temperature() as f64, self.settings.top_p as f64);
        let weight = |c: &Candidate| (a * c.score as f64).exp();
        let (mut opened, mut certain) = (0.0, 0.0);
        for c in self.candidates.all().iter() {
            let weight = weight(c);
            opened += weight;
            certain += if c.score > bound { weight } else { 0.0 };
        }
        // Sums of rounded numbers: what is this near to p is not decided.
        let slack = 1e-6;
        let enough = p * (opened + rest.most) * (1.0 + slack);
        let too_few = p * (opened + rest.least) * (1.0 - slack);
        if certain < enough {
            return None;
        }
        self.candidates.sort();
        let mut sum = 0.0;
        for (i, c) in self.candidates.as_slice().iter().enumerate() {
            let before = sum;
            sum += weight(c);
            if sum >= enough {
                return (before < too_few).then_some(i + 1);
            }
        }
        None
    }
}
