//! Sampling from logits of the whole vocabulary.

use super::candidates::{Candidate, Candidates};
use super::rules::Rules;

/// Draws the token at the point `u`, a share from 0 to 1, of the probabilities that the rules keep.
pub(super) fn draw(rules: &Rules, candidates: &mut Candidates, logits: &[f32], u: f64) -> u32 {
    keep(rules, candidates, logits);
    candidates.draw(u)
}

/// Reduces the candidates to the tokens of `logits` (V) that the rules keep, with their
/// probabilities.
pub(super) fn keep(rules: &Rules, candidates: &mut Candidates, logits: &[f32]) {
    candidates.begin(rules.settings.k());
    if rules.changes_scores() {
        for (token, logit) in logits.iter().enumerate() {
            let score = rules.score(*logit, token);
            candidates.push(Candidate { score, token: token as u32 });
        }
    } else {
        candidates.push_all(0, logits);
    }
    rules.narrow(candidates);
}
