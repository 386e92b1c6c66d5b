//! Matrix products at the edges of tiles and blocks, and split into parts.

use crate::ops::check::Compared;
use crate::ops::inputs::{Cells, Random};
use crate::ops::matmul::{EDGES, compare_packing, compare_products, compare_wgrad, modes, packed};
use crate::paths::{PRECISIONS, on_every_path, seed};
use kernels::matmul::{MatmulShape, Packed, matmul, naive};
use kernels::{Accum, Precision};

type Compare = fn(&mut Random, MatmulShape, Precision) -> Vec<Compared>;

/// Runs `compare` on every instruction set, precision and shape.
fn sweep(compare: Compare, shapes: &[[usize; 3]]) {
    on_every_path(|isa, precision| {
        let mut random = Random(seed());
        for &[m, n, k] in shapes {
            for output in compare(&mut random, MatmulShape { m, n, k }, precision) {
                let error = output.mismatch();
                assert_eq!(error, None, "{} {precision:?} ({m}, {n}, {k})", isa.name());
            }
        }
    });
}

/// Every pair of edges, with several lengths of the sum for each.
fn at_edges(shape: impl Fn(usize, usize, usize) -> [usize; 3]) -> Vec<[usize; 3]> {
    let mut shapes = Vec::new();
    for a in EDGES {
        for b in EDGES {
            shapes.extend([1, 2, 7, 33].map(|sum| shape(a, b, sum)));
        }
    }
    shapes
}

#[test]
fn products_at_every_tile_edge() {
    sweep(compare_products, &at_edges(|m, n, k| [m, n, k]));
}

#[test]
fn packing_at_every_panel_edge() {
    sweep(compare_packing, &at_edges(|n, k, _| [1, n, k]));
    sweep(compare_packing, &[[1, 101, 37], [1, 300, 129]]);
}

#[test]
fn products_across_blocks_of_k_and_of_rows() {
    sweep(
        compare_products,
        &[
            [3, 50, 511],
            [9, 97, 513],
            [2, 5, 1024],
            [7, 3, 2049],
            [300, 17, 600],
            [17, 100, 333],
            [64, 96, 2300],
        ],
    );
}

#[test]
fn empty_products() {
    let shapes = [[0, 5, 3], [4, 0, 3], [4, 5, 0], [3, 49, 0], [0, 0, 0]];
    sweep(compare_products, &shapes);
    sweep(compare_wgrad, &shapes);
}

#[test]
fn weight_gradients_at_every_tile_edge() {
    sweep(compare_wgrad, &at_edges(|n, k, m| [m, n, k]));
}

#[test]
fn weight_gradients_across_blocks() {
    sweep(
        compare_wgrad,
        &[[511, 9, 50], [513, 50, 49], [1030, 131, 20], [1, 300, 100], [1031, 150, 50]],
    );
}

#[test]
fn any_division_into_rows_or_panels_gives_the_same_bits() {
    on_every_path(|isa, precision| {
        let (m, n, k) = (29, 107, 1301);
        let mut random = Random(seed());
        let a = Cells::new(&random.f32s(m * k, 1.0), precision);
        let words = packed(&random.f32s(k * n, 1.0), k, n, precision);
        let b = Packed { words: &words, precision, k, n };
        let mut whole = vec![0.0; m * n];
        matmul(&mut whole, a.rows(), b, Accum::Replace);
        for part in [1, 2, 5, 8, 13] {
            let mut parts = vec![0.0; m * n];
            for (i, c) in parts.chunks_mut(part * n).enumerate() {
                let row = i * part;
                let a = a.rows().slice(row * k..(row + c.len() / n) * k);
                matmul(c, a, b, Accum::Replace);
            }
            assert_eq!(whole, parts, "{} {precision:?}: {part} rows a call", isa.name());
        }
    });
}

/// The check notices one product of 300 missing from one element.
#[test]
fn the_check_notices_a_planted_error() {
    let of_k = MatmulShape { m: 5, n: 7, k: 300 };
    let of_m = MatmulShape { m: 300, n: 7, k: 5 };
    on_every_path(|_, precision| {
        let mut outputs = compare_products(&mut Random(seed()), of_k, precision);
        outputs.extend(compare_wgrad(&mut Random(seed()), of_m, precision));
        for mut output in outputs {
            // A product of two numbers in (-1, 1) is about a quarter in magnitude.
            output.got[3] -= 0.25;
            assert!(output.mismatch().is_some(), "{}", output.what);
            output.got[3] = f64::NAN;
            assert!(output.mismatch().is_some(), "{}", output.what);
        }
    });
}

/// The definition is complete: it agrees with sums written out here.
#[test]
fn the_definition_accumulates_in_each_way() {
    let shape = MatmulShape { m: 1, n: 2, k: 2 };
    for precision in PRECISIONS {
        let a = Cells::new(&[1.0, 2.0], precision);
        let other = [100.0, 200.0];
        let expected = [[7.0, 10.0], [17.0, 30.0], [107.0, 210.0]];
        for (accum, expected) in modes(&other).into_iter().zip(expected) {
            let mut c = [10.0, 20.0];
            naive::matmul(&mut c, a.rows(), &[1.0, 2.0, 3.0, 4.0], shape, accum);
            assert_eq!(c, expected);
        }
    }
}

#[test]
fn a_wrong_shape_is_refused() {
    on_every_path(|_, precision| {
        let words = packed(&[0.0; 6], 3, 2, precision);
        let refused = std::panic::catch_unwind(|| {
            let b = Packed { words: &words, precision, k: 3, n: 2 };
            let a = Cells::new(&[0.0; 7], precision);
            matmul(&mut [0.0; 4], a.rows(), b, Accum::Replace);
        });
        let message = refused.expect_err("7 numbers are no 2 rows of 3");
        let message = message.downcast_ref::<String>().expect("a panic with values in its message");
        assert!(message.contains("matmul: argument a is not (M, K)"), "{message}");
    });
}
