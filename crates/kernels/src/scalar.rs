//! Scalar types for kernel definitions: f64 here, complex numbers in the gradient tests.
//!
//! A definition is the slow, obvious reference implementation of a kernel (`naive` in each kernel's
//! file). On f64 it gives the expected result of the fast f32 path. Its forward part on complex numbers
//! gives the expected result of its backward part: the derivative of `f` is `Im f(x + ih) / h`.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A number type that definitions can compute with.
pub trait Scalar:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// The scalar equal to `x`.
    fn from_f64(x: f64) -> Self;

    /// The real part, for decisions such as which logit is the largest.
    fn real(self) -> f64;

    /// Square root.
    fn sqrt(self) -> Self;

    /// `e^x`.
    fn exp(self) -> Self;

    /// Natural logarithm.
    fn ln(self) -> Self;

    /// The sum of `numbers`, in their order.
    fn sum(numbers: impl Iterator<Item = Self>) -> Self {
        numbers.fold(Self::from_f64(0.0), |a, b| a + b)
    }
}

impl Scalar for f64 {
    fn from_f64(x: f64) -> f64 {
        x
    }

    fn real(self) -> f64 {
        self
    }

    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }

    fn exp(self) -> f64 {
        f64::exp(self)
    }

    fn ln(self) -> f64 {
        f64::ln(self)
    }
}
