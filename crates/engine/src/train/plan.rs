//! Step plan and step report: the input of a step, its result, and the reasons to refuse it.

use crate::model::{Dropout, RowsUsed};
use kernels::rng::{Purpose, Rng};

/// Settings of one step.
#[derive(Clone, Copy, Debug)]
pub struct StepPlan {
    /// Number of the step, from 0: selects data and dropout masks.
    pub step: u64,
    /// Learning rate.
    pub lr: f32,
    /// Gradients with a larger global norm are scaled down to this norm.
    pub grad_norm_max: f32,
    /// Probability of residual dropout; 0 turns it off.
    pub dropout: f32,
    /// Seed of the dropout masks.
    pub seed: u64,
}

impl StepPlan {
    /// Dropout of the micro-batch that begins with this sequence of the batch, or `None` without
    /// dropout. Masks are keyed by seed, step and that sequence.
    pub fn masks(&self, first_sequence: usize) -> Option<Dropout> {
        let key = Rng::new(self.seed, Purpose::Dropout, self.step).u64_at(first_sequence as u64);
        (self.dropout > 0.0).then_some(Dropout { rate: self.dropout, key })
    }
}

/// Result of one step. Sums and means are over the tokens that have a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean negative log-likelihood per token, in nats.
    pub loss_nats: f64,
    /// Global L2 norm of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// Number of tokens that have a target.
    pub n_tok: usize,
    /// Shares of the table rows that the batch used, if the output layer uses only some.
    pub rows_used: Option<RowsUsed>,
}

/// A refused step; parameters and moments are unchanged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// No token of the batch had a target.
    #[error("step {step}: no token of the batch has a target")]
    NoTargets {
        /// The step.
        step: u64,
    },
    /// A stop was requested during the step.
    #[error("step {step}: stopped before it was complete")]
    Stopped {
        /// The step.
        step: u64,
    },
    /// A number is NaN or infinite.
    #[error("step {step}: {what} is not finite (loss {loss_nats}, gradient norm {grad_norm})")]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss, or the first tensor with such a parameter, state or gradient.
        what: String,
        /// Mean loss.
        loss_nats: f64,
        /// Norm of the mean gradient.
        grad_norm: f64,
    },
}

impl StepError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            StepError::NoTargets { .. } => "step-without-targets",
            StepError::Stopped { .. } => "cancelled",
            StepError::NotFinite { .. } => "not-finite",
        }
    }
}
