//! Decision whether a token is kept, from lower and upper bounds.
//!
//! Every function here returns `None` while the bounds leave it undecided.

use super::bounds::Tally;
use super::{Candidate, Draw};

/// Relative rounding error of sums: values closer to a limit than this are undecided.
const SLACK: f64 = 1e-5;

/// A number between two bounds.
#[derive(Clone, Copy, Debug)]
struct Interval {
    lower: f64,
    upper: f64,
}

impl Interval {
    /// Whether the number is certainly below another, or certainly not.
    fn is_below(self, other: Interval) -> Option<bool> {
        if self.upper * (1.0 + SLACK) < other.lower {
            Some(true)
        } else if self.lower > other.upper * (1.0 + SLACK) {
            Some(false)
        } else {
            None
        }
    }

    fn times(self, factor: f64) -> Interval {
        Interval { lower: self.lower * factor, upper: self.upper * factor }
    }
}

/// Whether `token` is kept; `better` are the better tokens of open classes.
pub(super) fn is_kept(draw: &mut Draw, token: Candidate, better: Tally) -> Option<bool> {
    let settings = draw.rules.settings;
    let mut better_upper = draw.bounds.better_in_closed(draw.rules, token.score);
    better_upper += better;
    let by_top_k = match settings.k() {
        Some(k) if better.n >= k => Some(false),
        Some(k) if better_upper.n >= k => None,
        _ => Some(true),
    };
    // One limit that excludes the token is enough.
    if by_top_k == Some(false) {
        return by_top_k;
    }
    let by_top_p = match settings.top_p < 1.0 {
        true => is_within_top_p(draw, token, better, better_upper),
        false => Some(true),
    };
    let by_min_p = match settings.min_p > 0.0 {
        true => is_within_min_p(draw, token.score),
        false => Some(true),
    };
    let decisions = [by_top_k, by_top_p, by_min_p];
    if decisions.contains(&Some(false)) {
        return Some(false);
    }
    decisions.iter().all(|decision| *decision == Some(true)).then_some(true)
}

/// Whether the better tokens weigh less than the share p of those that top-k keeps.
fn is_within_top_p(
    draw: &mut Draw,
    token: Candidate,
    better: Tally,
    better_upper: Tally,
) -> Option<bool> {
    let p = draw.rules.settings.top_p as f64;
    let weight = Interval { lower: better.weight, upper: better_upper.weight };
    let Some(k) = draw.rules.settings.k() else {
        let [lower, upper] = draw.bounds.total();
        return weight.is_below(Interval { lower, upper }.times(p));
    };
    // Top-k keeps the better tokens and others: the token itself and worse ones, each of at most
    // its weight.
    let own = draw.bounds.weight(token.token);
    let rest = Interval { lower: own, upper: (k - better.n) as f64 * own };
    let is_below = |rest: Interval| weight.times(1.0 - p).is_below(rest.times(p));
    is_below(rest).or_else(|| {
        let to = k.checked_sub(better_upper.n - better.n)?;
        let lower = weight_of_ranks(draw, better.n, to);
        is_below(Interval { lower, ..rest })
    })
}

/// Total weight of the tokens of open classes from rank `from` up to rank `to`; the best has rank
/// 0.
fn weight_of_ranks(draw: &mut Draw, from: usize, to: usize) -> f64 {
    draw.candidates.begin(draw.rules.settings.k());
    for (first, scores) in draw.bounds.open_classes(draw.classes, 0) {
        draw.candidates.push_all(first, scores);
    }
    draw.candidates.sort();
    let ranked = draw.candidates.as_slice();
    let (from, to) = (from.min(ranked.len()), to.min(ranked.len()));
    ranked[from.min(to)..to].iter().map(|c| draw.bounds.weight(c.token)).sum()
}

/// Whether the score is close enough to the best.
fn is_within_min_p(draw: &mut Draw, score: f32) -> Option<bool> {
    let [lower, upper] = draw.bounds.best(draw.classes, draw.rules);
    let distance = draw.rules.temperature * draw.rules.settings.min_p.ln();
    let slack = 1e-4 * (1.0 + score.abs());
    if score >= upper || score > upper + distance + slack {
        Some(true)
    } else if score < lower + distance - slack {
        Some(false)
    } else {
        None
    }
}
