//! Dropout tests: the residual addition and its backward pass.

use super::check::{Compared, Gradient, errors, gamma, relative};
use super::constants::constant;
use super::inputs::{Random, numbers, wide, width};
use super::{Line, Op, PLACES, line};
use kernels::Precision;
use kernels::complex::{complex, derivatives, zeros};
use kernels::dropout::{DropMask, dropout_add, dropout_backward, naive};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let mask = DropMask { key: random.bits(), rate: random.between(0, 9) as f32 / 10.0 };
    let (x, branch) = (random.f32s(n, 1.0), random.f32s(n, 1.0));
    let (mut out, mut dbranch) = (vec![f32::NAN; n], vec![f32::NAN; n]);
    let given = DropMask { rate: constant("dropout_add rate", mask.rate), ..mask };
    dropout_add(&mut out, &x, &branch, given);
    let given = DropMask { rate: constant("dropout_backward rate", mask.rate), ..mask };
    dropout_backward(&mut dbranch, &branch, given);

    let (x, branch) = (wide(&x), wide(&branch));
    let (mut out0, mut dbranch0) = (vec![0.0; n], vec![0.0; n]);
    naive::dropout_add(&mut out0, &x, &branch, mask);
    naive::dropout_backward(&mut dbranch0, &branch, mask);
    // The factor is a difference and a division; then a product and a sum.
    let out_error = errors(n, |i| gamma(4) * (x[i].abs() + dbranch0[i].abs()));
    let dbranch_error = relative(&dbranch0, 3);
    vec![
        Compared::within("dropout_add out", &out, out0, out_error),
        Compared::within("dropout_backward dbranch", &dbranch, dbranch0, dbranch_error),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let n = random.between(1, 40);
    let mask = DropMask { key: random.bits(), rate: random.between(0, 9) as f32 / 10.0 };
    let (x, branch, dy) = (random.f64s(n, 1.0), random.f64s(n, 1.0), random.f64s(n, 1.0));
    let mut dbranch = vec![0.0; n];
    naive::dropout_backward(&mut dbranch, &dy, mask);
    let step = derivatives(&dy, &branch, |branch| {
        let mut out = zeros(n);
        naive::dropout_add(&mut out, &complex(&x), branch, mask);
        out
    });
    vec![Gradient { what: "dropout_backward dbranch", backward: dbranch, step }]
}

fn bench() -> Vec<Line> {
    let mask = DropMask { key: 7, rate: 0.1 };
    let lines = PLACES.map(|(place, n)| {
        [
            line(format!("dropout_add {place}"), [2 * n, 12 * n], move || {
                let (x, branch, mut y) = (numbers(n), numbers(n), numbers(n));
                move || dropout_add(&mut y, &x, &branch, mask)
            }),
            line(format!("dropout_backward {place}"), [n, 8 * n], move || {
                let (dy, mut d) = (numbers(n), numbers(n));
                move || dropout_backward(&mut d, &dy, mask)
            }),
        ]
    });
    lines.into_iter().flatten().collect()
}
