//! Distribution of the next token: complete, or class by class on demand.

use super::factor::Expansion;
use kernels::cross_entropy::cross_entropy_loss;

/// Distribution of the next token.
#[derive(Debug)]
pub enum Distribution<'a> {
    /// (V) logits: log-probabilities up to a common constant.
    Whole(&'a [f32]),
    /// By class; classes are opened one by one.
    ByClass(Expansion<'a>),
}

impl<'a> Distribution<'a> {
    /// ln P(token), before any sampling setting.
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

    /// (V) logits of all tokens; log-probabilities if the layer computes these.
    pub fn into_logits(self) -> &'a [f32] {
        match self {
            Distribution::Whole(logits) => logits,
            Distribution::ByClass(classes) => classes.into_whole(),
        }
    }
}
