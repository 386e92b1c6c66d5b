//! Reduction tests: sums of squares, additions of slices and of rows, finite checks.

use super::check::{Compared, planted};
use super::inputs::{Cells, Random, numbers, wide, width};
use super::{IN_CACHE, Line, Op, PLACES, line, no_gradients};
use kernels::reduce::{add_into, add_rows, all_finite, naive, sum_squares};
use kernels::{Precision, Rows};

pub const OP: Op = Op { compare, gradients: no_gradients, shared: None, bench };

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 1000 + width(random);
    let (mut x, mut y) = (random.f32s(n, 3.0), random.f32s(n, 3.0));
    let sums = (0..n).map(|i| f64::from(x[i] + y[i])).collect();
    add_into(&mut y, &x);
    // Squares are exact in f64, so the difference is that of two summation orders of positive numbers.
    let squares: f64 = wide(&x).iter().map(|x| x * x).sum();
    let sum = Compared {
        what: "sum_squares",
        got: vec![sum_squares(&x)],
        expected: vec![squares],
        bound: vec![2.0 * n as f64 * f64::EPSILON * squares],
        planted: planted(Precision::F32),
    };
    let is_finite = all_finite(&x);
    let i = random.between(0, n - 1);
    x[i] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.between(0, 2)];
    let found = [is_finite, all_finite(&x)].map(|is| f64::from(u8::from(is))).to_vec();
    vec![
        sum,
        Compared::exact("add_into", wide(&y), sums),
        compare_rows(random, precision),
        Compared::exact("all_finite", found, vec![1.0, 0.0]),
    ]
}

/// Rows are added in ascending order, so the result is bit-identical to the definition.
fn compare_rows(random: &mut Random, precision: Precision) -> Compared {
    let (rows, cols) = (random.between(0, 9), width(random));
    let x = Cells::new(&random.f32s(rows * cols, 2.0), precision);
    let mut sums = random.f32s(cols, 1.0);
    let mut expected = sums.clone();
    add_rows(&mut sums, x.rows());
    naive::add_rows(&mut expected, x.rows());
    Compared::exact("add_rows", wide(&sums), wide(&expected))
}

fn bench() -> Vec<Line> {
    let lines = PLACES.map(|(place, n)| {
        [
            line(format!("sum_squares {place}"), [2 * n, 4 * n], move || {
                let x = numbers(n);
                move || assert!(sum_squares(&x) > 0.0)
            }),
            line(format!("all_finite {place}"), [2 * n, 4 * n], move || {
                let x = numbers(n);
                move || assert!(all_finite(&x))
            }),
            line(format!("add_into {place}"), [n, 12 * n], move || {
                let (mut y, x) = (numbers(n), numbers(n));
                move || add_into(&mut y, &x)
            }),
        ]
    });
    let n = IN_CACHE;
    let rows = line("add_rows 128", [n, 4 * n], move || {
        let (mut y, x) = (numbers(128), numbers(n));
        move || add_rows(&mut y, Rows::F32(&x))
    });
    lines.into_iter().flatten().chain([rows]).collect()
}
