//! AdamW optimiser: one fused update of parameters and moments, and the catch-up of many updates
//! with gradient zero at once.
//!
//! Loshchilov and Hutter, 2019, arXiv:1711.05101, in PyTorch's order of operations: weight decay
//! first, `eps` added outside the square root of the bias-corrected second moment.

use crate::arch::{Arch, dispatch};
use crate::loops::map;

/// Coefficients of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamwStep {
    /// Learning rate.
    pub lr: f32,
    /// Decay rate of the first moment.
    pub beta1: f32,
    /// Decay rate of the second moment.
    pub beta2: f32,
    /// Added to the square root of the bias-corrected second moment.
    pub eps: f32,
    /// Decoupled weight decay: the parameter is first reduced by `lr * weight_decay` of itself.
    pub weight_decay: f32,
    /// Bias correction of the first moment: `1 - beta1^t`, with t counted from 1.
    pub bias1: f32,
    /// Bias correction of the second moment: `1 - beta2^t`.
    pub bias2: f32,
    /// Factor on the gradient: `1 / n_tok` times the factor of gradient clipping.
    pub grad_scale: f32,
    /// Decay of the stored first moment by the `n` pending updates (gradient zero) since it was
    /// written: `beta1^n`, or 1 if there are none.
    pub idle1: f32,
    /// The same for the second moment: `beta2^n`.
    pub idle2: f32,
}

/// Combined effect on the parameters of several updates with gradient zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IdleUpdates {
    /// Relative change of a parameter by weight decay (at most 0); 0 without weight decay.
    pub decay: f32,
    /// Step along the first moment, in units of `m / (sqrt(v) + eps)`.
    pub drift: f32,
    /// Added to the square root of the second moment.
    pub eps: f32,
}

/// Updates the parameters `p` and the moments `m` and `v` with the gradient `g`.
///
/// With `g' = grad_scale * g`: `p -= lr * weight_decay * p`,
/// `m = beta1 * idle1 * m + (1 - beta1) * g'`, `v = beta2 * idle2 * v + (1 - beta2) * g'^2`,
/// `p -= lr / bias1 * m / (sqrt(v) / sqrt(bias2) + eps)`.
/// Cost: reads 16 bytes and writes 12 per parameter; a square root and a division.
///
/// # Panics
/// If the lengths differ.
pub fn adamw_update(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: &AdamwStep) {
    for len in [p.len(), m.len(), v.len()] {
        assert_eq!(len, g.len(), "adamw_update: p, m, v and g differ in length");
    }
    dispatch!(arch => update(arch, p, m, v, g, *step))
}

#[inline(always)]
fn update<A: Arch>(arch: A, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], s: AdamwStep) {
    let (decay, rate) = (-(s.lr * s.weight_decay), -(s.lr / s.bias1));
    let (old1, old2) = (s.beta1 * s.idle1, s.beta2 * s.idle2);
    let (new1, new2, root_bias2) = (1.0 - s.beta1, 1.0 - s.beta2, 1.0 / s.bias2.sqrt());
    map(arch, [p, m, v], g, |[p, m, v], g| {
        let g = g * s.grad_scale;
        let m = arch.mul_add(old1, m, new1 * g);
        let v = arch.mul_add(old2, v, new2 * g * g);
        let denom = arch.mul_add(v.sqrt(), root_bias2, s.eps);
        [arch.mul_add(rate, m / denom, arch.mul_add(decay, p, p)), m, v]
    });
}

/// Applies the combined effect of updates with gradient zero to the parameters `p`. The moments `m`
/// and `v` are those before these updates and are not changed: [`adamw_update`] applies their decay.
///
/// `p += decay * p - drift * m / (sqrt(v) + eps)`. Cost: reads 12 bytes and writes 4 per parameter,
/// a square root and a division, for any number of updates.
///
/// # Panics
/// If the lengths differ.
pub fn adamw_idle(p: &mut [f32], m: &[f32], v: &[f32], idle: IdleUpdates) {
    assert!(p.len() == m.len() && p.len() == v.len(), "adamw_idle: p, m and v differ in length");
    let IdleUpdates { decay, drift, eps } = idle;
    dispatch!(arch => map(
        arch,
        [p],
        (m, v),
        #[inline(always)]
        |[p], (m, v)| [arch.mul_add(-drift, m / (v.sqrt() + eps), arch.mul_add(decay, p, p))],
    ))
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::{AdamwStep, IdleUpdates};

    /// Definition of [`super::adamw_update`], on f64.
    pub fn adamw_update(p: &mut [f64], m: &mut [f64], v: &mut [f64], g: &[f64], s: &AdamwStep) {
        let [lr, beta1, beta2, eps, weight_decay, bias1, bias2, grad_scale] =
            [s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.bias1, s.bias2, s.grad_scale]
                .map(f64::from);
        let [idle1, idle2] = [s.idle1, s.idle2].map(f64::from);
        for i in 0..g.len() {
            let g = grad_scale * g[i];
            p[i] -= lr * weight_decay * p[i];
            m[i] = beta1 * idle1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * idle2 * v[i] + (1.0 - beta2) * g * g;
            p[i] -= lr / bias1 * m[i] / (v[i].sqrt() / bias2.sqrt() + eps);
        }
    }

    /// Definition of [`super::adamw_idle`], on f64.
    pub fn adamw_idle(p: &mut [f64], m: &[f64], v: &[f64], idle: IdleUpdates) {
        let [decay, drift, eps] = [idle.decay, idle.drift, idle.eps].map(f64::from);
        for i in 0..p.len() {
            p[i] += decay * p[i] - drift * m[i] / (v[i].sqrt() + eps);
        }
    }
}
