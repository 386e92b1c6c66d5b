//! Products of rows with chosen rows of a table are their definition, on every instruction set.

mod support;

use kernels::Precision;
use kernels::cross_entropy::IGNORE;
use kernels::row_dot::{self, row_dot_backward_rows, row_dot_backward_table, row_dot_forward};
use support::{Cells, Compared, Random, on_every_isa, relative, seed, sum_depth, wide, width};

const N_SHAPES: usize = 60;

/// Outputs for a random shape: some rows share a row of the table, some have none.
fn case(random: &mut Random, precision: Precision) -> Vec<Compared> {
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
    // What the definitions give, and the sums of the magnitudes of what they add up.
    let by_definition = |of: fn(f64) -> f64| {
        let part = |x: &[f64]| x.iter().map(|x| of(*x)).collect::<Vec<f64>>();
        let (x, table, dy) = (part(&x.wide()), part(&wide(&table)), part(&wide(&dy)));
        let (mut y, mut dx, mut dtable) = (vec![0.0; rows], part(&wide(&dx)), part(&wide(&dtable)));
        row_dot::naive::row_dot_forward(&mut y, &x, &table, &ids);
        row_dot::naive::row_dot_backward_rows(&mut dx, &dy, &table, &ids);
        row_dot::naive::row_dot_backward_table(&mut dtable, &dy, &x, &ids);
        [y, dx, dtable]
    };
    let ([y0, dx0, dtable0], [y1, dx1, dtable1]) = (by_definition(|x| x), by_definition(f64::abs));
    row_dot_forward(&mut y, x.rows(), &table, &ids);
    row_dot_backward_rows(&mut dx, &dy, &table, &ids);
    row_dot_backward_table(&mut dtable, &dy, x.rows(), &ids);
    // A product and a sum; a product and an addition; the same once for every row.
    vec![
        Compared::within("row_dot y", &y, y0, relative(&y1, sum_depth(cols) + 1)),
        Compared::within("row_dot dx", &dx, dx0, relative(&dx1, 2)),
        Compared::within("row_dot dtable", &dtable, dtable0, relative(&dtable1, rows + 1)),
    ]
}

fn for_each_output(mut test: impl FnMut(Compared)) {
    let seed = seed();
    for precision in [Precision::F32, Precision::Bf16] {
        let mut random = Random(seed);
        (0..N_SHAPES).for_each(|_| case(&mut random, precision).into_iter().for_each(&mut test));
    }
}

#[test]
fn kernels_are_their_definitions() {
    on_every_isa(|isa| {
        for_each_output(|output| assert_eq!(output.mismatch(), None, "{}", isa.name()));
    });
}

#[test]
fn checks_notice_planted_errors() {
    let (mut unseen, mut planted) = (0, 0);
    for_each_output(|mut output| {
        let (a, b) = output.unseen_errors();
        (unseen, planted) = (unseen + a, planted + b);
    });
    assert!(planted > 1000 && 20 * unseen <= planted, "{unseen} of {planted}");
}
