//! Row format tests: `store_rows` to f32 and bf16.

use super::check::Compared;
use super::inputs::{Cells, Random, numbers, wide, width};
use super::{Line, Op, PLACES, line, no_gradients};
use kernels::rows::store_rows;
use kernels::{Precision, RowsMut};

pub const OP: Op = Op { compare, gradients: no_gradients, shared: None, bench };

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let n = random.between(0, 3) * 64 + width(random);
    let x = random.f32s(n, 100.0);
    let got = Cells::written(n, precision, |y| store_rows(y, &x));
    let one_by_one = Cells::new(&x, precision).wide();
    vec![
        Compared::rounded("store_rows", &got, wide(&x), vec![0.0; n]),
        Compared::exact("store_rows element by element", got.wide(), one_by_one),
    ]
}

fn bench() -> Vec<Line> {
    let lines = PLACES.map(|(place, n)| {
        line(format!("store_rows bf16, {place}"), [0, 6 * n], move || {
            let (x, mut y) = (numbers(n), vec![0; n]);
            move || store_rows(RowsMut::Bf16(&mut y), &x)
        })
    });
    lines.into()
}
