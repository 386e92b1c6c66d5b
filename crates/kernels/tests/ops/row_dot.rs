//! Row-wise dot product tests: rows times selected rows of a table.

use super::check::{Compared, Gradient, relative, sum_depth};
use super::inputs::{Cells, Random, numbers, scattered, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::complex::{Complex, complex, derivatives, zeros};
use kernels::cross_entropy::IGNORE;
use kernels::row_dot::{naive, row_dot_backward_rows, row_dot_backward_table, row_dot_forward};
use kernels::{Precision, Rows};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

/// Outputs for a random shape: some rows select the same row of the table, some select none.
fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (rows, cols, n) = (random.between(1, 9), width(random), random.between(1, 5));
    let id = |random: &mut Random| match random.between(0, 5) {
        0 => IGNORE,
        _ => random.between(0, n - 1) as u32,
    };
    let ids: Vec<u32> = (0..rows).map(|_| id(random)).collect();
    let x = Cells::new(&random.f32s(rows * cols, 1.0), precision);
    let (table, dy) = (random.f32s(n * cols, 1.0), random.f32s(rows, 1.0));
    let (mut y, mut dx) = (vec![f32::NAN; rows], random.f32s(rows * cols, 1.0));
    let mut dtable = random.f32s(n * cols, 1.0);
    // The results of the definitions, and the sums of the magnitudes of their terms.
    let by_definition = |of: fn(f64) -> f64| {
        let part = |x: &[f64]| x.iter().map(|x| of(*x)).collect::<Vec<f64>>();
        let (x, table, dy) = (part(&x.wide()), part(&wide(&table)), part(&wide(&dy)));
        let (mut y, mut dx, mut dtable) = (vec![0.0; rows], part(&wide(&dx)), part(&wide(&dtable)));
        naive::row_dot_forward(&mut y, &x, &table, &ids);
        naive::row_dot_backward_rows(&mut dx, &dy, &table, &ids);
        naive::row_dot_backward_table(&mut dtable, &dy, &x, &ids);
        [y, dx, dtable]
    };
    let ([y0, dx0, dtable0], [y1, dx1, dtable1]) = (by_definition(|x| x), by_definition(f64::abs));
    row_dot_forward(&mut y, x.rows(), &table, &ids);
    row_dot_backward_rows(&mut dx, &dy, &table, &ids);
    row_dot_backward_table(&mut dtable, &dy, x.rows(), &ids);
    // A product and a sum; a product and an addition; the same, once per row.
    vec![
        Compared::within("row_dot_forward y", &y, y0, relative(&y1, sum_depth(cols) + 1)),
        Compared::within("row_dot_backward_rows dx", &dx, dx0, relative(&dx1, 2)),
        Compared::within(
            "row_dot_backward_table dtable",
            &dtable,
            dtable0,
            relative(&dtable1, rows + 1),
        ),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols, n) = (random.between(1, 9), random.between(1, 7), random.between(1, 5));
    let ids: Vec<u32> = (0..rows).map(|_| random.between(0, n) as u32).collect();
    let ids: Vec<u32> = ids.iter().map(|id| if *id == n as u32 { IGNORE } else { *id }).collect();
    let (x, table) = (random.f64s(rows * cols, 1.0), random.f64s(n * cols, 1.0));
    let dy = random.f64s(rows, 1.0);
    let (mut dx, mut dtable) = (vec![0.0; x.len()], vec![0.0; table.len()]);
    naive::row_dot_backward_rows(&mut dx, &dy, &table, &ids);
    naive::row_dot_backward_table(&mut dtable, &dy, &x, &ids);
    let forward = |x: &[Complex], table: &[Complex]| {
        let mut y = zeros(rows);
        naive::row_dot_forward(&mut y, x, table, &ids);
        y
    };
    let by_rows = derivatives(&dy, &x, |x| forward(x, &complex(&table)));
    let by_table = derivatives(&dy, &table, |table| forward(&complex(&x), table));
    vec![
        Gradient { what: "row_dot_backward_rows dx", backward: dx, step: by_rows },
        Gradient { what: "row_dot_backward_table dtable", backward: dtable, step: by_table },
    ]
}

/// Rows of 128 out of a table of 300.
fn bench() -> Vec<Line> {
    let (n, cols) = (IN_CACHE, 128);
    let rows = n / cols;
    let buffers = move || (numbers(n), numbers(300 * cols), numbers(rows), scattered(rows, 300));
    vec![
        line("row_dot_forward 128", [2 * n, 8 * n], move || {
            let (x, table, mut y, ids) = buffers();
            move || row_dot_forward(&mut y, Rows::F32(&x), &table, &ids)
        }),
        line("row_dot_backward_rows 128", [2 * n, 12 * n], move || {
            let (mut dx, table, dy, ids) = buffers();
            move || row_dot_backward_rows(&mut dx, &dy, &table, &ids)
        }),
        line("row_dot_backward_table 128", [2 * n, 12 * n], move || {
            let (x, mut dtable, dy, ids) = buffers();
            move || row_dot_backward_table(&mut dtable, &dy, Rows::F32(&x), &ids)
        }),
    ]
}
