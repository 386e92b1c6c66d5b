//! Loss sum: the losses of some tokens, to be added up.

use kernels::cross_entropy::IGNORE;

/// Sum of the losses of the tokens that had a target, and how many those were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Negative log likelihoods in nats, summed.
    pub nats: f64,
    /// Tokens that had a target.
    pub n_tok: usize,
}

impl LossSum {
    /// The sum of some tokens' losses.
    pub fn of(loss: &[f32], targets: &[u32]) -> LossSum {
        LossSum {
            nats: loss.iter().map(|nats| *nats as f64).sum(),
            n_tok: targets.iter().filter(|target| **target != IGNORE).count(),
        }
    }

    /// Adds the tokens of `other`.
    pub fn add(&mut self, other: LossSum) {
        self.nats += other.nats;
        self.n_tok += other.n_tok;
    }
}
