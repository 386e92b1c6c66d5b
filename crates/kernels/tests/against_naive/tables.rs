//! Kernels that read rows of tables and add into them.

use super::support::{Compared, Made, Random, relative, some_rows, wide, width};
use kernels::Precision;
use kernels::composed::{self, composed_backward, composed_forward};
use kernels::embedding::{self, embedding_backward, embedding_forward};
use kernels::row_sums::{self, row_sums_backward, row_sums_forward};

pub fn embedding_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let (rows, cols, vocab_size) = (random.between(1, 9), width(random), random.between(1, 5));
    let tokens: Vec<u32> = (0..rows).map(|_| random.between(0, vocab_size - 1) as u32).collect();
    let (table, dx) = (random.f32s(vocab_size * cols, 1.0), random.f32s(rows * cols, 1.0));
    let (mut x, mut dtable) = (vec![f32::NAN; rows * cols], table.clone());
    embedding_forward(&mut x, &table, &tokens);
    embedding_backward(&mut dtable, &dx, &tokens);

    let (mut x0, mut dtable0, mut terms) = (vec![0.0; rows * cols], wide(&table), wide(&table));
    embedding::naive::embedding_forward(&mut x0, &wide(&table), &tokens);
    embedding::naive::embedding_backward(&mut dtable0, &wide(&dx), &tokens);
    // One addition per row, at most.
    terms.iter_mut().for_each(|x| *x = x.abs());
    let magnitudes: Vec<f64> = wide(&dx).iter().map(|x| x.abs()).collect();
    embedding::naive::embedding_backward(&mut terms, &magnitudes, &tokens);
    vec![
        Compared::exact("embedding x", wide(&x), x0),
        Compared::within("embedding dtable", &dtable, dtable0, relative(&terms, rows)),
    ]
}

pub fn composed_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let (rows, cols) = (random.between(1, 9), width(random));
    let made = Made::random(random);
    let (of, inputs) = (made.composition(), made.inputs(random, rows));
    let [table, parts, dx] = [made.n_own, made.n_parts, rows].map(|n| random.f32s(n * cols, 1.0));
    let mut x = vec![f32::NAN; rows * cols];
    let (mut dtable, mut dparts) = (table.clone(), parts.clone());
    composed_forward(&mut x, &table, &parts, of, &inputs);
    composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);

    let definition = |[table, parts, dx]: [Vec<f64>; 3]| {
        let (mut x, mut dtable, mut dparts) = (vec![0.0; dx.len()], table.clone(), parts.clone());
        composed::naive::composed_forward(&mut x, &table, &parts, of, &inputs);
        composed::naive::composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);
        [x, dtable, dparts]
    };
    let all = [&table, &parts, &dx].map(|x| wide(x));
    let [x0, dtable0, dparts0] = definition(all.clone());
    let terms = definition(all.map(|x| x.iter().map(|x| x.abs()).collect()));
    // The share, a product and a sum for each part; and a sum, or these three, for each row.
    let n_parts = Made::N_PARTS_MAX;
    let roundings = [3 * n_parts, rows, 3 * rows * n_parts];
    let [of_x, of_dtable, of_dparts] = [0, 1, 2].map(|i| relative(&terms[i], roundings[i]));
    vec![
        Compared::within("composed x", &x, x0, of_x),
        Compared::within("composed dtable", &dtable, dtable0, of_dtable),
        Compared::within("composed dparts", &dparts, dparts0, of_dparts),
    ]
}

pub fn row_sums_case(random: &mut Random, _: Precision) -> Vec<Compared> {
    let [n, k, n_rows] = [9, 3, 5].map(|max| random.between(1, max));
    let cols = width(random);
    let rows = some_rows(random, n * k, n_rows);
    let [x, table, dx] = [n, n_rows, n].map(|n| random.f32s(n * cols, 1.0));
    let (mut y, mut dtable) = (x.clone(), table.clone());
    row_sums_forward(&mut y, &table, &rows, k);
    row_sums_backward(&mut dtable, &dx, &rows, k);

    let definition = |[mut y, table, dx]: [Vec<f64>; 3]| {
        let mut dtable = table.clone();
        row_sums::naive::row_sums_forward(&mut y, &table, &rows, k);
        row_sums::naive::row_sums_backward(&mut dtable, &dx, &rows, k);
        [y, dtable]
    };
    let all = [&x, &table, &dx].map(|x| wide(x));
    let [y0, dtable0] = definition(all.clone());
    let terms = definition(all.map(|x| x.iter().map(|x| x.abs()).collect()));
    // One addition for each row of a place, or of all places.
    vec![
        Compared::within("row_sums x", &y, y0, relative(&terms[0], k)),
        Compared::within("row_sums dtable", &dtable, dtable0, relative(&terms[1], n * k)),
    ]
}
