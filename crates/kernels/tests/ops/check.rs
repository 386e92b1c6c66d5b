//! Error bounds: a kernel against its definition, and a gradient against the complex-step derivative.
//!
//! Bounds follow Higham, "Accuracy and Stability of Numerical Algorithms", chapter 3: if every term of
//! a result went through `n` roundings, its error is at most `gamma(n)` times the sum of the magnitudes
//! of the terms. The comments of the op objects count those roundings, including products that a path
//! may fuse.

use super::inputs::Cells;
use kernels::Precision;

/// Unit roundoff of f32, half the distance from 1 to the next number: the relative error of a rounding.
pub const U: f64 = f32::EPSILON as f64 / 2.0;

/// Unit roundoff of bf16.
pub const U_BF16: f64 = 1.0 / 256.0;

/// Relative error of a result after `n` consecutive roundings.
pub fn gamma(n: usize) -> f64 {
    n as f64 * U / (1.0 - n as f64 * U)
}

/// Roundings of one term in a sum of `n` terms as the kernels add: 32 lanes, halved five times at
/// the end.
pub fn sum_depth(n: usize) -> usize {
    n.div_ceil(32) + 5
}

/// `error(i)` for each of `n` elements.
pub fn errors(n: usize, error: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..n).map(error).collect()
}

/// Error of each of `y` after `n_roundings`, if all operations are products or sums of positives.
pub fn relative(y: &[f64], n_roundings: usize) -> Vec<f64> {
    y.iter().map(|y| gamma(n_roundings) * y.abs()).collect()
}

/// Roundings that an exponential counts for: its error is within 1.2 ulp, and an ulp is at most two
/// roundings.
pub const EXP: usize = 3;

/// Results below this may be flushed to 0.
pub const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Size of the planted error for a format: a thousandth, or four times the error allowed to bf16.
pub fn planted(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::Bf16 => 4.0 * U_BF16,
    }
}

/// An output of a fast kernel and the result of its definition.
pub struct Compared {
    /// The function, then the output.
    pub what: &'static str,
    /// From the kernel.
    pub got: Vec<f64>,
    /// From the definition, in f64.
    pub expected: Vec<f64>,
    /// Largest allowed difference of each element.
    pub bound: Vec<f64>,
    /// A relative error that the check must notice in most elements.
    pub planted: f64,
}

impl Compared {
    /// Two outputs that must be equal.
    pub fn exact(what: &'static str, got: Vec<f64>, expected: Vec<f64>) -> Compared {
        Compared {
            what,
            bound: vec![0.0; got.len()],
            got,
            expected,
            planted: planted(Precision::F32),
        }
    }

    /// An f32 output whose elements may differ by `error`.
    pub fn within(
        what: &'static str,
        got: &[f32],
        expected: Vec<f64>,
        error: Vec<f64>,
    ) -> Compared {
        let got = Cells::new(got, Precision::F32);
        Compared::rounded(what, &got, expected, error)
    }

    /// An output with errors of at most `error` that was then rounded to its format.
    ///
    /// Rounding to bf16 adds half a unit of 8 bits; denormals become 0.
    pub fn rounded(
        what: &'static str,
        got: &Cells,
        expected: Vec<f64>,
        error: Vec<f64>,
    ) -> Compared {
        assert_eq!(expected.len(), error.len(), "{what}");
        let precision = got.rows().precision();
        let round = |(error, y): (&f64, &f64)| match precision {
            Precision::F32 => *error,
            Precision::Bf16 => error + (y.abs() + error) * U_BF16 + f64::from(f32::MIN_POSITIVE),
        };
        let bound = error.iter().zip(&expected).map(round).collect();
        Compared { what, got: got.wide(), expected, bound, planted: planted(precision) }
    }

    /// The first element that exceeds its bound.
    pub fn mismatch(&self) -> Option<String> {
        let Compared { what, got, expected, bound, .. } = self;
        assert_eq!(got.len(), expected.len(), "{what}");
        // Written so that NaN exceeds the bound, too.
        let is_off = |&i: &usize| !((got[i] - expected[i]).abs() <= bound[i]);
        (0..got.len()).find(is_off).map(|i| {
            let n = got.len();
            format!("{what}[{i} of {n}]: {} for {} ± {}", got[i], expected[i], bound[i])
        })
    }

    /// Counts the elements in which a single planted error goes unnoticed, and all that can have one.
    ///
    /// An element that is 0, or so small that its thousandth is denormal, cannot show an error.
    pub fn unseen_errors(&mut self) -> (usize, usize) {
        let (mut unseen, mut planted) = (0, 0);
        for i in 0..self.got.len() {
            let right = self.got[i];
            if right.abs() > 1e5 * f64::from(f32::MIN_POSITIVE) {
                self.got[i] *= 1.0 + self.planted;
                planted += 1;
                unseen += usize::from(self.mismatch().is_none());
                self.got[i] = right;
            }
        }
        (unseen, planted)
    }
}

/// Largest accepted relative error of a derivative.
const RELATIVE: f64 = 1e-6;

/// A gradient from the backward definition, and from the complex step through the forward definition.
pub struct Gradient {
    /// The backward function, then the gradient.
    pub what: &'static str,
    /// From the backward definition.
    pub backward: Vec<f64>,
    /// From the forward definition.
    pub step: Vec<f64>,
}

impl Gradient {
    /// The first element in which the two differ.
    ///
    /// Both are sums in f64. Where terms cancel, an element is only as accurate as the rounding of its
    /// terms, none of which exceeds a thousand times the largest element.
    pub fn mismatch(&self) -> Option<String> {
        assert_eq!(self.backward.len(), self.step.len(), "{}", self.what);
        let floor = 1e3 * f64::EPSILON * self.largest();
        let pairs = self.backward.iter().zip(&self.step).enumerate();
        pairs
            .filter(|(_, (b, s))| !((*b - *s).abs() <= RELATIVE * s.abs() + floor))
            .map(|(i, (b, s))| format!("{}[{i}]: {b}, but the derivative is {s}", self.what))
            .next()
    }

    /// The largest magnitude of a derivative.
    pub fn largest(&self) -> f64 {
        self.step.iter().fold(0.0, |a: f64, b| a.max(b.abs()))
    }

    /// Whether an error of a thousandth in any single element is noticed.
    pub fn notices_planted_errors(&mut self) -> bool {
        // Below this an element consists of the rounding of larger terms only.
        let least = 1e-8 * self.largest();
        (0..self.backward.len()).all(|i| {
            let right = self.backward[i];
            self.backward[i] *= 1.001;
            let is_noticed = right.abs() <= least || self.mismatch().is_some();
            self.backward[i] = right;
            is_noticed
        })
    }
}
