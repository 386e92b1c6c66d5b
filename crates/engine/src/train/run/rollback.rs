//! Rollback of a run that went wrong: back to weights that a good step was taken from, and on with
//! half the learning rate and later batches.
//!
//! Steps keep their numbers: the batches since then are left behind, and no step has two states. What
//! happens depends on the run's state alone, so that a resumed run goes the same way: the weights are
//! those of a checkpoint that was due by the settings, never of one that a stop made.

use super::error::RunError;
use super::open::Run;
use super::save;
use super::watch::{BAD_IN_ROW_MAX, ROLLBACKS_MAX, note_good};
use crate::checkpoint::{CHECKPOINTS_NAME, newest_up_to};
use crate::disk::{LoadError, RealFs};
use crate::train::events::{Event, Notice, Observer};
use crate::train::{StepError, StepReport, Trainer};

/// Accident that a test plants in a step: it is given the step and the number of rollbacks so far.
pub type Accident = Box<dyn FnMut(&mut Trainer, u64, u64) + Send>;

impl Run {
    /// Judges the step on the batch `step`, and goes back after too many bad ones.
    pub(super) fn judge(
        &mut self,
        step: u64,
        result: Result<StepReport, StepError>,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let fault = match result {
            Ok(StepReport { loss_nats, .. }) => {
                self.at.last_loss_nats = Some(loss_nats);
                let fault = self.limits.fault(&self.at.recent_losses, loss_nats);
                if fault.is_none() {
                    note_good(&mut self.at, step, loss_nats);
                }
                fault
            }
            Err(error) => {
                self.at.n_skipped += 1;
                observer.event(&Event::Skipped(&error));
                Some(error.to_string())
            }
        };
        let Some(why) = fault else { return Ok(()) };
        self.at.n_bad_in_row += 1;
        if self.at.n_bad_in_row < BAD_IN_ROW_MAX {
            return Ok(());
        }
        self.roll_back(why, observer)
    }

    /// Goes back to the newest proven state, or to the initial one.
    ///
    /// # Errors
    /// [`RunError::Diverged`] if that was done too often; errors of reading the checkpoint.
    pub(super) fn roll_back(
        &mut self,
        why: String,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        self.saver.wait();
        self.report_saves(observer);
        let n = self.at.n_rollbacks;
        if n >= ROLLBACKS_MAX {
            return Err(RunError::Diverged { step: self.step, n_rollbacks: n, why });
        }
        let to = self.restore_proven()?;
        let at = &mut self.at;
        at.n_rollbacks += 1;
        at.n_bad_in_row = 0;
        at.unproven_step = None;
        let (from, n) = (self.step, at.n_rollbacks);
        observer.event(&Event::Noticed(&Notice::RolledBack {
            from,
            to,
            n,
            of: ROLLBACKS_MAX,
            why,
        }));
        Ok(())
    }

    /// Restores the newest proven state; returns its step.
    fn restore_proven(&mut self) -> Result<u64, RunError> {
        let found = match self.at.proven_step {
            None => None,
            // An older one, if that checkpoint could not be written or is damaged.
            Some(step) => match newest_up_to(&RealFs, &self.dir.join(CHECKPOINTS_NAME), step) {
                Ok(found) => Some(found),
                Err(LoadError::NoCheckpoint { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let Some(found) = found else {
            self.machine.begin_again()?;
            return Ok(0);
        };
        let facts = &found.manifest.facts;
        save::load_state(&found.path, &mut self.machine.trainer, facts.state.n_updates)?;
        Ok(facts.step)
    }

    /// Refuses the end of a run that learnt nothing.
    ///
    /// Held-out loss alone may be high because a small text was learnt by heart; a run that went
    /// wrong has a high loss on its own text too.
    ///
    /// # Errors
    /// [`RunError::WorseThanGuessing`].
    pub(super) fn check_end(&self, all_held_out: Option<f64>) -> Result<(), RunError> {
        let held_out = all_held_out.or(self.val_loss_nats);
        let is_warm = self.step > self.machine.config.train.warmup_steps;
        let Some(last) = self.at.last_loss_nats.filter(|_| is_warm) else { return Ok(()) };
        let loss = held_out.unwrap_or(last);
        let is_bad =
            !loss.is_finite() || self.limits.is_guessing(last) && self.limits.is_guessing(loss);
        if is_bad {
            let guessing = self.limits.guessing;
            return Err(RunError::WorseThanGuessing { loss, guessing });
        }
        Ok(())
    }
}
