//! Every row kernel is its definition: on each instruction set, in both formats, at odd sizes.
//!
//! Definitions run on f64; that they are right is the matter of `grad.rs`. Bounds follow Higham,
//! "Accuracy and Stability of Numerical Algorithms", chapter 3: a result whose terms went through
//! `n` roundings is off by at most `gamma(n)` times the sum of the magnitudes of its terms. The
//! comments count those roundings, products that a path may fuse included.

#[path = "against_naive/optimiser.rs"]
mod optimiser;
#[path = "against_naive/tables.rs"]
mod tables;

mod support;

use kernels::cross_entropy::{self, IGNORE, cross_entropy, cross_entropy_loss, log_sum_exp};
use kernels::dropout::{self, DropMask, dropout_add, dropout_backward};
use kernels::gated_mlp::{self, swiglu_backward, swiglu_forward};
use kernels::qk_norm::{self, QkNormSaved, qk_norm_backward, qk_norm_forward};
use kernels::reduce::{add_into, sum_squares};
use kernels::rmsnorm::{self, rmsnorm_backward, rmsnorm_forward};
use kernels::rope::{self, Heads, RopeTable, rope_backward, rope_forward, rope_forward_to};
use kernels::rows::store_rows;
use kernels::{Accum, Precision};
use std::collections::BTreeMap;
use support::{
    Cells, Compared, Random, U, errors, gamma, on_every_isa, relative, seed, sum_depth, wide, width,
};

/// Random shapes tried per kernel, format and instruction set.
const N_SHAPES: usize = 60;

const EPS: f32 = 1e-5;

/// Results below this may become 0.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Runs one kernel on a random shape, with rows of one format where it has such.
type Case = fn(&mut Random, Precision) -> Vec<Compared>;

const CASES: [Case; 16] = [
    store_rows_case,
    rmsnorm_forward_case,
    rmsnorm_backward_case,
    rope_case,
    qk_norm_forward_case,
    qk_norm_backward_case,
    swiglu_forward_case,
    swiglu_backward_case,
    tables::embedding_case,
    tables::composed_case,
    tables::row_sums_case,
    cross_entropy_case,
    dropout_case,
    optimiser::adamw_case,
    optimiser::adamw_idle_case,
    reduce_case,
];

fn for_each_output(n_shapes: usize, mut test: impl FnMut(Compared)) {
    let seed = seed();
    for case in CASES {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut random = Random(seed);
            for _ in 0..n_shapes {
                case(&mut random, precision).into_iter().for_each(&mut test);
            }
        }
    }
}

#[test]
fn kernels_are_their_definitions() {
    on_every_isa(|isa| {
        for_each_output(N_SHAPES, |output| {
            let precision = output.precision;
            assert_eq!(output.mismatch(), None, "{} {precision:?}", isa.name());
        });
    });
}

/// Of single wrong elements, the checks see four in five at least, and of most outputs all but one
/// in a hundred; the others are what is left where large terms cancel.
#[test]
fn checks_notice_planted_errors() {
    on_every_isa(|isa| {
        let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        for_each_output(6, |mut output| {
            let (unseen, planted) = output.unseen_errors();
            let count = counts.entry((output.what, output.precision.name())).or_default();
            *count = (count.0 + unseen, count.1 + planted);
        });
        for (output, (unseen, planted)) in counts {
            assert!(planted > 0, "{output:?} is empty");
            assert!(5 * unseen <= planted, "{} {output:?}: {unseen} of {planted}", isa.name());
        }
    });
}

fn store_rows_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let x = random.f32s(n, 100.0);
    let got = Cells::written(n, precision, |y| store_rows(y, &x));
    let one_by_one = Cells::new(&x, precision).wide();
    vec![
        Compared::rounded("store_rows", &got, wide(&x), vec![0.0; n]),
        Compared::exact("store_rows, element by element", got.wide(), one_by_one),
    ]
}

/// `rstd`: a square, a sum, the mean, eps (all positive), then a root and a division.
fn rstd_roundings(cols: usize) -> usize {
    sum_depth(cols) + 5
}

fn rmsnorm_forward_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (rows, cols) = (random.between(0, 4), width(random));
    let n = rows * cols;
    let (x, weight) = (random.f32s(n, 3.0), random.f32s(cols, 2.0));
    let mut rstd = vec![f32::NAN; rows];
    let y = Cells::written(n, precision, |y| rmsnorm_forward(y, &mut rstd, &x, &weight, EPS));

    let (mut y0, mut rstd0) = (vec![0.0; n], vec![0.0; rows]);
    let (x, weight) = (wide(&x), wide(&weight));
    rmsnorm::naive::rmsnorm_forward(&mut y0, &mut rstd0, &x, &weight, EPS.into());
    let depth = rstd_roundings(cols);
    let (y_error, rstd_error) = (relative(&y0, depth + 2), relative(&rstd0, depth));
    vec![
        Compared::rounded("rmsnorm y", &y, y0, y_error),
        Compared::within("rmsnorm rstd", &rstd, rstd0, rstd_error),
    ]
}

/// What rounding takes from one row of the gradient `rstd * (dy * w - n * mean(dy * w * n))`.
///
/// On the way of a term of the mean: 2 products, the sum, the mean, 2 products by `rstd`, one by
/// `n`; then a difference, a product by `rstd` and the addition of what was there.
fn norm_backward_error(dy: &[f64], weight: &[f64], n: &[f64], rstd: f64) -> Vec<f64> {
    let cols = weight.len();
    let g = |c: usize| (dy[c] * weight[c]).abs();
    let mean = (0..cols).map(|c| g(c) * n[c].abs()).sum::<f64>() / cols as f64;
    errors(cols, |c| gamma(sum_depth(cols) + 9) * rstd.abs() * (g(c) + n[c].abs() * mean))
}

fn rmsnorm_backward_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let (rows, cols) = (random.between(0, 4), width(random));
    let n = rows * cols;
    let (x, dy, weight) = (random.f32s(n, 3.0), random.f32s(n, 1.0), random.f32s(cols, 2.0));
    let (old, other) = (random.f32s(n, 1.0), random.f32s(n, 1.0));
    let old_dweight = random.f32s(cols, 1.0);
    let rstd: Vec<f32> = random.f32s(rows, 0.5).iter().map(|r| 1.0 + r).collect();

    let (x0, dy0, weight0, rstd0) = (wide(&x), wide(&dy), wide(&weight), wide(&rstd));
    let (mut dx0, mut dweight0) = (vec![0.0; n], wide(&old_dweight));
    rmsnorm::naive::rmsnorm_backward(&mut dx0, &mut dweight0, &dy0, &x0, &weight0, &rstd0);
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
        ("rmsnorm dx, replaced", Accum::Replace, vec![0.0; n]),
        ("rmsnorm dx, added", Accum::Add, wide(&old)),
        ("rmsnorm dx, plus another", Accum::Plus(&other), wide(&other)),
    ] {
        let mut dx = if let Accum::Add = accum { old.clone() } else { vec![f32::NAN; n] };
        let mut dweight = old_dweight.clone();
        rmsnorm_backward(&mut dx, &mut dweight, &dy, &x, &weight, &rstd, accum);
        let expected = errors(n, |i| added[i] + dx0[i]);
        let error = errors(n, |i| dx_error[i] + U * added[i].abs());
        outputs.push(Compared::within(what, &dx, expected, error));
        let (dw0, error) = (dweight0.clone(), dweight_error.clone());
        outputs.push(Compared::within("rmsnorm dweight", &dweight, dw0, error));
    }
    outputs
}

/// Random head counts; heads of the usual widths and of others.
fn heads(random: &mut Random) -> Heads {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 3);
    let head_dim = [2, 10, 32, 64, 66, 128, 130][random.between(0, 6)];
    Heads { n_heads, n_kv_heads, head_dim }
}

/// Whether element `i` of fused rows belongs to a query or a key.
fn is_query_or_key(heads: Heads, i: usize) -> bool {
    i % heads.qkv_dim() < heads.n_query_key() * heads.head_dim
}

fn rope_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (heads, seq_len, start_pos) = (heads(random), random.between(1, 3), random.between(0, 50));
    let n = seq_len * random.between(0, 2) * heads.qkv_dim();
    let table = RopeTable::new(start_pos + seq_len, heads.head_dim, 10_000.0);
    let qkv = random.f32s(n, 3.0);
    let (mut turned, mut back) = (qkv.clone(), qkv.clone());
    rope_forward(&mut turned, &table, heads, seq_len, start_pos);
    rope_backward(&mut back, &table, heads, seq_len, start_pos);
    let to = Cells::written(n, precision, |dst| {
        rope_forward_to(dst, &qkv, &table, heads, seq_len, start_pos);
    });

    let (mut turned0, mut back0) = (wide(&qkv), wide(&qkv));
    rope::naive::rope_forward(&mut turned0, &table, heads, seq_len, start_pos);
    rope::naive::rope_backward(&mut back0, &table, heads, seq_len, start_pos);
    // A product and a sum; |a cos| + |b sin| is no more than the length of (a, b), but for the
    // rounding of the table.
    let half = heads.head_dim / 2;
    let error = errors(n, |i| {
        let pair = if i % heads.head_dim < half { i + half } else { i.wrapping_sub(half) };
        let is_turned = is_query_or_key(heads, i);
        if is_turned { gamma(3) * f64::from(qkv[i]).hypot(qkv[pair].into()) } else { 0.0 }
    });
    vec![
        Compared::within("rope qkv", &turned, turned0.clone(), error.clone()),
        Compared::within("rope dqkv", &back, back0, error.clone()),
        Compared::rounded("rope_forward_to", &to, turned0, error),
    ]
}

fn qk_norm_forward_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (heads, rows) = (heads(random), random.between(0, 3));
    let (dim, n, n_normed) = (heads.head_dim, rows * heads.qkv_dim(), rows * heads.n_query_key());
    let (qkv, wq, wk) = (random.f32s(n, 3.0), random.f32s(dim, 2.0), random.f32s(dim, 2.0));
    let (mut y, mut y_unsaved, mut rstd) = (qkv.clone(), qkv.clone(), vec![f32::NAN; n_normed]);
    let normed = Cells::written(n_normed * dim, precision, |normed| {
        let saved = QkNormSaved { normed, rstd: &mut rstd };
        qk_norm_forward(&mut y, Some(saved), [&wq, &wk], heads, EPS);
    });
    qk_norm_forward(&mut y_unsaved, None, [&wq, &wk], heads, EPS);

    let mut y0 = wide(&qkv);
    let (mut normed0, mut rstd0) = (vec![0.0; n_normed * dim], vec![0.0; n_normed]);
    let weight = [&wide(&wq)[..], &wide(&wk)];
    qk_norm::naive::qk_norm_forward(&mut y0, &mut normed0, &mut rstd0, weight, heads, EPS.into());
    let depth = rstd_roundings(dim);
    let factor = |i| if is_query_or_key(heads, i) { gamma(depth + 2) } else { 0.0 };
    let y_error = errors(n, |i| factor(i) * y0[i].abs());
    let (normed_error, rstd_error) = (relative(&normed0, depth + 1), relative(&rstd0, depth));
    vec![
        Compared::within("qk_norm qkv", &y, y0, y_error),
        Compared::exact("qk_norm qkv, nothing saved", wide(&y_unsaved), wide(&y)),
        Compared::rounded("qk_norm normed", &normed, normed0, normed_error),
        Compared::within("qk_norm rstd", &rstd, rstd0, rstd_error),
    ]
}

fn qk_norm_backward_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (heads, rows) = (heads(random), random.between(0, 3));
    let (dim, per_row) = (heads.head_dim, heads.n_query_key());
    let (n, n_normed) = (rows * heads.qkv_dim(), rows * per_row);
    let (dqkv, wq, wk) = (random.f32s(n, 1.0), random.f32s(dim, 2.0), random.f32s(dim, 2.0));
    let (old_dwq, old_dwk) = (random.f32s(dim, 1.0), random.f32s(dim, 1.0));
    let normed = Cells::new(&random.f32s(n_normed * dim, 2.0), precision);
    let rstd: Vec<f32> = random.f32s(n_normed, 0.5).iter().map(|r| 1.0 + r).collect();
    let (mut d, mut dwq, mut dwk) = (dqkv.clone(), old_dwq.clone(), old_dwk.clone());
    let dweight = [&mut dwq[..], &mut dwk[..]];
    qk_norm_backward(&mut d, dweight, normed.rows(), &rstd, [&wq, &wk], heads);

    let (dqkv, normed, rstd) = (wide(&dqkv), normed.wide(), wide(&rstd));
    let (wq, wk) = (wide(&wq), wide(&wk));
    let (mut d0, mut dwq0, mut dwk0) = (dqkv.clone(), wide(&old_dwq), wide(&old_dwk));
    let dweight = [&mut dwq0[..], &mut dwk0[..]];
    qk_norm::naive::qk_norm_backward(&mut d0, dweight, &normed, &rstd, [&wq, &wk], heads);
    let mut d_error = vec![0.0; n];
    let (mut dw_terms, n_terms) = ([wide(&old_dwq), wide(&old_dwk)], rows * heads.n_heads);
    dw_terms.iter_mut().flatten().for_each(|x| *x = x.abs());
    for i in 0..n_normed {
        let (start, is_key) =
            (i / per_row * heads.qkv_dim() + i % per_row * dim, i % per_row >= heads.n_heads);
        let (dy, normed) = (&dqkv[start..][..dim], &normed[i * dim..][..dim]);
        let weight = if is_key { &wk } else { &wq };
        d_error[start..][..dim].copy_from_slice(&norm_backward_error(dy, weight, normed, rstd[i]));
        for c in 0..dim {
            dw_terms[usize::from(is_key)][c] += (dy[c] * normed[c]).abs();
        }
    }
    let [dwq_error, dwk_error] = dw_terms.map(|terms| relative(&terms, n_terms + 2));
    vec![
        Compared::within("qk_norm dqkv", &d, d0, d_error),
        Compared::within("qk_norm query gain", &dwq, dwq0, dwq_error),
        Compared::within("qk_norm key gain", &dwk, dwk0, dwk_error),
    ]
}

/// Gate and up of some rows: now and then with gates for which `e^x` leaves the range of f32.
fn gate_up(random: &mut Random) -> (Vec<f32>, usize) {
    let (rows, ffn_dim) = (random.between(0, 3), width(random));
    let size = if random.between(0, 3) == 0 { 120.0 } else { 8.0 };
    (random.f32s(2 * rows * ffn_dim, size), ffn_dim)
}

/// Gate and up of element `i` of the hidden rows.
fn gate_and_up(gate_up: &[f64], i: usize, ffn_dim: usize) -> (f64, f64) {
    let at = i / ffn_dim * 2 * ffn_dim + i % ffn_dim;
    (gate_up[at], gate_up[at + ffn_dim])
}

/// The exponential is within 1.2 units of the last place, each of which is at most two roundings.
const EXP: usize = 3;

/// Roundings of a sigmoid: an exponential, an addition, a division.
const SIGMOID: usize = EXP + 2;

fn swiglu_forward_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (x, ffn_dim) = gate_up(random);
    let n = x.len() / 2;
    let mut h = None;
    let saved = Cells::written(2 * n, precision, |saved| {
        h = Some(Cells::written(n, precision, |h| swiglu_forward(h, Some(saved), &x, ffn_dim)));
    });
    let (h, x0) = (h.expect("written above"), wide(&x));
    let mut h0 = vec![0.0; n];
    gated_mlp::naive::swiglu_forward(&mut h0, &x0, ffn_dim);
    let error = errors(n, |i| {
        let (gate, up) = gate_and_up(&x0, i, ffn_dim);
        gamma(SIGMOID + 2) * h0[i].abs() + TINY * (1.0 + gate.abs()) * (1.0 + up.abs())
    });
    vec![
        Compared::rounded("swiglu h", &h, h0, error),
        Compared::exact("swiglu saved", saved.wide(), Cells::new(&x, precision).wide()),
    ]
}

fn swiglu_backward_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (x, ffn_dim) = gate_up(random);
    let n = x.len() / 2;
    let dh = random.f32s(n, 1.0);
    // Every pair of formats: that of the input varies by itself.
    let format = [Precision::F32, Precision::Bf16][random.between(0, 1)];
    let x = Cells::new(&x, format);
    let got = Cells::written(2 * n, precision, |dst| swiglu_backward(dst, &dh, x.rows(), ffn_dim));
    let (x, dh, mut expected) = (x.wide(), wide(&dh), vec![0.0; 2 * n]);
    gated_mlp::naive::swiglu_backward(&mut expected, &dh, &x, ffn_dim);
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
    vec![Compared::rounded("swiglu dgate_up", &got, expected, error)]
}

/// Logits in a chunk, between which the kernel rescales what it summed.
const CHUNK: usize = 2048;

fn cross_entropy_case(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let long = random.between(0, 9) == 0;
    let cols = if long { random.between(CHUNK - 1, 2 * CHUNK + 70) } else { width(random) };
    let (rows, scale) = (random.between(1, if long { 1 } else { 4 }), 0.37f32);
    let size = [3.0, 10.0, 60.0][random.between(0, 2)];
    let logits = random.f32s(rows * cols, size);
    let target = |_| match random.between(0, 4) {
        0 => IGNORE,
        _ => random.between(0, cols - 1) as u32,
    };
    let targets: Vec<u32> = (0..rows).map(target).collect();
    let [mut loss, mut loss_alone, mut lse] = [(); 3].map(|()| vec![f32::NAN; rows]);
    let dlogits = Cells::written(rows * cols, precision, |dlogits| {
        cross_entropy(dlogits, &mut loss, &logits, &targets, scale);
    });
    cross_entropy_loss(&mut loss_alone, &logits, &targets);
    log_sum_exp(&mut lse, &logits);

    let (x, scale) = (wide(&logits), f64::from(scale));
    let (mut loss0, mut dlogits0) = (vec![0.0; rows], vec![0.0; rows * cols]);
    cross_entropy::naive::cross_entropy_loss(&mut loss0, &x, &targets);
    cross_entropy::naive::cross_entropy_gradient(&mut dlogits0, &x, &targets, scale);
    let (mut loss_error, mut dlogits_error) = (vec![0.0; rows], vec![0.0; rows * cols]);
    let (mut lse0, mut lse_error) = (vec![0.0; rows], vec![0.0; rows]);
    for (r, x) in x.chunks_exact(cols).enumerate() {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // `e^(x - max)`: the difference is rounded, then the exponential.
        let term_error = |x: f64| U * (max - x) + gamma(EXP);
        let total: f64 = x.iter().map(|x| (x - max).exp()).sum();
        let shift: f64 = x.iter().map(|x| (x - max).exp() * term_error(*x)).sum::<f64>() / total;
        // Then sums within and over chunks; the rise of the maximum from chunk to chunk is a part
        // of `max - x`, and takes an exponential and a product each.
        let total_error =
            shift + gamma(sum_depth(cols.min(CHUNK)) + (EXP + 2) * cols.div_ceil(CHUNK));
        lse0[r] = cross_entropy::naive::log_sum_exp(x);
        lse_error[r] = total_error + U * (2.0 * total.ln() + lse0[r].abs()) + 2.0 * U * U;
        let Some(target) = x.get(targets[r] as usize) else { continue };
        let gap = max - target;
        loss_error[r] = total_error + U * (2.0 * total.ln() + gap + loss0[r]) + 2.0 * U * U;
        for c in 0..cols {
            // A division, a product; for the target also minus 1 and a product.
            let p = (x[c] - max).exp() / total;
            let at_target = if c == targets[r] as usize { gamma(3) } else { 0.0 };
            let p_error = p * (term_error(x[c]) + total_error + gamma(3)) + at_target;
            dlogits_error[r * cols + c] = scale * p_error + 2.0 * TINY;
        }
    }
    vec![
        Compared::within("cross_entropy loss", &loss, loss0, loss_error),
        Compared::exact("cross_entropy_loss", wide(&loss_alone), wide(&loss)),
        Compared::rounded("cross_entropy dlogits", &dlogits, dlogits0, dlogits_error),
        Compared::within("log_sum_exp", &lse, lse0, lse_error),
    ]
}

fn dropout_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let mask = DropMask { key: random.bits(), rate: random.between(0, 9) as f32 / 10.0 };
    let (x, branch) = (random.f32s(n, 1.0), random.f32s(n, 1.0));
    let (mut out, mut dbranch) = (vec![f32::NAN; n], vec![f32::NAN; n]);
    dropout_add(&mut out, &x, &branch, mask);
    dropout_backward(&mut dbranch, &branch, mask);

    let (x, branch) = (wide(&x), wide(&branch));
    let (mut out0, mut dbranch0) = (vec![0.0; n], vec![0.0; n]);
    dropout::naive::dropout_add(&mut out0, &x, &branch, mask);
    dropout::naive::dropout_backward(&mut dbranch0, &branch, mask);
    // The factor is a difference and a division; then a product and a sum.
    let out_error = errors(n, |i| gamma(4) * (x[i].abs() + dbranch0[i].abs()));
    let dbranch_error = relative(&dbranch0, 3);
    vec![
        Compared::within("dropout out", &out, out0, out_error),
        Compared::within("dropout dbranch", &dbranch, dbranch0, dbranch_error),
    ]
}

fn reduce_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 1000 + width(random);
    let (x, mut y) = (random.f32s(n, 3.0), random.f32s(n, 3.0));
    let sums = (0..n).map(|i| f64::from(x[i] + y[i])).collect();
    add_into(&mut y, &x);
    // Squares are exact in f64, and so this is two sums of positive numbers in different orders.
    let squares: f64 = wide(&x).iter().map(|x| x * x).sum();
    let sum = Compared {
        what: "sum_squares",
        got: vec![sum_squares(&x)],
        expected: vec![squares],
        bound: vec![2.0 * n as f64 * f64::EPSILON * squares],
        precision: Precision::F32,
    };
    vec![sum, Compared::exact("add_into", wide(&y), sums)]
}
