//! AdamW tests: one update, and many updates with gradient zero at once.

use super::check::{Compared, U, errors, gamma, relative};
use super::constants::constant;
use super::inputs::{Random, numbers, wide, width};
use super::{IN_MEMORY, Line, Op, line, no_gradients};
use kernels::Precision;
use kernels::adamw::{AdamwStep, IdleUpdates, adamw_idle, adamw_update, naive};

pub const OP: Op = Op { compare, gradients: no_gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let update = compare_update(random);
    update.into_iter().chain(compare_idle(random)).collect()
}

fn compare_update(random: &mut Random) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let t = random.between(1, 30) as i32;
    let (beta1, beta2) = (0.9f32, 0.95f32);
    let (bias1, bias2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
    let (lr, weight_decay, grad_scale) = (1e-2, 0.1, 0.3);
    let n_idle = random.between(0, 3) as i32;
    let (idle1, idle2) = (beta1.powi(n_idle), beta2.powi(n_idle));
    let step = AdamwStep {
        lr,
        beta1,
        beta2,
        eps: 1e-8,
        weight_decay,
        bias1,
        bias2,
        grad_scale,
        idle1,
        idle2,
    };
    let size = moment_size(random);
    let (p_old, m_old, g) = (random.f32s(n, 1.0), random.f32s(n, size), random.f32s(n, size));
    let v_old = squares(&random.f32s(n, size));
    let (mut p, mut m, mut v) = (p_old.clone(), m_old.clone(), v_old.clone());
    adamw_update(&mut p, &mut m, &mut v, &g, &as_given(&step));

    let (mut p0, mut m0, mut v0) = (wide(&p_old), wide(&m_old), wide(&v_old));
    naive::adamw_update(&mut p0, &mut m0, &mut v0, &wide(&g), &step);
    // The scaled gradient, 1 - beta (or beta * idle for the old moment), their product, a sum; for
    // v one more of each of the first two.
    let m_terms = errors(n, |i| {
        let new = (1.0 - f64::from(beta1)) * f64::from(g[i] * grad_scale);
        f64::from(beta1 * idle1 * m_old[i]).abs() + new.abs() * (1.0 + 4.0 * U)
    });
    let p_error = errors(n, |i| {
        // The root of v, its correction (3 roundings), eps; the rate, a division, product and sum.
        let denom = v0[i].sqrt() / f64::from(bias2).sqrt() + 1e-8;
        let change = f64::from(lr / bias1) * m_terms[i] / denom;
        // The decay, its product, two sums.
        gamma(4 + 8 + 4) * change + gamma(4) * f64::from(p_old[i]).abs() * (1.0 + 1e-3)
    });
    let (m_error, v_error) = (relative(&m_terms, 5), relative(&v0, 6));
    vec![
        Compared::within("adamw_update p", &p, p0, p_error),
        Compared::within("adamw_update m", &m, m0, m_error),
        Compared::within("adamw_update v", &v, v0, v_error),
    ]
}

/// Sizes of gradients, from far above eps to far below it: near it, eps decides how far a step goes.
fn moment_size(random: &mut Random) -> f32 {
    [1.0, 1e-3, 1e-7, 1e-8, 1e-10][random.between(0, 4)]
}

fn squares(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| x * x).collect()
}

/// The constants as the kernel gets them.
fn as_given(step: &AdamwStep) -> AdamwStep {
    AdamwStep {
        lr: constant("adamw_update lr", step.lr),
        beta1: constant("adamw_update beta1", step.beta1),
        beta2: constant("adamw_update beta2", step.beta2),
        eps: constant("adamw_update eps", step.eps),
        weight_decay: constant("adamw_update weight_decay", step.weight_decay),
        bias1: constant("adamw_update bias1", step.bias1),
        bias2: constant("adamw_update bias2", step.bias2),
        grad_scale: constant("adamw_update grad_scale", step.grad_scale),
        idle1: constant("adamw_update idle1", step.idle1),
        idle2: constant("adamw_update idle2", step.idle2),
    }
}

fn compare_idle(random: &mut Random) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let size = moment_size(random);
    let (p_old, m) = (random.f32s(n, 1.0), random.f32s(n, size));
    let v = squares(&random.f32s(n, size));
    let idle = IdleUpdates { decay: -random.f32s(1, 0.1)[0].abs(), drift: 0.03, eps: 1e-8 };
    let mut p = p_old.clone();
    let given = IdleUpdates {
        decay: constant("adamw_idle decay", idle.decay),
        drift: constant("adamw_idle drift", idle.drift),
        eps: constant("adamw_idle eps", idle.eps),
    };
    adamw_idle(&mut p, &m, &v, given);

    let (mut p0, m, v) = (wide(&p_old), wide(&m), wide(&v));
    naive::adamw_idle(&mut p0, &m, &v, idle);
    // The root, eps, a division, a product and a sum; the decay's product and two sums.
    let p_error = errors(n, |i| {
        let change = f64::from(idle.drift) * m[i].abs() / (v[i].sqrt() + f64::from(idle.eps));
        gamma(5) * change + gamma(3) * f64::from(p_old[i]).abs() * (1.0 - f64::from(idle.decay))
    });
    vec![Compared::within("adamw_idle p", &p, p0, p_error)]
}

fn bench() -> Vec<Line> {
    let step = AdamwStep {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        bias1: 0.1,
        bias2: 0.05,
        grad_scale: 0.5,
        idle1: 1.0,
        idle2: 1.0,
    };
    let idle = IdleUpdates { decay: -1e-4, drift: 1e-3, eps: 1e-8 };
    let lines = [("in cache", 8 << 10), ("in memory", IN_MEMORY)].map(|(place, n)| {
        [
            line(format!("adamw_update {place}"), [18 * n, 28 * n], move || {
                let (mut p, mut m, mut v, g) = (numbers(n), vec![0.0; n], vec![0.0; n], numbers(n));
                move || adamw_update(&mut p, &mut m, &mut v, &g, &step)
            }),
            line(format!("adamw_idle {place}"), [7 * n, 16 * n], move || {
                let (mut p, m, v) = (numbers(n), vec![0.0; n], vec![0.0; n]);
                move || adamw_idle(&mut p, &m, &v, idle)
            }),
        ]
    });
    lines.into_iter().flatten().collect()
}
