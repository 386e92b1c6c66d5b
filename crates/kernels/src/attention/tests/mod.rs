//! Attention against its definition: every instruction set, both precisions, many odd shapes.

mod bounds;
mod cached;
mod functions;
mod gradients;

use super::backward::Backward;
use super::forward::Forward;
use super::{AttentionShape, attention_scratch_len, dispatch, naive};
use crate::isa::Isa;
use crate::isa::testing::paths;
use crate::rows::{Precision, Rows, RowsMut, store_rows};
use bounds::{backward_bound, forward_bound};

/// Sizes at, below and above every edge: lanes, tiles, blocks of rows and of keys.
fn shapes() -> Vec<AttentionShape> {
    let sizes = [
        // T, D, H, K
        (0, 4, 2, 1),
        (1, 2, 1, 1),
        (1, 64, 6, 2),
        (2, 1, 2, 1),
        (3, 8, 3, 1),
        (7, 5, 2, 2),
        (16, 16, 2, 1),
        (17, 20, 4, 2),
        (48, 32, 2, 2),
        (49, 33, 1, 1),
        (64, 128, 1, 1),
        (97, 8, 10, 2),
        (128, 32, 4, 4),
        (129, 48, 3, 3),
        (145, 80, 2, 1),
        (385, 20, 2, 1),
    ];
    let shape = |(seq_len, head_dim, n_heads, n_kv_heads)| AttentionShape {
        n_heads,
        n_kv_heads,
        head_dim,
        seq_len,
    };
    sizes.map(shape).into()
}

/// Numbers in [-2, 2) that look random.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9).wrapping_add(12_345);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect()
}

/// Numbers in one of the formats.
#[derive(Clone, PartialEq, Debug)]
enum Buffer {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
}

impl Buffer {
    fn new(x: &[f32], precision: Precision) -> Buffer {
        match precision {
            Precision::F32 => Buffer::F32(x.into()),
            Precision::Bf16 => {
                let mut buffer = vec![0; x.len()];
                store_rows(RowsMut::Bf16(&mut buffer), x);
                Buffer::Bf16(buffer)
            }
        }
    }
    fn rows(&self) -> Rows<'_> {
        match self {
            Buffer::F32(x) => Rows::F32(x),
            Buffer::Bf16(x) => Rows::Bf16(x),
        }
    }
    fn rows_mut(&mut self) -> RowsMut<'_> {
        match self {
            Buffer::F32(x) => RowsMut::F32(x),
            Buffer::Bf16(x) => RowsMut::Bf16(x),
        }
    }
    fn to_f64(&self) -> Vec<f64> {
        (0..self.rows().len()).map(|i| self.rows().get(i).into()).collect()
    }
}

/// Which number is farther from what it should be than it may, if any is.
fn outside(got: &[f64], want: &[f64], bound: &[f64]) -> Option<String> {
    assert_eq!(got.len(), want.len());
    assert_eq!(got.len(), bound.len());
    (0..got.len())
        .find(|&i| (got[i] - want[i]).abs() > bound[i] || got[i].is_nan())
        .map(|i| format!("[{i}] is {:e}, should be {:e} within {:e}", got[i], want[i], bound[i]))
}

fn to_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// The forward pass on `isa`, with NaN in everything that it must not read.
fn forward_on(isa: Isa, qkv: &Buffer, shape: AttentionShape) -> (Buffer, Vec<f32>) {
    let precision = qkv.rows().precision();
    let mut y = Buffer::new(&vec![f32::NAN; shape.seq_len * shape.y_dim()], precision);
    let mut lse = vec![f32::NAN; shape.n_heads * shape.seq_len];
    let mut scratch = vec![f32::NAN; attention_scratch_len(shape, precision)];
    let (y_rows, lse_rows) = (y.rows_mut(), &mut lse);
    let kernel =
        Forward { y: y_rows, lse: lse_rows, qkv: qkv.rows(), shape, scratch: &mut scratch };
    dispatch(isa, precision, kernel);
    (y, lse)
}

/// What a backward pass reads: `y` and `lse` are the definition's, rounded.
struct BackwardCase {
    shape: AttentionShape,
    qkv: Buffer,
    dy: Vec<f32>,
    y: Buffer,
    lse: Vec<f32>,
}

impl BackwardCase {
    fn new(shape: AttentionShape, precision: Precision) -> BackwardCase {
        let qkv = Buffer::new(&noise(shape.seq_len * shape.qkv_dim(), 3), precision);
        let dy = noise(shape.seq_len * shape.y_dim(), 4);
        let mut y = vec![0.0; shape.seq_len * shape.y_dim()];
        let mut lse = vec![0.0; shape.n_heads * shape.seq_len];
        naive::forward(&mut y, &mut lse, &qkv.to_f64(), shape);
        let y: Vec<f32> = y.iter().map(|y| *y as f32).collect();
        let lse = lse.iter().map(|lse| *lse as f32).collect();
        BackwardCase { shape, qkv, dy, y: Buffer::new(&y, precision), lse }
    }

    fn run_on(&self, isa: Isa) -> Vec<f32> {
        let (shape, precision) = (self.shape, self.qkv.rows().precision());
        let mut dqkv = vec![f32::NAN; shape.seq_len * shape.qkv_dim()];
        let mut scratch = vec![f32::NAN; attention_scratch_len(shape, precision)];
        let kernel = Backward {
            dqkv: &mut dqkv,
            dy: &self.dy,
            y: self.y.rows(),
            qkv: self.qkv.rows(),
            lse: &self.lse,
            shape,
            scratch: &mut scratch,
        };
        dispatch(isa, precision, kernel);
        dqkv
    }

    fn check(&self, dqkv: &[f32]) -> Option<String> {
        let (qkv, dy, y) = (self.qkv.to_f64(), to_f64(&self.dy), self.y.to_f64());
        let lse = to_f64(&self.lse);
        let mut want = vec![0.0; dqkv.len()];
        naive::backward(&mut want, &dy, &y, &qkv, &lse, self.shape);
        let precision = self.qkv.rows().precision();
        let bound = backward_bound(&dy, &y, &qkv, &lse, self.shape, precision);
        outside(&to_f64(dqkv), &want, &bound)
    }
}

fn check_forward(qkv: &Buffer, y: &Buffer, lse: &[f32], shape: AttentionShape) -> Option<String> {
    let (mut want_y, mut want_lse) = (vec![0.0; y.rows().len()], vec![0.0; lse.len()]);
    naive::forward(&mut want_y, &mut want_lse, &qkv.to_f64(), shape);
    let (y_bound, lse_bound) = forward_bound(&qkv.to_f64(), shape, qkv.rows().precision());
    outside(&y.to_f64(), &want_y, &y_bound)
        .map(|e| format!("y{e}"))
        .or_else(|| outside(&to_f64(lse), &want_lse, &lse_bound).map(|e| format!("lse{e}")))
}

fn each_path(mut test: impl FnMut(Isa, Precision)) {
    for isa in paths() {
        for precision in [Precision::F32, Precision::Bf16] {
            test(isa, precision);
        }
    }
}

#[test]
fn forward_is_the_definition() {
    for shape in shapes() {
        each_path(|isa, precision| {
            let qkv = Buffer::new(&noise(shape.seq_len * shape.qkv_dim(), 1), precision);
            let (y, lse) = forward_on(isa, &qkv, shape);
            let error = check_forward(&qkv, &y, &lse, shape);
            assert_eq!(error, None, "{} {precision:?} {shape:?}", isa.name());
        });
    }
}

#[test]
fn backward_is_the_definition() {
    for shape in shapes() {
        for precision in [Precision::F32, Precision::Bf16] {
            let case = BackwardCase::new(shape, precision);
            for isa in paths() {
                let error = case.check(&case.run_on(isa));
                assert_eq!(error, None, "{} {precision:?} {shape:?}", isa.name());
            }
        }
    }
}

/// Scores far beyond what exp can hold, falling and rising along the keys.
#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 16, seq_len: 800 };
    for slope in [-0.5, 0.5] {
        each_path(|isa, precision| {
            let mut x = noise(shape.seq_len * shape.qkv_dim(), 5);
            for t in 0..shape.seq_len {
                x[shape.key(t, 0)].fill(slope * t as f32 / 8.0);
                x[shape.query(t, 0)].fill(4.0);
            }
            let qkv = Buffer::new(&x, precision);
            let (y, lse) = forward_on(isa, &qkv, shape);
            let error = check_forward(&qkv, &y, &lse, shape);
            assert_eq!(error, None, "{} {precision:?} {slope}", isa.name());
        });
    }
}

/// Whether as many further positions always add as much; 1,536 is a multiple of every block.
fn is_linear(len: impl Fn(usize) -> usize) -> bool {
    let steps = [1, 2, 3].map(|i| len((i + 1) * 1536) - len(i * 1536));
    steps == [steps[0]; 3]
}

/// Scratch is far less than one (T, T) matrix and grows with T alone; it is all that is used.
#[test]
fn memory_is_linear_in_length() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 2, head_dim: 16, seq_len: 2048 };
    for precision in [Precision::F32, Precision::Bf16] {
        let len = |t| attention_scratch_len(AttentionShape { seq_len: t, ..shape }, precision);
        assert!(len(2048) < 2048 * 2048 / 16, "{}", len(2048));
        assert!(is_linear(len));
        assert!(!is_linear(|t| len(t) + t * t / 2048), "one more number a position goes unseen");
        let (isa, case) = (Isa::best(), BackwardCase::new(shape, precision));
        let (y, lse) = forward_on(isa, &case.qkv, shape);
        assert_eq!(check_forward(&case.qkv, &y, &lse, shape), None, "{precision:?}");
        assert_eq!(case.check(&case.run_on(isa)), None, "{precision:?}");
    }
}

#[test]
fn repeated_calls_give_the_same_bits() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 24, seq_len: 131 };
    each_path(|isa, precision| {
        let case = BackwardCase::new(shape, precision);
        assert_eq!(forward_on(isa, &case.qkv, shape), forward_on(isa, &case.qkv, shape));
        assert_eq!(case.run_on(isa), case.run_on(isa));
    });
}

#[test]
fn not_a_number_is_not_hidden() {
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, head_dim: 8, seq_len: 40 };
    each_path(|isa, precision| {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = noise(shape.seq_len * shape.qkv_dim(), 6);
            x[shape.query(30, 0).start] = bad;
            let (y, lse) = forward_on(isa, &Buffer::new(&x, precision), shape);
            let y = y.to_f64();
            assert!(y[shape.output(30, 0)].iter().all(|y| y.is_nan()), "{} {bad}", isa.name());
            assert!(!lse[30].is_finite());
            assert!(y[..shape.output(30, 0).start].iter().all(|y| y.is_finite()));
        }
    });
}

/// The checks see a wrong factor on the scores, a wrong output and one wrong number.
#[test]
fn checks_notice_planted_errors() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 16, seq_len: 65 };
    each_path(|isa, precision| {
        let case = BackwardCase::new(shape, precision);
        let scaled = |x: &[f64], factor: f64, range: std::ops::Range<usize>| {
            let f = |(i, x): (usize, &f64)| if range.contains(&i) { factor * x } else { *x } as f32;
            Buffer::new(&x.iter().enumerate().map(f).collect::<Vec<_>>(), precision)
        };
        let wrong = scaled(&case.qkv.to_f64(), 1.1, shape.query(50, 1));
        let (y, lse) = forward_on(isa, &wrong, shape);
        assert!(check_forward(&case.qkv, &y, &lse, shape).is_some(), "{precision:?}");
        let (y, mut lse) = forward_on(isa, &case.qkv, shape);
        lse[70] *= 1.01;
        assert!(check_forward(&case.qkv, &y, &lse, shape).is_some(), "{precision:?}");

        let wrong = scaled(&case.y.to_f64(), 1.5, shape.output(50, 1));
        let dqkv = BackwardCase { y: wrong, ..BackwardCase::new(shape, precision) }.run_on(isa);
        assert!(case.check(&dqkv).is_some(), "{precision:?}");
        let mut dqkv = case.run_on(isa);
        dqkv[shape.value(64, 0).start] *= 1.05;
        assert!(case.check(&dqkv).is_some(), "{precision:?}");
    });
}
