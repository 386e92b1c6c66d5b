//! RMSNorm tests: rows normalised forward and backward.

use super::check::{Compared, Gradient, U, errors, gamma, relative, sum_depth};
use super::constants::constant;
use super::inputs::{Cells, Random, numbers, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::complex::{Complex, complex, derivatives, zeros};
use kernels::rmsnorm::{naive, rmsnorm_backward, rmsnorm_forward};
use kernels::{Accum, Precision, RowsMut};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

const EPS: f32 = 1e-5;

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let forward = compare_forward(random, precision);
    forward.into_iter().chain(compare_backward(random)).collect()
}

/// `rstd`: a square, a sum, the mean, eps (all positive), then a root and a division.
pub fn rstd_roundings(cols: usize) -> usize {
    sum_depth(cols) + 5
}

/// Sizes of normalised numbers, whose squares are above, near and below eps.
pub fn norm_size(random: &mut Random) -> f32 {
    [3.0, 3.0, 3e-3, 1e-5][random.between(0, 3)]
}

fn compare_forward(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (rows, cols) = (random.between(0, 4), width(random));
    let n = rows * cols;
    let size = norm_size(random);
    let (x, weight) = (random.f32s(n, size), random.f32s(cols, 2.0));
    let eps = constant("rmsnorm_forward eps", EPS);
    let mut rstd = vec![f32::NAN; rows];
    let y = Cells::written(n, precision, |y| rmsnorm_forward(y, &mut rstd, &x, &weight, eps));

    let (mut y0, mut rstd0) = (vec![0.0; n], vec![0.0; rows]);
    let (x, weight) = (wide(&x), wide(&weight));
    naive::rmsnorm_forward(&mut y0, &mut rstd0, &x, &weight, EPS.into());
    let depth = rstd_roundings(cols);
    let (y_error, rstd_error) = (relative(&y0, depth + 2), relative(&rstd0, depth));
    vec![
        Compared::rounded("rmsnorm_forward y", &y, y0, y_error),
        Compared::within("rmsnorm_forward rstd", &rstd, rstd0, rstd_error),
    ]
}

/// Rounding error of one row of the gradient `rstd * (dy * w - n * mean(dy * w * n))`.
///
/// Roundings of a term of the mean: 2 products, the sum, the mean, 2 products by `rstd`, one by `n`;
/// then a difference, a product by `rstd` and the addition to the former contents.
pub fn norm_backward_error(dy: &[f64], weight: &[f64], n: &[f64], rstd: f64) -> Vec<f64> {
    let cols = weight.len();
    let g = |c: usize| (dy[c] * weight[c]).abs();
    let mean = (0..cols).map(|c| g(c) * n[c].abs()).sum::<f64>() / cols as f64;
    errors(cols, |c| gamma(sum_depth(cols) + 9) * rstd.abs() * (g(c) + n[c].abs() * mean))
}

fn compare_backward(random: &mut Random) -> Vec<Compared> {
    let (rows, cols) = (random.between(0, 4), width(random));
    let n = rows * cols;
    let (x, dy, weight) = (random.f32s(n, 3.0), random.f32s(n, 1.0), random.f32s(cols, 2.0));
    let (old, other) = (random.f32s(n, 1.0), random.f32s(n, 1.0));
    let old_dweight = random.f32s(cols, 1.0);
    let rstd: Vec<f32> = random.f32s(rows, 0.5).iter().map(|r| 1.0 + r).collect();

    let (x0, dy0, weight0, rstd0) = (wide(&x), wide(&dy), wide(&weight), wide(&rstd));
    let (mut dx0, mut dweight0) = (vec![0.0; n], wide(&old_dweight));
    naive::rmsnorm_backward(&mut dx0, &mut dweight0, &dy0, &x0, &weight0, &rstd0);
    let normed = errors(n, |i| x0[i] * rstd0[i / cols]);
    let dx_error: Vec<f64> = (0..rows)
        .flat_map(|r| {
            let row = r * cols..(r + 1) * cols;
            norm_backward_error(&dy0[row.clone()], &weight0, &normed[row], rstd0[r])
        })
        .collect();
    let dweight_error = errors(cols, |c| {
        let terms = (0..rows).map(|r| (dy0[r * cols + c] * normed[r * cols + c]).abs());
        gamma(rows + 2) * (f64::from(old_dweight[c]).abs() + terms.sum::<f64>())
    });

    let mut outputs = Vec::new();
    for (what, accum, added) in [
        ("rmsnorm_backward dx, replaced", Accum::Replace, vec![0.0; n]),
        ("rmsnorm_backward dx, added", Accum::Add, wide(&old)),
        ("rmsnorm_backward dx, plus another", Accum::Plus(&other), wide(&other)),
    ] {
        let mut dx = if let Accum::Add = accum { old.clone() } else { vec![f32::NAN; n] };
        let mut dweight = old_dweight.clone();
        rmsnorm_backward(&mut dx, &mut dweight, &dy, &x, &weight, &rstd, accum);
        let expected = errors(n, |i| added[i] + dx0[i]);
        let error = errors(n, |i| dx_error[i] + U * added[i].abs());
        outputs.push(Compared::within(what, &dx, expected, error));
        let (dw0, error) = (dweight0.clone(), dweight_error.clone());
        outputs.push(Compared::within("rmsnorm_backward dweight", &dweight, dw0, error));
    }
    outputs
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 4), random.between(1, 19));
    let n = rows * cols;
    let (x, weight, dy) = (random.f64s(n, 2.0), random.f64s(cols, 2.0), random.f64s(n, 1.0));
    let (mut y, mut rstd) = (vec![0.0; n], vec![0.0; rows]);
    naive::rmsnorm_forward(&mut y, &mut rstd, &x, &weight, EPS.into());
    let (mut dx, mut dweight) = (vec![0.0; n], vec![0.0; cols]);
    naive::rmsnorm_backward(&mut dx, &mut dweight, &dy, &x, &weight, &rstd);

    let forward = |x: &[Complex], weight: &[Complex]| {
        let (mut y, mut rstd) = (zeros(n), zeros(rows));
        naive::rmsnorm_forward(&mut y, &mut rstd, x, weight, EPS.into());
        y
    };
    let step_x = derivatives(&dy, &x, |x| forward(x, &complex(&weight)));
    let step_weight = derivatives(&dy, &weight, |weight| forward(&complex(&x), weight));
    vec![
        Gradient { what: "rmsnorm_backward dx", backward: dx, step: step_x },
        Gradient { what: "rmsnorm_backward dweight", backward: dweight, step: step_weight },
    ]
}

fn bench() -> Vec<Line> {
    [128, 384, 768].into_iter().flat_map(bench_width).collect()
}

fn bench_width(cols: usize) -> [Line; 4] {
    let rows = IN_CACHE / cols;
    let n = rows * cols;
    let buffers = move || (numbers(n), numbers(cols), vec![1.0; rows], vec![0.0; n]);
    let backward = move |accum: fn(&[f32]) -> Accum| {
        let ((x, weight, rstd, mut dx), dy, mut dweight) = (buffers(), numbers(n), vec![0.0; cols]);
        move || rmsnorm_backward(&mut dx, &mut dweight, &dy, &x, &weight, &rstd, accum(&dy))
    };
    [
        line(format!("rmsnorm_forward {cols}"), [4 * n, 8 * n], move || {
            let (x, weight, mut rstd, mut y) = buffers();
            move || rmsnorm_forward(RowsMut::F32(&mut y), &mut rstd, &x, &weight, EPS)
        }),
        line(format!("rmsnorm_forward {cols} bf16"), [4 * n, 6 * n], move || {
            let ((x, weight, mut rstd, _), mut y) = (buffers(), vec![0; n]);
            move || rmsnorm_forward(RowsMut::Bf16(&mut y), &mut rstd, &x, &weight, EPS)
        }),
        line(format!("rmsnorm_backward {cols}"), [10 * n, 12 * n], move || {
            backward(|_| Accum::Replace)
        }),
        line(format!("rmsnorm_backward {cols} plus"), [11 * n, 16 * n], move || {
            backward(|dy| Accum::Plus(dy))
        }),
    ]
}
