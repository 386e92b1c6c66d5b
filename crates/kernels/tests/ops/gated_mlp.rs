//! SwiGLU tests: the gate of the feed-forward layer, forward and backward.

use super::check::{Compared, EXP, Gradient, TINY, errors, gamma};
use super::inputs::{Cells, Random, numbers, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::complex::{derivatives, zeros};
use kernels::gated_mlp::{naive, swiglu_backward, swiglu_forward};
use kernels::{Precision, Rows, RowsMut};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let forward = compare_forward(random, precision);
    forward.into_iter().chain(compare_backward(random, precision)).collect()
}

/// Gate and up of some rows, occasionally with gates for which `e^x` leaves the range of f32.
fn gate_up(random: &mut Random) -> (Vec<f32>, usize) {
    let (rows, ffn_dim) = (random.between(0, 3), width(random));
    let size = if random.between(0, 3) == 0 { 120.0 } else { 8.0 };
    (random.f32s(2 * rows * ffn_dim, size), ffn_dim)
}

/// Gate and up of element `i` of the gated rows.
fn gate_and_up(gate_up: &[f64], i: usize, ffn_dim: usize) -> (f64, f64) {
    let at = i / ffn_dim * 2 * ffn_dim + i % ffn_dim;
    (gate_up[at], gate_up[at + ffn_dim])
}

/// Roundings of a sigmoid: an exponential, an addition, a division.
const SIGMOID: usize = EXP + 2;

fn compare_forward(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (x, ffn_dim) = gate_up(random);
    let n = x.len() / 2;
    let mut h = None;
    let saved = Cells::written(2 * n, precision, |saved| {
        h = Some(Cells::written(n, precision, |h| swiglu_forward(h, Some(saved), &x, ffn_dim)));
    });
    let (h, x0) = (h.expect("written above"), wide(&x));
    let mut h0 = vec![0.0; n];
    naive::swiglu_forward(&mut h0, &x0, ffn_dim);
    let error = errors(n, |i| {
        let (gate, up) = gate_and_up(&x0, i, ffn_dim);
        gamma(SIGMOID + 2) * h0[i].abs() + TINY * (1.0 + gate.abs()) * (1.0 + up.abs())
    });
    vec![
        Compared::rounded("swiglu_forward h", &h, h0, error),
        Compared::exact("swiglu_forward saved", saved.wide(), Cells::new(&x, precision).wide()),
    ]
}

fn compare_backward(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (x, ffn_dim) = gate_up(random);
    let n = x.len() / 2;
    let dh = random.f32s(n, 1.0);
    // All pairs of formats: the format of the input varies independently.
    let format = [Precision::F32, Precision::Bf16][random.between(0, 1)];
    let x = Cells::new(&x, format);
    let got = Cells::written(2 * n, precision, |dst| swiglu_backward(dst, &dh, x.rows(), ffn_dim));
    let (x, dh, mut expected) = (x.wide(), wide(&dh), vec![0.0; 2 * n]);
    naive::swiglu_backward(&mut expected, &dh, &x, ffn_dim);
    let mut error = vec![0.0; 2 * n];
    for i in 0..n {
        let (gate, up) = gate_and_up(&x, i, ffn_dim);
        let dhs = (dh[i] / (1.0 + (-gate).exp())).abs();
        let at = i / ffn_dim * 2 * ffn_dim + i % ffn_dim;
        let floor = TINY * (1.0 + gate.abs()) * (1.0 + up.abs());
        // `1 + gate * (1 - s)`: s, a difference, a product, a sum; magnitudes below 1 + |gate|.
        // Then `dh * s` and two products.
        let slope = gamma(2 * SIGMOID + 6) * (1.0 + gate.abs());
        error[at] = dhs * up.abs() * slope + floor;
        error[at + ffn_dim] = gamma(SIGMOID + 2) * dhs * gate.abs() + floor;
    }
    vec![Compared::rounded("swiglu_backward dgate_up", &got, expected, error)]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, ffn_dim) = (random.between(1, 3), random.between(1, 19));
    let n = rows * ffn_dim;
    let (gate_up, dh) = (random.f64s(2 * n, 8.0), random.f64s(n, 1.0));
    let mut dgate_up = vec![0.0; 2 * n];
    naive::swiglu_backward(&mut dgate_up, &dh, &gate_up, ffn_dim);
    let step = derivatives(&dh, &gate_up, |gate_up| {
        let mut h = zeros(n);
        naive::swiglu_forward(&mut h, gate_up, ffn_dim);
        h
    });
    vec![Gradient { what: "swiglu_backward dgate_up", backward: dgate_up, step }]
}

fn bench() -> Vec<Line> {
    [352, 1024].into_iter().flat_map(bench_width).collect()
}

/// Flops: an exponential counts as ten, a sigmoid as twelve.
fn bench_width(ffn_dim: usize) -> [Line; 4] {
    let n = IN_CACHE / ffn_dim * ffn_dim;
    [
        line(format!("swiglu_forward {ffn_dim}"), [14 * n, 12 * n], move || {
            let (gate_up, mut h) = (numbers(2 * n), vec![0.0; n]);
            move || swiglu_forward(RowsMut::F32(&mut h), None, &gate_up, ffn_dim)
        }),
        line(format!("swiglu_forward {ffn_dim} bf16 saved"), [14 * n, 14 * n], move || {
            let (gate_up, mut h, mut saved) = (numbers(2 * n), vec![0; n], vec![0; 2 * n]);
            move || {
                let (h, saved) = (RowsMut::Bf16(&mut h), Some(RowsMut::Bf16(&mut saved)));
                swiglu_forward(h, saved, &gate_up, ffn_dim);
            }
        }),
        line(format!("swiglu_backward {ffn_dim}"), [19 * n, 20 * n], move || {
            let (gate_up, dh, mut d) = (numbers(2 * n), numbers(n), vec![0.0; 2 * n]);
            move || swiglu_backward(RowsMut::F32(&mut d), &dh, Rows::F32(&gate_up), ffn_dim)
        }),
        line(format!("swiglu_backward {ffn_dim} bf16"), [19 * n, 12 * n], move || {
            let gate_up = Cells::new(&numbers(2 * n), Precision::Bf16);
            let (dh, mut d) = (numbers(n), vec![0; 2 * n]);
            move || swiglu_backward(RowsMut::Bf16(&mut d), &dh, gate_up.rows(), ffn_dim)
        }),
    ]
}
