//! Whether a token is kept, from what is known so far.

use super::known::Amount;
use crate::generate::candidates::Candidate;
use crate::generate::sampler::Sampler;
use crate::head::Expansion;

/// Sums of rounded numbers: what is as near to a limit as this, relative to it, is not decided.
const SLACK: f64 = 1e-5;

/// A number that is known to lie between two.
#[derive(Clone, Copy, Debug)]
struct Between {
    least: f64,
    most: f64,
}

impl Between {
    /// Whether it is below another, if that is certain.
    fn is_below(self, other: Between) -> Option<bool> {
        if self.most * (1.0 + SLACK) < other.least {
            Some(true)
        } else if self.least > other.most * (1.0 + SLACK) {
            Some(false)
        } else {
            None
        }
    }

    fn times(self, factor: f64) -> Between {
        Between { least: self.least * factor, most: self.most * factor }
    }
}

impl Sampler {
    /// Whether `token` is kept, if that is certain; `better` are the tokens of opened classes that are
    /// better than it.
    pub(super) fn verdict(
        &mut self,
        classes: &Expansion,
        token: Candidate,
        better: Amount,
    ) -> Option<bool> {
        let mut most = self.known.hidden_better(&self.scoring, token.score);
        most += better;
        let by_k = match self.k() {
            Some(k) if better.n >= k => Some(false),
            Some(k) if most.n >= k => None,
            _ => Some(true),
        };
        // What any limit leaves out is left out, whatever the others say.
        if by_k == Some(false) {
            return by_k;
        }
        let by_top_p = match self.settings.top_p < 1.0 {
            true => self.within_top_p(classes, token, better, most),
            false => Some(true),
        };
        let by_min_p = match self.settings.min_p > 0.0 {
            true => self.within_min_p(classes, token.score),
            false => Some(true),
        };
        let verdicts = [by_k, by_top_p, by_min_p];
        if verdicts.contains(&Some(false)) {
            return Some(false);
        }
        verdicts.iter().all(|verdict| *verdict == Some(true)).then_some(true)
    }

    /// Whether the better tokens weigh less than the share p of what top-k leaves.
    fn within_top_p(
        &mut self,
        classes: &Expansion,
        token: Candidate,
        better: Amount,
        most: Amount,
    ) -> Option<bool> {
        let p = self.settings.top_p as f64;
        let weight = Between { least: better.weight, most: most.weight };
        let Some(k) = self.k() else {
            let [least, most] = self.known.total();
            return weight.is_below(Between { least, most }.times(p));
        };
        // The whole is what is better and the rest: the token and those after it. None of the rest
        // weighs more than the token.
        let own = self.known.weight(token.token);
        let rest = Between { least: own, most: (k - better.n) as f64 * own };
        let is_below = |rest: Between| weight.times(1.0 - p).is_below(rest.times(p));
        is_below(rest).or_else(|| {
            let least = self.rest(classes, better.n, k.checked_sub(most.n - better.n)?);
            is_below(Between { least, ..rest })
        })
    }

    /// What the best tokens of opened classes weigh, from number `from` up to number `to`.
    fn rest(&mut self, classes: &Expansion, from: usize, to: usize) -> f64 {
        self.candidates.begin(self.k());
        for (first, scores) in self.known.opened(classes, 0) {
            self.candidates.push_all(first, scores);
        }
        self.candidates.sort();
        let best = self.candidates.as_slice();
        let (from, to) = (from.min(best.len()), to.min(best.len()));
        best[from.min(to)..to].iter().map(|c| self.known.weight(c.token)).sum()
    }

    /// Whether the score is near enough to the best.
    fn within_min_p(&mut self, classes: &Expansion, score: f32) -> Option<bool> {
        let [least, most] = self.known.best(classes, &self.scoring);
        let distance = self.scoring.temperature * self.settings.min_p.ln();
        let slack = 1e-4 * (1.0 + score.abs());
        if score >= most || score > most + distance + slack {
            Some(true)
        } else if score < least + distance - slack {
            Some(false)
        } else {
            None
        }
    }
}
