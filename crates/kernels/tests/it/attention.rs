//! Attention at the edges of its tiles and blocks, with large scores, long sequences and NaN.

use crate::ops::attention::{BackwardCase, forward, forward_outputs, gradient};
use crate::ops::inputs::{Cells, Random};
use crate::paths::{on_best_isa, on_every_path, seed};
use kernels::Precision;
use kernels::attention::{AttentionShape, attention_scratch_len};

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

/// Fused rows of random numbers.
fn fused_rows(shape: AttentionShape) -> Vec<f32> {
    Random(seed()).f32s(shape.seq_len * shape.qkv_dim(), 2.0)
}

/// Differences in the outputs of a forward pass, if any.
pub fn check_forward(qkv: &Cells, y: &Cells, lse: &[f32], shape: AttentionShape) -> Option<String> {
    forward_outputs(qkv, y, lse, shape).iter().find_map(|output| output.mismatch())
}

/// Differences in a gradient, if any.
fn check_backward(case: &BackwardCase, dqkv: &[f32]) -> Option<String> {
    case.output(dqkv).mismatch()
}

fn backward_case(shape: AttentionShape, precision: Precision) -> BackwardCase {
    BackwardCase::new(&mut Random(seed()), shape, precision)
}

#[test]
fn forward_matches_the_definition() {
    for shape in shapes() {
        on_every_path(|isa, precision| {
            let qkv = Cells::new(&fused_rows(shape), precision);
            let (y, lse) = forward(&qkv, shape);
            let error = check_forward(&qkv, &y, &lse, shape);
            assert_eq!(error, None, "{} {precision:?} {shape:?}", isa.name());
        });
    }
}

#[test]
fn backward_matches_the_definition() {
    for shape in shapes() {
        on_every_path(|isa, precision| {
            let case = backward_case(shape, precision);
            let error = check_backward(&case, &case.run());
            assert_eq!(error, None, "{} {precision:?} {shape:?}", isa.name());
        });
    }
}

/// Scores far beyond the range of exp, falling and rising along the keys.
#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 16, seq_len: 800 };
    for slope in [-0.5, 0.5] {
        on_every_path(|isa, precision| {
            let mut x = fused_rows(shape);
            for t in 0..shape.seq_len {
                x[shape.key(t, 0)].fill(slope * t as f32 / 8.0);
                x[shape.query(t, 0)].fill(4.0);
            }
            let qkv = Cells::new(&x, precision);
            let (y, lse) = forward(&qkv, shape);
            let error = check_forward(&qkv, &y, &lse, shape);
            assert_eq!(error, None, "{} {precision:?} {slope}", isa.name());
        });
    }
}

/// Whether equal numbers of added positions add equal lengths; 1,536 is a multiple of every block.
fn is_linear(len: impl Fn(usize) -> usize) -> bool {
    let steps = [1, 2, 3].map(|i| len((i + 1) * 1536) - len(i * 1536));
    steps == [steps[0]; 3]
}

/// Scratch is far smaller than one (T, T) matrix, linear in T, and the only memory used.
#[test]
fn memory_is_linear_in_length() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 2, head_dim: 16, seq_len: 2048 };
    for precision in [Precision::F32, Precision::Bf16] {
        let len = |t| attention_scratch_len(AttentionShape { seq_len: t, ..shape }, precision);
        assert!(len(2048) < 2048 * 2048 / 16, "{}", len(2048));
        assert!(is_linear(len));
        assert!(!is_linear(|t| len(t) + t * t / 2048), "one more number a position goes unseen");
        on_best_isa(|| {
            let case = backward_case(shape, precision);
            let (y, lse) = forward(&case.qkv, shape);
            assert_eq!(check_forward(&case.qkv, &y, &lse, shape), None, "{precision:?}");
            assert_eq!(check_backward(&case, &case.run()), None, "{precision:?}");
        });
    }
}

#[test]
fn repeated_calls_give_the_same_bits() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 24, seq_len: 131 };
    on_every_path(|_, precision| {
        let case = backward_case(shape, precision);
        assert_eq!(forward(&case.qkv, shape), forward(&case.qkv, shape));
        assert_eq!(case.run(), case.run());
    });
}

#[test]
fn nan_and_infinity_reach_the_outputs() {
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, head_dim: 8, seq_len: 40 };
    on_every_path(|isa, precision| {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = fused_rows(shape);
            x[shape.query(30, 0).start] = bad;
            let (y, lse) = forward(&Cells::new(&x, precision), shape);
            let y = y.wide();
            assert!(y[shape.output(30, 0)].iter().all(|y| y.is_nan()), "{} {bad}", isa.name());
            assert!(!lse[30].is_finite());
            assert!(y[..shape.output(30, 0).start].iter().all(|y| y.is_finite()));
        }
    });
}

/// The checks notice a wrong factor on the scores, a wrong output and a single wrong number.
#[test]
fn checks_notice_planted_errors() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 16, seq_len: 65 };
    on_every_path(|_, precision| {
        let case = backward_case(shape, precision);
        let scaled = |x: &[f64], factor: f64, range: std::ops::Range<usize>| {
            let f = |(i, x): (usize, &f64)| if range.contains(&i) { factor * x } else { *x } as f32;
            Cells::new(&x.iter().enumerate().map(f).collect::<Vec<_>>(), precision)
        };
        let wrong = scaled(&case.qkv.wide(), 1.1, shape.query(50, 1));
        let (y, lse) = forward(&wrong, shape);
        assert!(check_forward(&case.qkv, &y, &lse, shape).is_some(), "{precision:?}");
        let (y, mut lse) = forward(&case.qkv, shape);
        lse[70] *= 1.01;
        assert!(check_forward(&case.qkv, &y, &lse, shape).is_some(), "{precision:?}");

        let wrong = scaled(&case.y.wide(), 1.5, shape.output(50, 1));
        let dqkv = BackwardCase { y: wrong, ..backward_case(shape, precision) }.run();
        assert!(check_backward(&case, &dqkv).is_some(), "{precision:?}");
        let mut dqkv = case.run();
        dqkv[shape.value(64, 0).start] *= 1.05;
        assert!(check_backward(&case, &dqkv).is_some(), "{precision:?}");
    });
}

/// The largest difference of a gradient from the complex step, relative to the largest derivative.
fn difference(shape: AttentionShape, scale_y: f64) -> f64 {
    let gradient = gradient(&mut Random(seed()), shape, scale_y);
    let pairs = gradient.backward.iter().zip(&gradient.step);
    pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / gradient.largest()
}

/// Rounding alone: the sums have fewer than `qkv.len()` terms as large as the largest.
fn tolerance(shape: AttentionShape) -> f64 {
    (shape.seq_len * shape.qkv_dim()) as f64 * f64::EPSILON
}

#[test]
fn backward_is_the_derivative_of_forward_to_rounding() {
    for (seq_len, head_dim, n_heads, n_kv_heads) in [(1, 2, 1, 1), (6, 3, 4, 2), (9, 4, 3, 3)] {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, seq_len };
        let difference = difference(shape, 1.0);
        assert!(difference < tolerance(shape), "{shape:?}: {difference:e}");
    }
}

#[test]
fn a_wrong_output_is_noticed() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 3, seq_len: 6 };
    assert!(difference(shape, 1.0 + 1e-6) > tolerance(shape));
}
