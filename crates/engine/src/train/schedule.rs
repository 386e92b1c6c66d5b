//! Learning-rate schedule: warm-up, constant rate, linear decay to zero (WSD).

use serde::{Deserialize, Serialize};

/// A schedule over a given number of steps; a pure function of the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Peak rate.
    pub lr: f32,
    /// Number of steps of the run.
    pub n_steps: u64,
    /// Steps of the linear warm-up.
    pub warmup_steps: u64,
    /// Steps of the linear decay at the end.
    pub decay_steps: u64,
}

impl Schedule {
    /// Rate of step `step` (from 0); never 0.
    pub fn at(&self, step: u64) -> f32 {
        let warm = (step + 1) as f32 / self.warmup_steps.max(1) as f32;
        let left = self.n_steps.saturating_sub(step).max(1) as f32;
        let decay = left / self.decay_steps.max(1) as f32;
        self.lr * warm.min(decay).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_stays_and_decays() {
        let schedule = Schedule { lr: 1.0, n_steps: 100, warmup_steps: 10, decay_steps: 50 };
        assert_eq!(schedule.at(0), 0.1);
        assert_eq!(schedule.at(9), 1.0);
        assert_eq!(schedule.at(50), 1.0);
        assert_eq!(schedule.at(75), 0.5);
        assert_eq!(schedule.at(99), 1.0 / 50.0);
    }

    #[test]
    fn a_schedule_without_warm_up_or_decay_is_constant() {
        let schedule = Schedule { lr: 0.5, n_steps: 3, warmup_steps: 0, decay_steps: 0 };
        assert!((0..5).all(|step| schedule.at(step) == 0.5));
    }
}
