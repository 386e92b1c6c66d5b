//! History of updates: the combined effect of the updates that a row missed, in closed form, from
//! their learning rates and their number (`docs/lazy-adamw.md`).

use super::{AdamWOptions, bias_correction};
use kernels::adamw::IdleUpdates;
use std::collections::VecDeque;

/// Most updates that a row may miss. It is then active in one without a gradient, so that only
/// this many learning rates need be kept.
pub const MAX_IDLE: usize = 256;

/// Learning rates and bias corrections of the last [`MAX_IDLE`] updates.
#[derive(Debug)]
pub struct History {
    options: AdamWOptions,
    /// Oldest first.
    updates: VecDeque<Update>,
}

/// One update: the part that all parameters have in common.
#[derive(Clone, Copy, Debug)]
struct Update {
    lr: f32,
    /// Learning rate with both bias corrections: the factor of `m / sqrt(v)`.
    rate: f64,
    /// Root of the second moment's bias correction: the factor of `eps` next to `sqrt(v)`.
    root_bias2: f64,
}

/// Combined effect of `n` updates with zero gradient.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Number of updates.
    pub n: usize,
    /// Their effect on parameters.
    pub updates: IdleUpdates,
    /// Their effect on the first moment: a factor.
    pub keep1: f32,
    /// Their effect on the second moment: a factor.
    pub keep2: f32,
}

impl Idle {
    /// No updates: the identity.
    pub const NONE: Idle = Idle {
        n: 0,
        updates: IdleUpdates { decay: 0.0, drift: 0.0, eps: 0.0 },
        keep1: 1.0,
        keep2: 1.0,
    };
}

impl History {
    /// An empty history.
    pub fn new(options: AdamWOptions) -> History {
        History { options, updates: VecDeque::with_capacity(MAX_IDLE) }
    }

    /// Forgets all updates.
    pub fn clear(&mut self) {
        self.updates.clear();
    }

    /// Appends update number `n`, counted from 1.
    pub fn push(&mut self, n: u64, lr: f32) {
        if self.updates.len() == MAX_IDLE {
            self.updates.pop_front();
        }
        let bias = |beta| bias_correction(beta, n);
        let AdamWOptions { beta1, beta2, .. } = self.options;
        let root_bias2 = bias(beta2).sqrt();
        let rate = lr as f64 * root_bias2 / bias(beta1);
        self.updates.push_back(Update { lr, rate, root_bias2 });
    }

    /// Learning rates, the newest last.
    pub fn rates(&self) -> impl ExactSizeIterator<Item = f32> {
        self.updates.iter().map(|update| update.lr)
    }

    /// Writes to `idle[n]` the combined effect of the last `n` updates on a row with this weight
    /// decay, for as many updates as are known.
    pub fn write_idle(&self, weight_decay: f32, idle: &mut [Idle]) {
        let AdamWOptions { beta1, beta2, eps, .. } = self.options;
        let [beta1, beta2, eps] = [beta1, beta2, eps].map(f64::from);
        let fade = beta1 / beta2.sqrt();
        // Going back one more update adds an older one in front: all later ones act as before, on
        // moments that have decayed by one more update.
        let (mut decay, mut drift, mut keep1, mut keep2) = (1.0, 0.0, 1.0, 1.0);
        // The drift due to `eps` alone: as the root of the second moment decays, `eps` weighs more.
        let mut of_eps = 0.0;
        let mut older = self.updates.iter().rev();
        for (n, idle) in idle.iter_mut().enumerate() {
            let eps = if drift > 0.0 { eps * of_eps / drift } else { eps };
            let (loss, eps) = ((decay - 1.0) as f32, eps as f32);
            *idle = Idle {
                n,
                updates: IdleUpdates { decay: loss, drift: drift as f32, eps },
                keep1: keep1 as f32,
                keep2: keep2 as f32,
            };
            let Some(Update { lr, rate, root_bias2 }) = older.next() else { return };
            drift = fade * (rate * decay + drift);
            of_eps = beta1 / beta2 * (rate * root_bias2 * decay + of_eps);
            decay *= 1.0 - *lr as f64 * weight_decay as f64;
            keep1 *= beta1;
            keep2 *= beta2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::adamw::{AdamwStep, naive};
    use kernels::rng::{Purpose, Rng};

    const DECAY: f32 = 0.1;

    /// A learning rate that warms up, stays and decays.
    fn lr(update: u64) -> f32 {
        crate::train::Schedule { lr: 1e-2, n_steps: 700, warmup_steps: 40, decay_steps: 400 }
            .at(update - 1)
    }

    /// State of a row after update number `last`: parameters, first and second moments.
    type Row = [Vec<f64>; 3];

    fn row(seed: u64, gradient: f64) -> Row {
        let n = 40;
        let normal = |stream: u64, std: f64| {
            let mut values = vec![0.0f32; n];
            Rng::new(seed, Purpose::Test, stream).fill_normal(&mut values, 0, std);
            values
        };
        let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<_>>();
        let least = 0.1 * gradient as f32;
        let v = normal(2, gradient).iter().map(|g| 0.05 * g.abs().max(least).powi(2)).collect();
        [wide(normal(0, 0.05)), wide(normal(1, 0.3 * gradient)), wide(v)]
    }

    /// The definition: one dense update after another, each with zero gradient.
    fn one_by_one(row: &Row, last: u64, n: u64, eps: f32) -> Row {
        let [mut p, mut m, mut v] = row.clone();
        let zero = vec![0.0; p.len()];
        for update in last + 1..=last + n {
            let AdamWOptions { beta1, beta2, .. } = AdamWOptions::default();
            let step = AdamwStep {
                lr: lr(update),
                beta1,
                beta2,
                eps,
                weight_decay: DECAY,
                bias1: bias_correction(beta1, update) as f32,
                bias2: bias_correction(beta2, update) as f32,
                grad_scale: 1.0,
                idle1: 1.0,
                idle2: 1.0,
            };
            naive::adamw_update(&mut p, &mut m, &mut v, &zero, &step);
        }
        [p, m, v]
    }

    fn at_once(row: &Row, last: u64, n: u64, eps: f32) -> Row {
        let mut history = History::new(AdamWOptions { eps, ..AdamWOptions::default() });
        (1..=last + n).for_each(|update| history.push(update, lr(update)));
        let mut idle = vec![Idle::NONE; MAX_IDLE + 1];
        history.write_idle(DECAY, &mut idle);
        apply(row, idle[n as usize])
    }

    fn apply(row: &Row, idle: Idle) -> Row {
        let [mut p, mut m, mut v] = row.clone();
        naive::adamw_idle(&mut p, &m, &v, idle.updates);
        m.iter_mut().for_each(|m| *m *= idle.keep1 as f64);
        v.iter_mut().for_each(|v| *v *= idle.keep2 as f64);
        [p, m, v]
    }

    /// The first number that is further from the definition than rounding explains, plus, for
    /// parameters, the error due to `eps`: the closed form is exact to first order in `x = eps /
    /// sqrt(v)`.
    ///
    /// The remainder is at most `x^2 * rate * m / sqrt(v)` times the sum of `(beta1 /
    /// beta2^1.5)^j`, which is 35 (`docs/lazy-adamw.md`).
    fn mismatch(row: &Row, found: &Row, expected: &Row, eps: f32) -> Option<String> {
        let (rounding, largest_rate) = (4.0 * f32::EPSILON as f64, 2.3 * 1e-2);
        for i in 0..row[0].len() {
            let [p, m, v] = [0, 1, 2].map(|part| row[part][i]);
            let drift = 18.0 * largest_rate * m.abs() / v.sqrt();
            let of_eps = 35.0 * largest_rate * m.abs() / v.sqrt() * (eps as f64).powi(2) / v;
            let of_parameter = rounding * (p.abs() + drift) + of_eps;
            for part in 0..3 {
                let (found, expected) = (found[part][i], expected[part][i]);
                let bound = if part == 0 { of_parameter } else { rounding * expected.abs() };
                if (found - expected).abs() > bound {
                    return Some(format!("{i}: {found} in part {part}, expected {expected}"));
                }
            }
        }
        None
    }

    const GAPS: [(u64, u64); 9] =
        [(1, 1), (1, 7), (1, 256), (3, 40), (30, 1), (30, 100), (250, 256), (300, 2), (440, 255)];

    #[test]
    fn combined_updates_equal_one_update_after_another() {
        for (seed, (last, n)) in (0..).zip(GAPS) {
            // Gradients from large to those where eps is half of the second moment's root.
            for gradient in [1.0, 1e-3, 1e-6] {
                let (row, eps) = (row(seed, gradient), 1e-8);
                let found = at_once(&row, last, n, eps);
                let expected = one_by_one(&row, last, n, eps);
                let what = format!("{n} updates after {last}, gradients of {gradient}");
                assert_eq!(mismatch(&row, &found, &expected, eps), None, "{what}");
            }
        }
    }

    /// Catching up in two parts equals catching up at once.
    #[test]
    fn catching_up_in_two_parts_changes_nothing() {
        for n in [1, 10, 99] {
            let (row, eps) = (row(1, 1e-2), 1e-20);
            let half = at_once(&row, 50, n, eps);
            let found = at_once(&half, 50 + n, 100 - n, eps);
            assert_eq!(mismatch(&row, &found, &at_once(&row, 50, 100, eps), eps), None, "{n}");
        }
    }

    #[test]
    fn planted_errors_are_found() {
        let (row, eps, last, n) = (row(1, 1e-2), 1e-20, 30, 100);
        let new = || History::new(AdamWOptions { eps, ..AdamWOptions::default() });
        let mut history = new();
        (1..=last + n).for_each(|update| history.push(update, lr(update)));
        let mut idle = vec![Idle::NONE; MAX_IDLE + 1];
        history.write_idle(DECAY, &mut idle);
        let (right, expected) = (idle[n as usize], one_by_one(&row, last, n, eps));
        assert_eq!(mismatch(&row, &apply(&row, right), &expected, eps), None);
        let with = |change: fn(&mut Idle)| {
            let mut wrong = right;
            change(&mut wrong);
            wrong
        };
        let wrong = [
            idle[n as usize - 1],
            idle[n as usize + 1],
            with(|idle| idle.updates.decay = 0.0),
            with(|idle| idle.updates.drift = 0.0),
            with(|idle| idle.updates.drift *= 1.0001),
            with(|idle| idle.updates.eps = 1e-6),
            with(|idle| idle.updates.decay *= 1.0001),
            with(|idle| idle.keep1 = 1.0),
            with(|idle| idle.keep2 *= 1.00001),
        ];
        for wrong in wrong {
            assert!(mismatch(&row, &apply(&row, wrong), &expected, eps).is_some(), "{wrong:?}");
        }
        // A history in the wrong order, and one without bias corrections.
        let mut other = new();
        (1..=last + n).for_each(|update| other.push(update, lr(last + n + 1 - update)));
        other.write_idle(DECAY, &mut idle);
        assert!(mismatch(&row, &apply(&row, idle[n as usize]), &expected, eps).is_some());
        let mut other = new();
        (1..=last + n).for_each(|update| other.push(10_000 + update, lr(update)));
        other.write_idle(DECAY, &mut idle);
        assert!(mismatch(&row, &apply(&row, idle[n as usize]), &expected, eps).is_some());
    }
}
