//! Distribution of the next token: known as a whole, or class by class as it is looked at.

use super::factor::Expansion;
use kernels::cross_entropy::cross_entropy_loss;

/// What is known of the token that follows.
#[derive(Debug)]
pub enum Distribution<'a> {
    /// (V) logits: log-probabilities up to a number that all have in common.
    Whole(&'a [f32]),
    /// Classes, to be opened one by one.
    ByClass(Expansion<'a>),
}

impl<'a> Distribution<'a> {
    /// ln P(token), before any setting of a sampler.
    ///
    /// # Panics
    /// If the token is not below the vocabulary's size.
    pub fn log_p(&mut self, token: u32) -> f32 {
        match self {
            Distribution::Whole(logits) => {
                let mut loss = [0.0];
                cross_entropy_loss(&mut loss, logits, &[token]);
                -loss[0]
            }
            Distribution::ByClass(classes) => classes.token_log_p(token),
        }
    }

    /// (V) logits of every token; log-probabilities where the layer computes these.
    pub fn into_logits(self) -> &'a [f32] {
        match self {
            Distribution::Whole(logits) => logits,
            Distribution::ByClass(classes) => classes.into_whole(),
        }
    }
}
