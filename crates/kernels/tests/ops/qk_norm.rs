//! QK norm tests: normalisation of query and key heads.

use super::check::{Compared, Gradient, errors, gamma, relative};
use super::constants::constant;
use super::inputs::{Cells, Random, numbers, wide};
use super::rmsnorm::{norm_backward_error, norm_size, rstd_roundings};
use super::rope::{BENCH_HEADS, heads, is_query_or_key, small_heads};
use super::{IN_CACHE, Line, Op, line};
use kernels::complex::{Complex, complex, derivatives, zeros};
use kernels::qk_norm::{QkNormSaved, naive, qk_norm_backward, qk_norm_forward};
use kernels::rope::Heads;
use kernels::{Precision, Rows, RowsMut};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

const EPS: f32 = 1e-5;

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let forward = compare_forward(random, precision);
    forward.into_iter().chain(compare_backward(random, precision)).collect()
}

fn compare_forward(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (heads, rows) = (heads(random), random.between(0, 3));
    let (dim, n, n_normed) = (heads.head_dim, rows * heads.qkv_dim(), rows * heads.n_query_key());
    let (size, eps) = (norm_size(random), constant("qk_norm_forward eps", EPS));
    let (qkv, wq, wk) = (random.f32s(n, size), random.f32s(dim, 2.0), random.f32s(dim, 2.0));
    let (mut y, mut y_unsaved, mut rstd) = (qkv.clone(), qkv.clone(), vec![f32::NAN; n_normed]);
    let normed = Cells::written(n_normed * dim, precision, |normed| {
        let saved = QkNormSaved { normed, rstd: &mut rstd };
        qk_norm_forward(&mut y, Some(saved), [&wq, &wk], heads, eps);
    });
    qk_norm_forward(&mut y_unsaved, None, [&wq, &wk], heads, eps);

    let mut y0 = wide(&qkv);
    let (mut normed0, mut rstd0) = (vec![0.0; n_normed * dim], vec![0.0; n_normed]);
    let weight = [&wide(&wq)[..], &wide(&wk)];
    naive::qk_norm_forward(&mut y0, &mut normed0, &mut rstd0, weight, heads, EPS.into());
    let depth = rstd_roundings(dim);
    let factor = |i| if is_query_or_key(heads, i) { gamma(depth + 2) } else { 0.0 };
    let y_error = errors(n, |i| factor(i) * y0[i].abs());
    let (normed_error, rstd_error) = (relative(&normed0, depth + 1), relative(&rstd0, depth));
    vec![
        Compared::within("qk_norm_forward qkv", &y, y0, y_error),
        Compared::exact("qk_norm_forward qkv, nothing saved", wide(&y_unsaved), wide(&y)),
        Compared::rounded("qk_norm_forward normed", &normed, normed0, normed_error),
        Compared::within("qk_norm_forward rstd", &rstd, rstd0, rstd_error),
    ]
}

fn compare_backward(random: &mut Random, precision: Precision) -> Vec<Compared> {
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
    naive::qk_norm_backward(&mut d0, dweight, &normed, &rstd, [&wq, &wk], heads);
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
        Compared::within("qk_norm_backward dqkv", &d, d0, d_error),
        Compared::within("qk_norm_backward query gain", &dwq, dwq0, dwq_error),
        Compared::within("qk_norm_backward key gain", &dwk, dwk0, dwk_error),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (heads, rows) = (small_heads(random, 5), random.between(1, 2));
    let (dim, n) = (heads.head_dim, rows * heads.qkv_dim());
    let n_normed = rows * heads.n_query_key();
    let (x, dy) = (random.f64s(n, 2.0), random.f64s(n, 1.0));
    let (wq, wk) = (random.f64s(dim, 2.0), random.f64s(dim, 2.0));

    let (mut y, mut normed, mut rstd) = (x.clone(), vec![0.0; n_normed * dim], vec![0.0; n_normed]);
    naive::qk_norm_forward(&mut y, &mut normed, &mut rstd, [&wq, &wk], heads, EPS.into());
    let (mut dx, mut dwq, mut dwk) = (dy.clone(), vec![0.0; dim], vec![0.0; dim]);
    let dweight = [&mut dwq[..], &mut dwk[..]];
    naive::qk_norm_backward(&mut dx, dweight, &normed, &rstd, [&wq, &wk], heads);

    let forward = |x: &[Complex], wq: &[Complex], wk: &[Complex]| {
        let (mut y, mut normed, mut rstd) = (x.to_vec(), zeros(n_normed * dim), zeros(n_normed));
        naive::qk_norm_forward(&mut y, &mut normed, &mut rstd, [wq, wk], heads, EPS.into());
        y
    };
    let (cx, cq, ck) = (complex(&x), complex(&wq), complex(&wk));
    let step_x = derivatives(&dy, &x, |x| forward(x, &cq, &ck));
    let step_q = derivatives(&dy, &wq, |wq| forward(&cx, wq, &ck));
    let step_k = derivatives(&dy, &wk, |wk| forward(&cx, &cq, wk));
    vec![
        Gradient { what: "qk_norm_backward dqkv", backward: dx, step: step_x },
        Gradient { what: "qk_norm_backward query gain", backward: dwq, step: step_q },
        Gradient { what: "qk_norm_backward key gain", backward: dwk, step: step_k },
    ]
}

fn bench() -> Vec<Line> {
    BENCH_HEADS.into_iter().flat_map(bench_heads).collect()
}

fn bench_heads(heads: Heads) -> [Line; 2] {
    let (dim, rows) = (heads.head_dim, IN_CACHE / heads.qkv_dim());
    let (n, n_normed) = (rows * heads.qkv_dim(), rows * heads.n_query_key());
    let name = |what: &str| format!("{what} {} x {dim}", heads.n_heads);
    let buffers =
        move || (numbers(n), numbers(dim), vec![1.0; n_normed * dim], vec![1.0; n_normed]);
    [
        line(name("qk_norm_forward"), [4 * n_normed * dim, 12 * n], move || {
            let (mut qkv, weight, mut normed, mut rstd) = buffers();
            move || {
                let saved = QkNormSaved { normed: RowsMut::F32(&mut normed), rstd: &mut rstd };
                qk_norm_forward(&mut qkv, Some(saved), [&weight, &weight], heads, EPS);
            }
        }),
        line(name("qk_norm_backward"), [10 * n_normed * dim, 12 * n], move || {
            let (mut dqkv, weight, normed, rstd) = buffers();
            let (mut dq, mut dk) = (vec![0.0; dim], vec![0.0; dim]);
            move || {
                let (normed, dweight) = (Rows::F32(&normed), [&mut dq[..], &mut dk[..]]);
                qk_norm_backward(&mut dqkv, dweight, normed, &rstd, [&weight, &weight], heads);
            }
        }),
    ]
}
