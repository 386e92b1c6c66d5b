//! Optimiser step, from a batch to new parameters. This is the file to open first.
//!
//! tokens -> input vectors -> blocks -> output layer and loss -> backward -> sum over lanes -> clip
//! -> update -> pack. A step allocates nothing: every buffer is sized before the first step, and
//! `tests/no_alloc.rs` checks this.

use super::lanes::{SequenceSource, read_sequences};
use super::plan::{StepError, StepPlan, StepReport};
use super::trainer::Trainer;
use crate::model::{backward, forward};

impl Trainer {
    /// Runs every lane forward and backward over its share of the batch, then updates once.
    ///
    /// # Errors
    /// [`StepError`]; the state is then exactly as it was before.
    pub fn step(
        &mut self,
        source: &dyn SequenceSource,
        plan: &StepPlan,
    ) -> Result<StepReport, StepError> {
        self.accumulate(source, plan);
        self.apply(plan)
    }

    /// First half of a step: gradients of the summed loss of the batch. Ends early if a stop is
    /// requested; the second half then refuses the step.
    pub fn accumulate(&mut self, source: &dyn SequenceSource, plan: &StepPlan) {
        self.prepare_rows(source, plan.step);
        let model = self.owned.model();
        self.lanes.begin_step(model, plan.step);
        for number in 0..self.lanes.n_micro_batches() {
            self.lanes.micro_batch(
                model,
                number,
                |lane, sequences| read_sequences(lane, source, plan.step, sequences),
                |lane, first| forward(model, plan.masks(first), lane),
                // Between these two passes the output layer computes the loss and its gradient.
                |lane, first| backward(model, plan.masks(first), number == 0, lane),
            );
        }
        self.lanes.end_step();
    }

    /// Second half of a step: one update from the gradients.
    ///
    /// Gradients are already summed over micro-batches, in order. They are now summed over lanes,
    /// in order, and divided once by the total token count, so the bits do not depend on which
    /// thread ran which lane. If a parameter, a number of the optimiser's state, a gradient or the
    /// loss is not finite, the step is refused: such a number is never written, and so never saved.
    ///
    /// # Errors
    /// [`StepError`]; the state is then exactly as it was before the step.
    pub fn apply(&mut self, plan: &StepPlan) -> Result<StepReport, StepError> {
        if self.lanes.is_stopped() {
            return Err(self.refuse(StepError::Stopped { step: plan.step }));
        }
        let sum = self.lanes.loss_sum();
        if sum.n_tok == 0 {
            return Err(self.refuse(StepError::NoTargets { step: plan.step }));
        }
        let mean = 1.0 / sum.n_tok as f64;
        let loss_nats = sum.nats * mean;
        let (grads, pool) = self.lanes.gradients();
        let norm = self.optimizer.sum_over_lanes(&self.owned.params, grads, pool).sqrt() * mean;
        if !(loss_nats.is_finite() && norm.is_finite()) {
            return Err(self.refuse_not_finite(plan.step, loss_nats, norm));
        }
        let clip = (plan.grad_norm_max as f64 / norm).min(1.0);
        let (grads, pool) = self.lanes.gradients();
        let scale = (mean * clip) as f32;
        self.optimizer.update(&mut self.owned.params, grads, plan.lr, scale, pool);
        self.pack();
        let rows_used = self.active.as_ref().and_then(|active| active.rows_used());
        Ok(StepReport { loss_nats, grad_norm: norm, n_tok: sum.n_tok, rows_used })
    }
}
