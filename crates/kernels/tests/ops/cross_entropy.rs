//! Cross-entropy tests: loss and gradient, loss alone, and log-sum-exp.

use super::check::{Compared, EXP, Gradient, TINY, U, gamma, sum_depth};
use super::constants::constant;
use super::inputs::{Cells, Random, numbers, wide, width};
use super::{Line, Op, line};
use kernels::complex::{derivatives, zeros};
use kernels::cross_entropy::{IGNORE, cross_entropy, cross_entropy_loss, log_sum_exp, naive};
use kernels::{Precision, RowsMut};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

/// Logits per chunk; between chunks the kernel rescales its sum.
const CHUNK: usize = 2048;

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let long = random.between(0, 9) == 0;
    let cols = if long { random.between(CHUNK - 1, 2 * CHUNK + 70) } else { width(random) };
    let (rows, scale) = (random.between(1, if long { 1 } else { 4 }), 0.37f32);
    let size = [3.0, 10.0, 60.0, 3000.0][random.between(0, 3)];
    let logits = random.f32s(rows * cols, size);
    let target = |_| match random.between(0, 4) {
        0 => IGNORE,
        _ => random.between(0, cols - 1) as u32,
    };
    let targets: Vec<u32> = (0..rows).map(target).collect();
    let [mut loss, mut loss_alone, mut lse] = [(); 3].map(|()| vec![f32::NAN; rows]);
    let given = constant("cross_entropy scale", scale);
    let dlogits = Cells::written(rows * cols, precision, |dlogits| {
        cross_entropy(dlogits, &mut loss, &logits, &targets, given);
    });
    cross_entropy_loss(&mut loss_alone, &logits, &targets);
    log_sum_exp(&mut lse, &logits);

    let (x, scale) = (wide(&logits), f64::from(scale));
    let (mut loss0, mut dlogits0) = (vec![0.0; rows], vec![0.0; rows * cols]);
    naive::cross_entropy_loss(&mut loss0, &x, &targets);
    naive::cross_entropy_gradient(&mut dlogits0, &x, &targets, scale);
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
        lse0[r] = naive::log_sum_exp(x);
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
        Compared::exact("cross_entropy_loss loss", wide(&loss_alone), wide(&loss)),
        Compared::rounded("cross_entropy dlogits", &dlogits, dlogits0, dlogits_error),
        Compared::within("log_sum_exp lse", &lse, lse0, lse_error),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 4), random.between(1, 23));
    let logits = random.f64s(rows * cols, 10.0);
    let targets: Vec<u32> = (0..rows)
        .map(
            |_| if random.between(0, 4) == 0 { IGNORE } else { random.between(0, cols - 1) as u32 },
        )
        .collect();
    let mut dlogits = vec![0.0; logits.len()];
    naive::cross_entropy_gradient(&mut dlogits, &logits, &targets, 0.37);
    let step = derivatives(&vec![0.37; rows], &logits, |logits| {
        let mut loss = zeros(rows);
        naive::cross_entropy_loss(&mut loss, logits, &targets);
        loss
    });
    vec![Gradient { what: "cross_entropy dlogits", backward: dlogits, step }]
}

fn bench() -> Vec<Line> {
    [4096, 33278, 50257].into_iter().flat_map(bench_vocabulary).collect()
}

/// Flops: an exponential counts as ten.
fn bench_vocabulary(vocab_size: usize) -> [Line; 4] {
    let rows = (256 << 10) / vocab_size;
    let n = rows * vocab_size;
    let buffers = move || (numbers(n), vec![17; rows], vec![0.0; rows]);
    [
        line(format!("cross_entropy_loss {vocab_size}"), [12 * n, 4 * n], move || {
            let (logits, targets, mut loss) = buffers();
            move || cross_entropy_loss(&mut loss, &logits, &targets)
        }),
        line(format!("log_sum_exp {vocab_size}"), [12 * n, 4 * n], move || {
            let (logits, _, mut lse) = buffers();
            move || log_sum_exp(&mut lse, &logits)
        }),
        line(format!("cross_entropy {vocab_size}"), [24 * n, 8 * n], move || {
            let ((logits, targets, mut loss), mut d) = (buffers(), vec![0.0; n]);
            move || cross_entropy(RowsMut::F32(&mut d), &mut loss, &logits, &targets, 0.1)
        }),
        line(format!("cross_entropy {vocab_size} bf16"), [24 * n, 6 * n], move || {
            let ((logits, targets, mut loss), mut d) = (buffers(), vec![0; n]);
            move || cross_entropy(RowsMut::Bf16(&mut d), &mut loss, &logits, &targets, 0.1)
        }),
    ]
}
