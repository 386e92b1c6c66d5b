//! Loss sum: accumulated loss and number of tokens.

use kernels::cross_entropy::IGNORE;

/// Sum of losses, and the number of tokens with a target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Summed negative log-likelihoods, in nats.
    pub nats: f64,
    /// Number of tokens with a target.
    pub n_tok: usize,
}

impl LossSum {
    /// Sum of the losses of `targets`.
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
