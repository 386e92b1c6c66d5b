//! Watch over the losses of a run: which of its steps are bad, and whether it learnt anything.

use crate::checkpoint::RunState;

/// Bad steps in a row after which a run goes back.
pub(super) const BAD_IN_ROW_MAX: u64 = 5;

/// Times that a run goes back, each time to half the learning rate, before it ends as diverged.
pub(super) const ROLLBACKS_MAX: u64 = 3;

/// Losses of good steps that a new one is compared with.
const RECENT: usize = 32;

/// Fewest losses from which a usual one can be told.
const RECENT_MIN: usize = 16;

/// Standard deviations of normally distributed numbers in their median absolute deviation.
const DEVIATIONS: f64 = 1.4826;

/// Nats above guessing from which a run has learnt nothing; an untrained model is this close to it.
const GUESSING_MARGIN: f64 = 0.1;

/// What a loss is compared with.
#[derive(Clone, Copy, Debug)]
pub struct LossLimits {
    /// Loss of a model that gives every token the same probability.
    pub guessing: f64,
    /// A higher loss is bad, whatever came before it.
    pub highest: f64,
    /// A loss is bad if it is this many deviations above the usual one, but at least
    pub deviations: f64,
    /// so many nats,
    pub nats_min: f64,
    /// and no more than so many: losses that fall quickly have a large deviation.
    pub nats_max: f64,
}

impl LossLimits {
    /// LossLimits for a vocabulary of this size: healthy training stays far below them, since one loss
    /// beyond them means little, and a rollback needs several in a row.
    pub fn of(vocab_size: usize) -> LossLimits {
        let guessing = (vocab_size.max(1) as f64).ln();
        let highest = 2.0 * guessing + 4.0;
        LossLimits { guessing, highest, deviations: 8.0, nats_min: 0.5, nats_max: guessing }
    }

    /// Why `loss` is bad after the `recent` losses of good steps, if it is.
    ///
    /// One-sided, and robust: the median and the median absolute deviation do not follow outliers.
    pub fn fault(&self, recent: &[f64], loss: f64) -> Option<String> {
        if loss.is_nan() || loss > self.highest {
            return Some(format!("the loss was {loss:.3}, guessing has {:.3}", self.guessing));
        }
        if recent.len() < RECENT_MIN {
            return None;
        }
        let usual = median(recent.iter().copied());
        let deviation = DEVIATIONS * median(recent.iter().map(|x| (x - usual).abs()));
        let above = (self.deviations * deviation).min(self.nats_max).max(self.nats_min);
        let limit = usual + above;
        (loss > limit).then(|| format!("the loss was {loss:.3}, {usual:.3} is usual"))
    }

    /// Whether a loss at the end of training is worse than guessing.
    pub fn is_guessing(&self, loss: f64) -> bool {
        loss.is_nan() || loss > self.guessing + GUESSING_MARGIN
    }
}

/// Median of up to [`RECENT`] numbers, without allocation.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sorted, mut n) = ([0.0; RECENT], 0);
    values.take(RECENT).for_each(|x| {
        sorted[n] = x;
        n += 1;
    });
    sorted[..n].sort_by(f64::total_cmp);
    sorted[n / 2]
}

/// Notes a good step on the batch `step`: only losses of good steps become usual, and a state that a
/// good step was taken from is one to go back to.
pub(super) fn note_good(at: &mut RunState, step: u64, loss: f64) {
    at.n_bad_in_row = 0;
    if at.recent_losses.len() >= RECENT {
        at.recent_losses.remove(0);
    }
    at.recent_losses.push(loss);
    if at.unproven_step == Some(step) {
        at.proven_step = at.unproven_step.take();
    }
}

/// Share of the schedule's learning rate: halved by each rollback.
pub(super) fn rate(at: &RunState) -> f32 {
    0.5f32.powi(at.n_rollbacks.min(ROLLBACKS_MAX) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(n: usize) -> Vec<f64> {
        (0..n).map(|i| 3.0 + 0.1 * ((i * 7 % 5) as f64 - 2.0)).collect()
    }

    #[test]
    fn a_loss_far_above_the_usual_one_is_bad_and_one_below_is_not() {
        let (limits, recent) = (LossLimits::of(65), noisy(RECENT));
        for good in [0.0, 1.0, 3.0, 3.3, 4.1] {
            assert_eq!(limits.fault(&recent, good), None, "{good}");
        }
        for bad in [4.3, 6.0, 100.0, f64::NAN, f64::INFINITY] {
            assert!(limits.fault(&recent, bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_unusual_before_enough_was_seen_except_what_no_training_has() {
        let limits = LossLimits::of(65);
        assert_eq!(limits.fault(&noisy(RECENT_MIN - 1), 8.0), None);
        assert!(limits.fault(&noisy(RECENT_MIN), 8.0).is_some());
        assert!(limits.fault(&[], 12.5).is_some());
    }

    #[test]
    fn a_few_outliers_do_not_change_what_is_usual() {
        let mut recent = noisy(RECENT);
        recent[3..9].fill(7.0);
        // By mean and standard deviation 6.0 would be usual.
        assert!(LossLimits::of(65).fault(&recent, 6.0).is_some());
    }

    /// Equal losses have no deviation: small changes must stay good.
    #[test]
    fn a_constant_loss_may_rise_a_little() {
        let recent = [0.001; RECENT];
        assert_eq!(LossLimits::of(65).fault(&recent, 0.4), None);
        assert!(LossLimits::of(65).fault(&recent, 0.6).is_some());
    }

    #[test]
    fn the_window_keeps_the_newest_and_a_state_is_proven_by_a_good_step_from_it() {
        let mut at = RunState { unproven_step: Some(39), ..RunState::default() };
        for step in 0..40 {
            assert_eq!(at.proven_step, None);
            note_good(&mut at, step, step as f64);
        }
        assert_eq!((at.proven_step, at.unproven_step), (Some(39), None));
        assert_eq!(at.recent_losses, (8..40).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn each_rollback_halves_the_rate() {
        let rates = [0, 1, 2, 3, 1 << 40]
            .map(|n_rollbacks| rate(&RunState { n_rollbacks, ..RunState::default() }));
        assert_eq!(rates, [1.0, 0.5, 0.25, 0.125, 0.125]);
    }
}
