//! Sampling from a factored distribution without looking at all of it.
//!
//! No token of a class is likelier than the class, so classes are opened from the likeliest down,
//! until what is left cannot change the choice: best-first search. What temperature, top-k, top-p,
//! min-p and greedy choice mean is what they mean on the whole distribution, exactly; a repetition
//! penalty multiplies log-probabilities.

use super::sampler::Sampler;
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

    /// What [`Sampler::choose`] draws from: (probability, token), likeliest first; probabilities are
    /// those among the tokens that are left.
    pub fn factored_distribution(&mut self, classes: &mut Expansion) -> &[(f32, u32)] {
        self.candidates.clear();
        self.class_order.clear();
        let n_classes = classes.class_log_p().len();
        self.class_order.extend(0..n_classes as u32);
        let log_p = classes.class_log_p();
        self.class_order.sort_unstable_by(|a, b| {
            log_p[*b as usize].total_cmp(&log_p[*a as usize]).then(a.cmp(b))
        });
        let mut nucleus = None;
        for opened in 0..n_classes {
            let bound = self.bound(classes.class_log_p()[self.class_order[opened] as usize]);
            if opened > 0 && self.is_decided(classes, opened, bound, &mut nucleus) {
                break;
            }
            let class = self.class_order[opened] as usize;
            let ids = classes.ids(class);
            for (id, log_p) in ids.zip(classes.open(class)) {
                self.push(*log_p, id);
            }
        }
        self.keep_top_k();
        match nucleus {
            Some(n) => {
                self.candidates.truncate(n);
                self.softmax();
            }
            None => {
                self.softmax();
                self.keep_top_p();
            }
        }
        self.keep_min_p();
        &self.candidates
    }

    /// The most that the penalised log-probability of a token can be in a class of this one.
    fn bound(&self, class_log_p: f32) -> f32 {
        // A penalty below 1 raises log-probabilities, which are negative.
        class_log_p * self.settings.repetition_penalty.min(1.0)
    }

    /// Whether classes from number `opened` on, whose tokens have at most `bound`, cannot change
    /// which tokens are kept; `nucleus` is then how many top-p keeps, if it is what decides.
    fn is_decided(
        &mut self,
        classes: &Expansion,
        opened: usize,
        bound: f32,
        nucleus: &mut Option<usize>,
    ) -> bool {
        if let Some(k) = self.k() {
            return self.candidates.iter().filter(|c| c.0 > bound).count() >= k;
        }
        let temperature = self.temperature();
        if self.settings.min_p > 0.0 {
            let best = self.candidates.iter().fold(f32::NEG_INFINITY, |best, c| best.max(c.0));
            let floor = best + temperature * self.settings.min_p.ln();
            // A hair more, so that rounding does not leave out what is exactly at the floor.
            if bound >= floor - 1e-4 * (1.0 + floor.abs()) {
                return false;
            }
            // Top-p comes first, and is of the sum over all tokens.
            if self.settings.top_p >= 1.0 {
                return true;
            }
        }
        if self.settings.top_p >= 1.0 {
            return false;
        }
        let rest = self.rest(classes, opened);
        *nucleus = self.nucleus(bound, rest);
        nucleus.is_some()
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
        self.keep_top_k();
        let (a, p) = (1.0 / self.temperature() as f64, self.settings.top_p as f64);
        let weight = |log_p: f32| (a * log_p as f64).exp();
        let opened: f64 = self.candidates.iter().map(|c| weight(c.0)).sum();
        // Sums of rounded numbers: what is this near to p is not decided.
        let slack = 1e-6;
        let enough = p * (opened + rest.most) * (1.0 + slack);
        let too_few = p * (opened + rest.least) * (1.0 - slack);
        let mut sum = 0.0;
        for (i, (log_p, _)) in self.candidates.iter().enumerate() {
            if *log_p <= bound {
                return None;
            }
            let before = sum;
            sum += weight(*log_p);
            if sum >= enough {
                return (before < too_few).then_some(i + 1);
            }
        }
        None
    }
}
