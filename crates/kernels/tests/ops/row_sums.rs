//! Gather-sum tests: sums of a few table rows at each position.

use super::check::{Compared, Gradient, relative};
use super::inputs::{Random, numbers, scattered, some_rows, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::Precision;
use kernels::complex::{complex, derivatives};
use kernels::row_sums::{naive, row_sums_backward, row_sums_forward};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let [n, k, n_rows] = [9, 3, 5].map(|max| random.between(1, max));
    let cols = width(random);
    let rows = some_rows(random, n * k, n_rows);
    let [x, table, dx] = [n, n_rows, n].map(|n| random.f32s(n * cols, 1.0));
    let (mut y, mut dtable) = (x.clone(), table.clone());
    row_sums_forward(&mut y, &table, &rows, k);
    row_sums_backward(&mut dtable, &dx, &rows, k);

    let definition = |[mut y, table, dx]: [Vec<f64>; 3]| {
        let mut dtable = table.clone();
        naive::row_sums_forward(&mut y, &table, &rows, k);
        naive::row_sums_backward(&mut dtable, &dx, &rows, k);
        [y, dtable]
    };
    let all = [&x, &table, &dx].map(|x| wide(x));
    let [y0, dtable0] = definition(all.clone());
    let terms = definition(all.map(|x| x.iter().map(|x| x.abs()).collect()));
    // One addition for each row of a position, or for each use of a row.
    vec![
        Compared::within("row_sums_forward x", &y, y0, relative(&terms[0], k)),
        Compared::within("row_sums_backward dtable", &dtable, dtable0, relative(&terms[1], n * k)),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let [n, k, cols, n_rows] = [9, 3, 7, 5].map(|max| random.between(1, max));
    let rows = some_rows(random, n * k, n_rows);
    let (x, table) = (random.f64s(n * cols, 1.0), random.f64s(n_rows * cols, 1.0));
    let dx = random.f64s(n * cols, 1.0);
    let mut dtable = vec![0.0; table.len()];
    naive::row_sums_backward(&mut dtable, &dx, &rows, k);
    let step = derivatives(&dx, &table, |table| {
        let mut x = complex(&x);
        naive::row_sums_forward(&mut x, table, &rows, k);
        x
    });
    vec![Gradient { what: "row_sums_backward dtable", backward: dtable, step }]
}

/// Four rows of 128 for each position, out of a table of 300.
fn bench() -> Vec<Line> {
    let (n, cols, k) = (IN_CACHE, 128, 4);
    let buffers = move || (numbers(n), numbers(300 * cols), scattered(n / cols * k, 300));
    vec![
        line("row_sums_forward 128", [4 * n, 48 * n], move || {
            let (mut x, table, rows) = buffers();
            move || row_sums_forward(&mut x, &table, &rows, k)
        }),
        line("row_sums_backward 128", [4 * n, 48 * n], move || {
            let (dx, mut dtable, rows) = buffers();
            move || row_sums_backward(&mut dtable, &dx, &rows, k)
        }),
    ]
}
