//! Exponential tests: sampling weights from scaled logits.

use super::check::{Compared, EXP, U, errors};
use super::constants::constant;
use super::inputs::{Random, numbers, wide, width};
use super::{IN_CACHE, Line, Op, line, no_gradients};
use kernels::Precision;
use kernels::exp::{exp_scaled, naive};

pub const OP: Op = Op { compare, gradients: no_gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let n = width(random);
    let (scale, shift) =
        [(0.4f32, 7.5f32), (1.0, -3.0), (3.0, 0.5), (1.7, -0.3)][random.between(0, 3)];
    let x = random.f32s(n, 10.0);
    let mut y = vec![f32::NAN; n];
    let given = [constant("exp_scaled scale", scale), constant("exp_scaled shift", shift)];
    exp_scaled(&mut y, &x, given[0], given[1]);

    let (x, scale, shift) = (wide(&x), f64::from(scale), f64::from(shift));
    let mut y0 = vec![0.0; n];
    naive::exp_scaled(&mut y0, &x, scale, shift);
    // A difference and a product are rounded before the exponential.
    let error = errors(n, |i| (2.0 * (scale * (x[i] - shift)).abs() + EXP as f64) * U * y0[i]);
    vec![Compared::within("exp_scaled y", &y, y0, error)]
}

/// Flops: an exponential counts as ten.
fn bench() -> Vec<Line> {
    let n = IN_CACHE;
    vec![line("exp_scaled in cache", [12 * n, 8 * n], move || {
        let (x, mut y) = (numbers(n), numbers(n));
        move || exp_scaled(&mut y, &x, 0.8, 1.0)
    })]
}
