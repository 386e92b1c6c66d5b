//! Matrix product tests: packed and packed-on-the-fly operands, weight gradients, and packing.

use super::check::{Compared, TINY, U, errors};
use super::inputs::{Cells, Random, aligned, numbers, wide};
use super::{Line, Op, line, no_gradients};
use kernels::matmul::{
    MatmulShape, Packed, matmul, matmul_panels, matmul_straight, matmul_wgrad, n_panels, naive,
    pack_straight, pack_straight_panels, pack_transposed, pack_transposed_panels, packed_len,
    panel_columns, panel_len, straight_scratch_len, wgrad_scratch_len,
};
use kernels::{Accum, AlignedVec, Pool, Precision};

pub const OP: Op = Op { compare, gradients: no_gradients, shared: Some(shared), bench };

/// Sizes on both sides of the edges of tiles 2, 6, 8 rows high and 16 and 48 columns wide.
pub const EDGES: [usize; 16] = [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49];

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let [m, n] = [(); 2].map(|()| EDGES[random.between(0, EDGES.len() - 1)]);
    let shape = MatmulShape { m, n, k: random.between(1, 90) };
    let mut outputs = compare_products(random, shape, precision);
    outputs.extend(compare_wgrad(random, shape, precision));
    outputs.extend(compare_packing(random, shape, precision));
    outputs
}

/// The accumulation modes, given the operand of `Plus`.
pub fn modes(other: &[f32]) -> [Accum<'_>; 3] {
    [Accum::Replace, Accum::Add, Accum::Plus(other)]
}

/// Magnitudes of the matrix that is added to a product.
fn added(before: &[f32], accum: Accum) -> Vec<f32> {
    match accum {
        Accum::Replace => vec![0.0; before.len()],
        Accum::Add => before.iter().map(|x| x.abs()).collect(),
        Accum::Plus(other) => other.iter().map(|x| x.abs()).collect(),
    }
}

/// Compares two ways to sum `n` rounded terms with total magnitude `size`.
///
/// Each is within gamma(n) of the exact sum; adding the former contents is one more rounding. Results
/// below the normal range may be flushed to zero.
fn compared(what: &'static str, got: &[f32], expected: &[f32], size: &[f32], n: usize) -> Compared {
    let nu = (n + 2) as f64 * U;
    let bound = |size: f32| 2.0 * nu / (1.0 - nu) * f64::from(size) + (n + 1) as f64 * TINY;
    Compared::within(what, got, wide(expected), errors(size.len(), |i| bound(size[i])))
}

/// Magnitudes of numbers, in the same format.
fn abs(x: &Cells) -> Cells {
    let x = x.rows();
    let magnitudes: Vec<f32> = (0..x.len()).map(|i| x.get(i).abs()).collect();
    Cells::new(&magnitudes, x.precision())
}

/// `b` (K, N), packed into a poisoned buffer, so that a word that packing omits shows.
pub fn packed(b: &[f32], k: usize, n: usize, precision: Precision) -> Vec<u32> {
    let mut words = vec![u32::MAX; packed_len(precision, k, n)];
    pack_straight(&mut words, b, k, n, precision);
    words
}

/// Every product with a right operand against the definition, in each accumulation mode.
pub fn compare_products(
    random: &mut Random,
    shape: MatmulShape,
    precision: Precision,
) -> Vec<Compared> {
    let MatmulShape { m, n, k } = shape;
    let a = Cells::new(&random.f32s(m * k, 1.0), precision);
    let [b, before, other] = [k * n, m * n, m * n].map(|n| random.f32s(n, 1.0));
    let words = packed(&b, k, n, precision);
    let packed = Packed { words: &words, precision, k, n };
    let b_abs: Vec<f32> = b.iter().map(|x| x.abs()).collect();
    let mut scratch = vec![u32::MAX; straight_scratch_len(shape, precision)];
    let mut outputs = Vec::new();
    for accum in modes(&other) {
        let (mut expected, mut size) = (before.clone(), added(&before, accum));
        naive::matmul(&mut expected, a.rows(), &b, shape, accum);
        naive::matmul(&mut size, abs(&a).rows(), &b_abs, shape, Accum::Add);
        let [mut whole, mut straight] = [before.clone(), before.clone()];
        matmul(&mut whole, a.rows(), packed, accum);
        outputs.push(compared("matmul c", &whole, &expected, &size, k));
        matmul_straight(&mut straight, a.rows(), &b, shape, accum, &mut scratch);
        // Packing on the fly is bit-identical to packing first.
        outputs.push(Compared::exact("matmul_straight c", wide(&straight), wide(&whole)));
    }
    let mut panels = vec![f32::NAN; n];
    let mut expected = vec![f32::NAN; n];
    if m > 0 {
        let row = a.rows().slice(0..k);
        for p in 0..n_panels(n) {
            let columns = panel_columns(n, p..p + 1);
            matmul_panels(&mut panels[columns], row, packed, p..p + 1, Accum::Replace);
        }
        matmul(&mut expected, row, packed, Accum::Replace);
        outputs.push(Compared::exact("matmul_panels c", wide(&panels), wide(&expected)));
    }
    outputs
}

/// The weight gradient against the definition, in each accumulation mode.
pub fn compare_wgrad(
    random: &mut Random,
    shape: MatmulShape,
    precision: Precision,
) -> Vec<Compared> {
    let MatmulShape { m, n, k } = shape;
    let [dy, x] = [m * n, m * k].map(|n| Cells::new(&random.f32s(n, 1.0), precision));
    let [before, other] = [n * k, n * k].map(|n| random.f32s(n, 1.0));
    let mut scratch = vec![u32::MAX; wgrad_scratch_len(shape, precision)];
    let outputs = modes(&other).map(|accum| {
        let (mut dw, mut expected) = (before.clone(), before.clone());
        let mut size = added(&before, accum);
        matmul_wgrad(&mut dw, dy.rows(), x.rows(), shape, accum, &mut scratch);
        naive::matmul_wgrad(&mut expected, dy.rows(), x.rows(), shape, accum);
        naive::matmul_wgrad(&mut size, abs(&dy).rows(), abs(&x).rows(), shape, Accum::Add);
        compared("matmul_wgrad dw", &dw, &expected, &size, m)
    });
    outputs.into()
}

/// The transpose of `x` (rows, cols).
fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect()
}

/// Words of a packed matrix as numbers.
fn words_of(words: &[u32]) -> Vec<f64> {
    words.iter().map(|word| f64::from(*word)).collect()
}

/// A packed matrix must equal its product with the unit matrix, however it was packed.
pub fn compare_packing(
    random: &mut Random,
    shape: MatmulShape,
    precision: Precision,
) -> Vec<Compared> {
    let MatmulShape { n, k, .. } = shape;
    let b = random.f32s(k * n, 1.0);
    let w = transposed(&b, k, n);
    let straight = packed(&b, k, n, precision);
    let unit: Vec<f32> = (0..k * k).map(|i| f32::from(u8::from(i % (k + 1) == 0))).collect();
    let mut product = vec![f32::NAN; k * n];
    let packed = Packed { words: &straight, precision, k, n };
    matmul(&mut product, Cells::new(&unit, precision).rows(), packed, Accum::Replace);

    let [mut packed_transpose, mut parts, mut transpose_parts] =
        [(); 3].map(|()| vec![u32::MAX; straight.len()]);
    pack_transposed(&mut packed_transpose, &w, k, n, precision);
    let len = panel_len(precision, k);
    for p in 0..n_panels(n) {
        let (at, panel) = (p * len..(p + 1) * len, p..p + 1);
        pack_straight_panels(&mut parts[at.clone()], &b, k, n, precision, panel.clone());
        pack_transposed_panels(&mut transpose_parts[at], &w, k, n, precision, panel);
    }
    let expected = words_of(&straight);
    vec![
        Compared::exact("pack_straight b", wide(&product), Cells::new(&b, precision).wide()),
        Compared::exact("pack_transposed words", words_of(&packed_transpose), expected.clone()),
        Compared::exact("pack_straight_panels words", words_of(&parts), expected.clone()),
        Compared::exact("pack_transposed_panels words", words_of(&transpose_parts), expected),
    ]
}

/// A product whose rows are split among threads, then one row whose panels are.
fn shared(pool: &mut Pool, precision: Precision) -> Vec<f32> {
    let (m, n, k) = (29, 107, 1301);
    let mut random = Random(11);
    let a = Cells::new(&random.f32s(m * k, 1.0), precision);
    let words = packed(&random.f32s(k * n, 1.0), k, n, precision);
    let b = Packed { words: &words, precision, k, n };
    let mut c = vec![f32::NAN; (m + 1) * n];
    let (of_rows, of_row) = c.split_at_mut(m * n);
    let rows = m.div_ceil(pool.threads());
    let ranges: Vec<_> = (0..m).step_by(rows).map(|r| r * n..m.min(r + rows) * n).collect();
    pool.for_each_range([of_rows], &ranges, |i, [c]| {
        let first = ranges[i].start / n;
        let a = a.rows().slice(first * k..(first + c.len() / n) * k);
        matmul(c, a, b, Accum::Replace);
    });
    let panels = n_panels(n).div_ceil(pool.threads());
    let firsts: Vec<_> = (0..n_panels(n)).step_by(panels).collect();
    let panels = |first: usize| first..n_panels(n).min(first + panels);
    let ranges: Vec<_> = firsts.iter().map(|first| panel_columns(n, panels(*first))).collect();
    pool.for_each_range([of_row], &ranges, |i, [c]| {
        matmul_panels(c, a.rows().slice(0..k), b, panels(firsts[i]), Accum::Replace);
    });
    c
}

/// (K, N) of the layers of models of width 128 to 768, and of their output layers.
const LAYERS: [(usize, usize); 13] = [
    (128, 384),
    (128, 704),
    (352, 128),
    (384, 1152),
    (384, 2048),
    (1024, 384),
    (768, 2304),
    (768, 4096),
    (2048, 768),
    (128, 4096),
    (128, 33278),
    (384, 8192),
    (768, 50257),
];

/// Rows per call.
const ROWS: [usize; 5] = [128, 256, 512, 1024, 2048];

/// Most outputs of a call: 240 MB.
const MAX_LOGITS: usize = 60_000_000;

fn bench() -> Vec<Line> {
    let mut lines = Vec::new();
    for precision in [Precision::F32, Precision::Bf16] {
        for (k, n) in LAYERS {
            for m in ROWS.into_iter().filter(|m| m * n <= MAX_LOGITS) {
                lines.extend(bench_products(MatmulShape { m, n, k }, precision));
            }
            lines.extend(bench_packing(k, n, precision));
        }
        // Few rows times weights that exceed every cache.
        let (k, n) = (768, 50257);
        let decode = |m| bench_product("matmul decode", MatmulShape { m, n, k }, precision);
        lines.extend([1, 2, 4, 8].map(decode));
    }
    lines
}

fn bytes_of(shape: MatmulShape, precision: Precision) -> usize {
    let MatmulShape { m, n, k } = shape;
    let size = if precision == Precision::F32 { 4 } else { 2 };
    size * (m * k + k * n) + 4 * m * n
}

fn bench_product(what: &str, shape: MatmulShape, precision: Precision) -> Line {
    let MatmulShape { m, n, k } = shape;
    let name = format!("{what} {} m{m} {k}x{n}", precision.name());
    line(name, [2 * m * n * k, bytes_of(shape, precision)], move || {
        let a = Cells::new(&numbers(m * k), precision);
        let mut words = AlignedVec::zeroed(packed_len(precision, k, n));
        pack_straight(&mut words, &numbers(k * n), k, n, precision);
        let mut c = AlignedVec::zeroed(m * n);
        move || {
            let b = Packed { words: &words, precision, k, n };
            matmul(&mut c, a.rows(), b, Accum::Replace);
        }
    })
}

/// The three products of a layer in training.
fn bench_products(shape: MatmulShape, precision: Precision) -> [Line; 4] {
    let MatmulShape { m, n, k } = shape;
    let name = |what: &str| format!("{what} {} m{m} {k}x{n}", precision.name());
    let cost = [2 * m * n * k, bytes_of(shape, precision)];
    let dgrad_shape = MatmulShape { m, n: k, k: n };
    [
        bench_product("matmul forward", shape, precision),
        bench_product("matmul dgrad", dgrad_shape, precision),
        line(name("matmul_straight dgrad"), cost, move || {
            let (a, w) = (Cells::new(&numbers(m * n), precision), aligned(&numbers(n * k)));
            let mut c = AlignedVec::zeroed(m * k);
            let mut scratch = AlignedVec::zeroed(straight_scratch_len(dgrad_shape, precision));
            move || matmul_straight(&mut c, a.rows(), &w, dgrad_shape, Accum::Replace, &mut scratch)
        }),
        line(name("matmul_wgrad"), cost, move || {
            let [dy, x] = [m * n, m * k].map(|n| Cells::new(&numbers(n), precision));
            let mut dw = AlignedVec::zeroed(n * k);
            let mut scratch = AlignedVec::zeroed(wgrad_scratch_len(shape, precision));
            move || matmul_wgrad(&mut dw, dy.rows(), x.rows(), shape, Accum::Add, &mut scratch)
        }),
    ]
}

/// Packing of a weight both ways, whole and panel by panel as threads share it.
fn bench_packing(k: usize, n: usize, precision: Precision) -> [Line; 5] {
    type Pack = fn(&mut [u32], &[f32], usize, usize, Precision);
    let pack = |what: &str, pack: Pack| {
        let size = if precision == Precision::F32 { 4 } else { 2 };
        let name = format!("{what} {} {k}x{n}", precision.name());
        line(name, [0, (4 + size) * k * n], move || {
            let (w, mut words) =
                (aligned(&numbers(k * n)), AlignedVec::zeroed(packed_len(precision, k, n)));
            move || pack(&mut words, &w, k, n, precision)
        })
    };
    let panels = |words: &mut [u32], w: &[f32], k, n, precision| {
        for (p, words) in words.chunks_exact_mut(panel_len(precision, k)).enumerate() {
            pack_straight_panels(words, w, k, n, precision, p..p + 1);
        }
    };
    let turned_panels = |words: &mut [u32], w: &[f32], k, n, precision| {
        for (p, words) in words.chunks_exact_mut(panel_len(precision, k)).enumerate() {
            pack_transposed_panels(words, w, k, n, precision, p..p + 1);
        }
    };
    let row = line(
        format!("matmul_panels {} m1 {k}x{n}", precision.name()),
        [2 * k * n, bytes_of(MatmulShape { m: 1, n, k }, precision)],
        move || {
            let (a, mut c) = (Cells::new(&numbers(k), precision), AlignedVec::zeroed(n));
            let words = packed(&numbers(k * n), k, n, precision);
            move || {
                let b = Packed { words: &words, precision, k, n };
                for p in 0..n_panels(n) {
                    let c = &mut c[panel_columns(n, p..p + 1)];
                    matmul_panels(c, a.rows(), b, p..p + 1, Accum::Replace);
                }
            }
        },
    );
    [
        pack("pack_straight", pack_straight),
        pack("pack_transposed", pack_transposed),
        pack("pack_straight_panels", panels),
        pack("pack_transposed_panels", turned_panels),
        row,
    ]
}
