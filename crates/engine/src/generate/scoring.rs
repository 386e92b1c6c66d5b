//! From logits to scores: the repetition penalty, and what a difference of scores weighs.

use super::sampler::Sampling;

/// How logits or log-probabilities become scores.
#[derive(Debug)]
pub(super) struct Scoring {
    /// Divides scores before they become weights.
    pub temperature: f32,
    /// Divides positive logits of tokens in the text, multiplies negative ones.
    pub penalty: f32,
    /// (V) whether the text contains the token.
    seen: Vec<bool>,
}

impl Scoring {
    /// For a vocabulary of this size.
    pub fn new(settings: &Sampling, vocab_size: usize) -> Scoring {
        // At 0 only the likeliest is kept, whatever it weighs.
        let temperature = if settings.temperature == 0.0 { 1.0 } else { settings.temperature };
        let penalty = settings.repetition_penalty;
        Scoring { temperature, penalty, seen: vec![false; vocab_size] }
    }

    /// Notes that the text contains `token`.
    pub fn note(&mut self, token: u32) {
        if let Some(seen) = self.seen.get_mut(token as usize) {
            *seen = true;
        }
    }

    /// Whether scores are logits.
    pub fn is_plain(&self) -> bool {
        self.penalty == 1.0
    }

    /// The score of a token.
    pub fn score(&self, logit: f32, token: usize) -> f32 {
        match (self.seen[token], logit > 0.0) {
            (false, _) => logit,
            (true, true) => logit / self.penalty,
            (true, false) => logit * self.penalty,
        }
    }

    /// The most that a token's score can be if its log-probability is at most `log_p`.
    pub fn bound(&self, log_p: f32) -> f32 {
        // A penalty below 1 raises log-probabilities, which are negative.
        log_p * self.penalty.min(1.0)
    }
}
