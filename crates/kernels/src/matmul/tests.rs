//! The products against their definition: every instruction set, each side of every tile edge.

use super::wgrad::{Gradient, scratch_len_on};
use super::*;
use crate::isa::testing::paths;
use crate::rows::bf16_from_f32;

/// Numbers in a precision, owned.
enum Matrix {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
}

impl Matrix {
    /// `len` numbers in (-1, 1), a function of `seed` alone.
    fn random(len: usize, precision: Precision, seed: u64) -> Matrix {
        Matrix::of(&random(len, seed), precision)
    }

    fn of(values: &[f32], precision: Precision) -> Matrix {
        match precision {
            Precision::F32 => Matrix::F32(values.to_vec()),
            Precision::Bf16 => Matrix::Bf16(values.iter().map(|x| bf16_from_f32(*x)).collect()),
        }
    }

    fn rows(&self) -> Rows<'_> {
        match self {
            Matrix::F32(x) => Rows::F32(x),
            Matrix::Bf16(x) => Rows::Bf16(x),
        }
    }

    fn abs(&self) -> Matrix {
        match self {
            Matrix::F32(x) => Matrix::F32(x.iter().map(|x| x.abs()).collect()),
            Matrix::Bf16(x) => Matrix::Bf16(x.iter().map(|x| x & 0x7fff).collect()),
        }
    }
}

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// The accumulation modes, given the operand of `Plus`.
fn modes(other: &[f32]) -> [Accum<'_>; 3] {
    [Accum::Replace, Accum::Add, Accum::Plus(other)]
}

/// The size of what is added to a product.
fn added(before: &[f32], accum: Accum) -> Vec<f32> {
    match accum {
        Accum::Replace => vec![0.0; before.len()],
        Accum::Add => before.iter().map(|x| x.abs()).collect(),
        Accum::Plus(other) => other.iter().map(|x| x.abs()).collect(),
    }
}

/// Two ways to sum `n` rounded products of total size `size` differ by no more than this.
///
/// Each is within gamma(n) = n·u / (1 - n·u) of the exact sum, u being half of epsilon; one more
/// rounding adds the former contents. Results below the normal range may be flushed to zero.
fn bound(n: usize, size: f32) -> f32 {
    let nu = (n + 2) as f32 * f32::EPSILON / 2.0;
    2.0 * nu / (1.0 - nu) * size + (n + 1) as f32 * f32::MIN_POSITIVE
}

/// The first element of `got` that is farther from `expected` than the bound allows.
fn mismatch(got: &[f32], expected: &[f32], size: &[f32], n: usize) -> Option<String> {
    assert_eq!(got.len(), expected.len());
    (0..got.len())
        .find(|i| {
            let error = (got[*i] - expected[*i]).abs();
            error.is_nan() || error > bound(n, size[*i])
        })
        .map(|i| format!("element {i}: {} instead of {}", got[i], expected[i]))
}

fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut t = vec![0.0; x.len()];
    for i in 0..rows {
        for j in 0..cols {
            t[j * rows + i] = x[i * cols + j];
        }
    }
    t
}

fn packed(isa: Isa, b: &[f32], k: usize, n: usize, precision: Precision) -> Vec<u32> {
    // Poisoned, so that a word that packing leaves out shows.
    let mut words = vec![u32::MAX; pack::packed_len_on(isa, precision, k, n)];
    let panels = 0..n.div_ceil(tile::for_f32(isa).cols);
    pack::straight_on(isa, &mut words, b, k, n, precision, panels);
    words
}

fn product(isa: Isa, c: &mut [f32], a: Rows, words: &[u32], shape: MatmulShape, accum: Accum) {
    let b = Packed { words, precision: a.precision(), k: shape.k, n: shape.n };
    let panels = 0..shape.n.div_ceil(tile::for_f32(isa).cols);
    matmul_on(isa, c, a, b, panels, accum);
}

fn check_matmul(isa: Isa, precision: Precision, shape: MatmulShape) {
    let MatmulShape { m, n, k } = shape;
    let a = Matrix::random(m * k, precision, 1 + k as u64);
    let b = random(k * n, 2 + n as u64);
    let (before, other) = (random(m * n, 3), random(m * n, 4));
    let words = packed(isa, &b, k, n, precision);
    let mut from_transposed = vec![u32::MAX; words.len()];
    let panels = 0..n.div_ceil(tile::for_f32(isa).cols);
    let w = transposed(&b, k, n);
    pack::transposed_on(isa, &mut from_transposed, &w, k, n, precision, panels);
    assert_eq!(words, from_transposed, "{} {precision:?} {shape:?}: packing", isa.name());

    let b_abs: Vec<f32> = b.iter().map(|x| x.abs()).collect();
    for accum in modes(&other) {
        let (mut got, mut expected) = (before.clone(), before.clone());
        let mut size = added(&before, accum);
        product(isa, &mut got, a.rows(), &words, shape, accum);
        naive::matmul(&mut expected, a.rows(), &b, shape, accum);
        naive::matmul(&mut size, a.abs().rows(), &b_abs, shape, Accum::Add);
        if let Some(what) = mismatch(&got, &expected, &size, k) {
            panic!("{} {precision:?} {shape:?}: {what}", isa.name());
        }
    }
}

fn check_wgrad(isa: Isa, precision: Precision, shape: MatmulShape) {
    let MatmulShape { m, n, k } = shape;
    let dy = Matrix::random(m * n, precision, 5 + n as u64);
    let x = Matrix::random(m * k, precision, 6 + k as u64);
    let (dy_abs, x_abs) = (dy.abs(), x.abs());
    let (before, other) = (random(n * k, 7), random(n * k, 8));
    let mut scratch = vec![u32::MAX; scratch_len_on(isa, shape, precision)];
    for accum in modes(&other) {
        let (mut got, mut expected) = (before.clone(), before.clone());
        let mut size = added(&before, accum);
        let (dy, x) = (dy.rows(), x.rows());
        let gradient = Gradient { isa, dy, x, shape, outputs: 0..n, accum };
        gradient.compute(&mut got, &mut scratch);
        naive::matmul_wgrad(&mut expected, dy, x, shape, accum);
        naive::matmul_wgrad(&mut size, dy_abs.rows(), x_abs.rows(), shape, Accum::Add);
        if let Some(what) = mismatch(&got, &expected, &size, m) {
            panic!("{} {precision:?} {shape:?}: {what}", isa.name());
        }
    }
}

/// Runs `check` on every instruction set, precision and shape.
fn sweep(check: fn(Isa, Precision, MatmulShape), shapes: &[[usize; 3]]) {
    for isa in paths() {
        for precision in PRECISIONS {
            for &[m, n, k] in shapes {
                check(isa, precision, MatmulShape { m, n, k });
            }
        }
    }
}

/// Sizes on each side of the edges of tiles 2, 6, 8 rows high and 16 and 48 columns wide.
const EDGES: [usize; 16] = [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49];

#[test]
fn products_at_every_tile_edge() {
    let shapes: Vec<_> = EDGES
        .iter()
        .flat_map(|&m| EDGES.iter().flat_map(move |&n| [1, 2, 7, 33].map(|k| [m, n, k])))
        .collect();
    sweep(check_matmul, &shapes);
}

#[test]
fn products_across_blocks_of_k_and_of_rows() {
    sweep(check_matmul, &[[3, 50, 511], [9, 97, 513], [2, 5, 1024], [7, 3, 2049], [300, 17, 600]]);
}

#[test]
fn empty_products() {
    sweep(check_matmul, &[[0, 5, 3], [4, 0, 3], [4, 5, 0], [0, 0, 0]]);
    sweep(check_wgrad, &[[0, 5, 3], [4, 0, 3], [4, 5, 0], [0, 0, 0]]);
}

#[test]
fn weight_gradients_at_every_tile_edge() {
    let shapes: Vec<_> = EDGES
        .iter()
        .flat_map(|&n| EDGES.iter().flat_map(move |&k| [1, 2, 7, 33].map(|m| [m, n, k])))
        .collect();
    sweep(check_wgrad, &shapes);
}

#[test]
fn weight_gradients_across_blocks() {
    sweep(check_wgrad, &[[511, 9, 50], [513, 50, 49], [1030, 131, 20], [1, 300, 100]]);
}

#[test]
fn rows_and_panels_keep_their_bits_however_they_are_dealt() {
    for isa in paths() {
        for precision in PRECISIONS {
            let shape = MatmulShape { m: 29, n: 107, k: 1301 };
            let MatmulShape { m, n, k } = shape;
            let a = Matrix::random(m * k, precision, 11);
            let words = packed(isa, &random(k * n, 12), k, n, precision);
            let mut whole = vec![0.0; m * n];
            product(isa, &mut whole, a.rows(), &words, shape, Accum::Replace);
            for part in [1, 2, 5, 8, 13] {
                let mut parts = vec![0.0; m * n];
                for (i, c) in parts.chunks_mut(part * n).enumerate() {
                    let (row, m) = (i * part, c.len() / n);
                    let a = a.rows().slice(row * k..(row + m) * k);
                    product(isa, c, a, &words, MatmulShape { m, n, k }, Accum::Replace);
                }
                assert_eq!(whole, parts, "{} {precision:?}: {part} rows a call", isa.name());
            }
            let b = Packed { words: &words, precision, k, n };
            for p in 0..n.div_ceil(tile::for_f32(isa).cols) {
                let columns = pack::panel_columns_on(isa, n, p..p + 1);
                let mut c = vec![0.0; columns.len()];
                let a = a.rows().slice(0..k);
                matmul_on(isa, &mut c, a, b, p..p + 1, Accum::Replace);
                assert_eq!(c, whole[columns], "{} {precision:?}: panel {p}", isa.name());
            }
        }
    }
}

#[test]
fn panels_packed_one_by_one_are_those_packed_at_once() {
    let (k, n) = (37, 101);
    let w = random(k * n, 41);
    for isa in paths() {
        for precision in PRECISIONS {
            for pack in [pack::transposed_on, pack::straight_on] {
                let panel_len = pack::panel_len_on(isa, precision, k);
                let mut whole = vec![0; pack::packed_len_on(isa, precision, k, n)];
                let mut parts = whole.clone();
                let n_panels = whole.len() / panel_len;
                pack(isa, &mut whole, &w, k, n, precision, 0..n_panels);
                for (p, part) in parts.chunks_mut(panel_len).enumerate() {
                    pack(isa, part, &w, k, n, precision, p..p + 1);
                }
                assert_eq!(whole, parts, "{} {precision:?}", isa.name());
            }
        }
    }
}

#[test]
fn packing_on_the_way_gives_the_bits_of_packing_first() {
    for shape in [[1, 1, 1], [9, 50, 7], [17, 100, 333], [64, 96, 2300], [3, 49, 0]] {
        let [m, n, k] = shape;
        let shape = MatmulShape { m, n, k };
        for isa in Isa::available() {
            for precision in PRECISIONS {
                let (a, w) = (Matrix::random(m * k, precision, 5), random(k * n, 6));
                let other = random(m * n, 7);
                let words = packed(isa, &w, k, n, precision);
                let mut scratch = vec![0; straight::scratch_len_on(isa, shape, precision)];
                for accum in modes(&other) {
                    let mut expected = random(m * n, 8);
                    let mut got = expected.clone();
                    product(isa, &mut expected, a.rows(), &words, shape, accum);
                    let rows = a.rows();
                    straight::straight_on(isa, &mut got, rows, &w, shape, accum, &mut scratch);
                    assert_eq!(got, expected, "{} {precision:?} {shape:?}", isa.name());
                }
            }
        }
    }
}

#[test]
fn outputs_of_a_gradient_keep_their_bits_however_they_are_dealt() {
    let shape = MatmulShape { m: 1031, n: 150, k: 50 };
    let MatmulShape { m, n, k } = shape;
    for isa in paths() {
        for precision in PRECISIONS {
            let dy = Matrix::random(m * n, precision, 31);
            let x = Matrix::random(m * k, precision, 32);
            let mut scratch = vec![u32::MAX; scratch_len_on(isa, shape, precision)];
            let mut gradient = |outputs: Range<usize>| {
                let mut dw = vec![0.0; outputs.len() * k];
                let (dy, x, accum) = (dy.rows(), x.rows(), Accum::Replace);
                Gradient { isa, dy, x, shape, outputs, accum }.compute(&mut dw, &mut scratch);
                dw
            };
            let whole = gradient(0..n);
            for cut in [0, 1, 7, 75, 149] {
                let parts = [gradient(0..cut), gradient(cut..n)].concat();
                assert_eq!(whole, parts, "{} {precision:?}: cut at {cut}", isa.name());
            }
        }
    }
}

#[test]
fn the_check_catches_a_planted_error() {
    let shape = MatmulShape { m: 5, n: 7, k: 300 };
    for precision in PRECISIONS {
        let a = Matrix::random(shape.m * shape.k, precision, 21);
        let b = random(shape.k * shape.n, 22);
        let b_abs: Vec<f32> = b.iter().map(|x| x.abs()).collect();
        let (mut expected, mut size) = (vec![0.0; 35], vec![0.0; 35]);
        naive::matmul(&mut expected, a.rows(), &b, shape, Accum::Replace);
        naive::matmul(&mut size, a.abs().rows(), &b_abs, shape, Accum::Replace);
        assert_eq!(mismatch(&expected, &expected, &size, shape.k), None);
        // One product of the 300 left out, in one element: its size is far above the bound.
        let mut wrong = expected.clone();
        wrong[17] -= a.rows().get(2 * 300 + 150) * b[150 * 7 + 3];
        assert!(mismatch(&wrong, &expected, &size, shape.k).unwrap().starts_with("element 17"));
        wrong[17] = f32::NAN;
        assert!(mismatch(&wrong, &expected, &size, shape.k).is_some());
    }
}

#[test]
#[should_panic(expected = "matmul: argument a is not (M, K)")]
fn a_wrong_shape_is_refused() {
    let b = Packed { words: &packed(Isa::Portable, &[0.0; 6], 3, 2, Precision::F32), ..B3X2 };
    matmul_on(Isa::Portable, &mut [0.0; 4], Rows::F32(&[0.0; 7]), b, 0..1, Accum::Replace);
}

const B3X2: Packed = Packed { words: &[], precision: Precision::F32, k: 3, n: 2 };
