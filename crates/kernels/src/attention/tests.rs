//! Elementary functions of attention: exp2 and log2 on every instruction set, against f64.

use super::dispatch;
use super::forward::log2;
use super::layout::LANES;
use super::tile::{Kernel, Simd, Word};
use crate::isa::Isa;
use crate::isa::testing::paths;
use crate::rows::Precision;

struct Exp2<'a>(&'a mut [f32]);

impl Kernel for Exp2<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(self, s: S) {
        for x in self.0.as_chunks_mut::<LANES>().0 {
            s.store(x, s.exp2(s.load(x)));
        }
    }
}

fn exp2_on(isa: Isa, x: &[f32]) -> Vec<f32> {
    let mut y = x.to_vec();
    y.resize(x.len().next_multiple_of(LANES), 0.0);
    dispatch(isa, Precision::F32, Exp2(&mut y));
    y.truncate(x.len());
    y
}

/// Error relative to `2^x` in ulp of the largest size: 2^-23 of the result.
fn exp2_error(x: f32, y: f32) -> f64 {
    let want = f64::from(x).exp2();
    (f64::from(y) - want).abs() / (f64::from(f32::EPSILON) * want)
}

#[test]
fn exp2_is_within_two_ulp() {
    let x: Vec<f32> = (0..400_000).map(|i| 3.0 - i as f32 * (128.0 / 400_000.0)).collect();
    for isa in paths() {
        for (x, y) in x.iter().zip(exp2_on(isa, &x)) {
            assert!(exp2_error(*x, y) <= 2.0, "{} {x}: {y:e}", isa.name());
            assert!(exp2_error(*x, y * (1.0 + 5.0 * f32::EPSILON)) > 2.0, "an error goes unseen");
        }
    }
}

#[test]
fn exp2_at_the_ends() {
    let x = [0.0, 1.0, 127.0, -126.5, -1e9, f32::NEG_INFINITY, f32::NAN];
    for isa in paths() {
        let y = exp2_on(isa, &x);
        assert_eq!(y[..3], [1.0, 2.0, 2f32.powi(127)], "{}", isa.name());
        assert!((0.0..2f32.powi(-126)).contains(&y[3]));
        assert_eq!(y[4..6], [0.0, 0.0]);
        assert!(y[6].is_nan());
    }
}

#[test]
fn log2_is_within_its_bound() {
    for i in 0..200_000 {
        let x = 0.5f32 + i as f32 * i as f32 * 1e-6;
        let want = f64::from(x).log2();
        let bound = 3.0 * f64::from(f32::EPSILON) * want.abs().max(1.0 / 3.0);
        assert!((f64::from(log2(x)) - want).abs() <= bound, "{x}: {}", log2(x));
    }
    assert!(log2(f32::NAN).is_nan() && !log2(f32::INFINITY).is_finite());
}
