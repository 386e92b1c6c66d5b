//! Embedding tests: rows of a table gathered by token, and gradients scattered into it.

use super::check::{Compared, Gradient, relative};
use super::inputs::{Random, numbers, scattered, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::Precision;
use kernels::complex::{derivatives, zeros};
use kernels::embedding::{embedding_backward, embedding_forward, naive};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let (rows, cols, vocab_size) = (random.between(1, 9), width(random), random.between(1, 5));
    let tokens: Vec<u32> = (0..rows).map(|_| random.between(0, vocab_size - 1) as u32).collect();
    let (table, dx) = (random.f32s(vocab_size * cols, 1.0), random.f32s(rows * cols, 1.0));
    let (mut x, mut dtable) = (vec![f32::NAN; rows * cols], table.clone());
    embedding_forward(&mut x, &table, &tokens);
    embedding_backward(&mut dtable, &dx, &tokens);

    let (mut x0, mut dtable0, mut terms) = (vec![0.0; rows * cols], wide(&table), wide(&table));
    naive::embedding_forward(&mut x0, &wide(&table), &tokens);
    naive::embedding_backward(&mut dtable0, &wide(&dx), &tokens);
    // One addition per row, at most.
    terms.iter_mut().for_each(|x| *x = x.abs());
    let magnitudes: Vec<f64> = wide(&dx).iter().map(|x| x.abs()).collect();
    naive::embedding_backward(&mut terms, &magnitudes, &tokens);
    vec![
        Compared::exact("embedding_forward x", wide(&x), x0),
        Compared::within("embedding_backward dtable", &dtable, dtable0, relative(&terms, rows)),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols, vocab_size) =
        (random.between(1, 9), random.between(1, 7), random.between(1, 5));
    let tokens: Vec<u32> = (0..rows).map(|_| random.between(0, vocab_size - 1) as u32).collect();
    let (table, dx) = (random.f64s(vocab_size * cols, 1.0), random.f64s(rows * cols, 1.0));
    let mut dtable = vec![0.0; table.len()];
    naive::embedding_backward(&mut dtable, &dx, &tokens);
    let step = derivatives(&dx, &table, |table| {
        let mut x = zeros(rows * cols);
        naive::embedding_forward(&mut x, table, &tokens);
        x
    });
    vec![Gradient { what: "embedding_backward dtable", backward: dtable, step }]
}

/// Rows of 128 out of a table of 300.
fn bench() -> Vec<Line> {
    let (n, cols) = (IN_CACHE, 128);
    let buffers = move || (numbers(n), numbers(300 * cols), scattered(n / cols, 300));
    vec![
        line("embedding_forward 128", [0, 8 * n], move || {
            let (mut x, table, tokens) = buffers();
            move || embedding_forward(&mut x, &table, &tokens)
        }),
        line("embedding_backward 128", [n, 12 * n], move || {
            let (dx, mut dtable, tokens) = buffers();
            move || embedding_backward(&mut dtable, &dx, &tokens)
        }),
    ]
}
