//! Sampling rules of one text: scores from logits, and the limits on candidates.

use super::candidates::Candidates;
use super::settings::Sampling;

/// The settings, and the tokens that the repetition penalty applies to.
///
/// A token's *score* is its logit or log-probability after the penalty. Its *weight* is e^(score /
/// temperature): probabilities are weights divided by their sum.
#[derive(Debug)]
pub(super) struct Rules {
    pub settings: Sampling,
    /// Divisor of scores in weights: the setting, or 1 in greedy choice, which keeps one token.
    pub temperature: f32,
    /// (V) whether the text contains the token.
    is_seen: Vec<bool>,
    /// (V) whether the token may not be chosen; empty if all may.
    is_forbidden: Vec<bool>,
}

impl Rules {
    /// For a vocabulary of this size.
    pub fn new(settings: Sampling, vocab_size: usize) -> Rules {
        let temperature = if settings.is_greedy() { 1.0 } else { settings.temperature };
        Rules { settings, temperature, is_seen: vec![false; vocab_size], is_forbidden: Vec::new() }
    }

    /// Notes that the text contains `token`.
    pub fn note(&mut self, token: u32) {
        if let Some(is_seen) = self.is_seen.get_mut(token as usize) {
            *is_seen = true;
        }
    }

    /// Forbids the tokens that `is_forbidden` names, and no others; all of them forbids none.
    pub fn forbid(&mut self, is_forbidden: impl Fn(u32) -> bool) {
        self.is_forbidden.clear();
        self.is_forbidden.extend((0..).take(self.is_seen.len()).map(is_forbidden));
        if !self.is_forbidden.contains(&true) || !self.is_forbidden.contains(&false) {
            self.is_forbidden.clear();
        }
    }

    /// Whether some tokens may not be chosen.
    pub fn forbids_some(&self) -> bool {
        !self.is_forbidden.is_empty()
    }

    /// Whether scores differ from logits.
    pub fn changes_scores(&self) -> bool {
        self.settings.repetition_penalty != 1.0 || self.forbids_some()
    }

    /// The score of a token; negative infinity if it may not be chosen.
    pub fn score(&self, logit: f32, token: usize) -> f32 {
        if self.is_forbidden.get(token).is_some_and(|is| *is) {
            return f32::NEG_INFINITY;
        }
        match (self.is_seen[token], logit > 0.0) {
            (false, _) => logit,
            (true, true) => logit / self.settings.repetition_penalty,
            (true, false) => logit * self.settings.repetition_penalty,
        }
    }

    /// The upper bound of a score is the log-probability times this factor: a penalty below 1
    /// raises log-probabilities, which are negative.
    pub fn bound_factor(&self) -> f32 {
        self.settings.repetition_penalty.min(1.0)
    }

    /// Turns the candidates' scores into probabilities, and applies top-p, then min-p. Top-k has
    /// already been applied.
    pub fn narrow(&self, candidates: &mut Candidates) {
        if self.forbids_some() {
            // Not even rounding may choose one.
            candidates.all().retain(|candidate| candidate.score > f32::NEG_INFINITY);
        }
        candidates.softmax(self.temperature);
        if self.settings.top_p < 1.0 {
            candidates.keep_top_p(self.settings.top_p as f64);
        }
        if self.settings.min_p > 0.0 {
            candidates.keep_min_p(self.settings.min_p);
        }
    }
}
