//! AdamW in one pass over parameters, moments and gradient (Loshchilov and Hutter, arXiv:1711.05101).

/// The numbers of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamwStep {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled decay: the parameter shrinks by `lr * weight_decay` of itself.
    pub weight_decay: f32,
    /// `1 - beta1^t` with t counted from 1.
    pub bias1: f32,
    /// `1 - beta2^t`.
    pub bias2: f32,
    /// Multiplies the gradient first: `1 / n_tok` and the clipping factor.
    pub grad_scale: f32,
}

/// Updates `p`, `m`, `v` by the gradient `g`.
pub fn adamw_update(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: &AdamwStep) {
    let s = *step;
    for i in 0..p.len() {
        let g = g[i] * s.grad_scale;
        p[i] -= s.lr * s.weight_decay * p[i];
        m[i] = s.beta1 * m[i] + (1.0 - s.beta1) * g;
        v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * g * g;
        let denom = v[i].sqrt() / s.bias2.sqrt() + s.eps;
        p[i] -= s.lr / s.bias1 * (m[i] / denom);
    }
}
