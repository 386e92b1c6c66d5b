//! Complex-step derivatives: `f'(x) = Im f(x + ih) / h`, free of cancellation, for gradient tests.

use crate::scalar::Scalar;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A complex number.
#[derive(Clone, Copy, Debug)]
pub struct Complex {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

/// So small that its square vanishes next to any number that occurs here.
const STEP: f64 = 1e-100;

/// Derivatives of `sum(dy * forward(x))` with respect to each element of `x`.
pub fn derivatives(
    dy: &[f64],
    x: &[f64],
    forward: impl Fn(&[Complex]) -> Vec<Complex>,
) -> Vec<f64> {
    let mut x = complex(x);
    (0..x.len())
        .map(|i| {
            x[i].im = STEP;
            let y = forward(&x);
            x[i].im = 0.0;
            assert_eq!(y.len(), dy.len(), "forward gave another number of outputs");
            y.iter().zip(dy).map(|(y, dy)| y.im / STEP * dy).sum()
        })
        .collect()
}

/// `x` as complex numbers.
pub fn complex(x: &[f64]) -> Vec<Complex> {
    x.iter().map(|&re| Complex { re, im: 0.0 }).collect()
}

/// `n` zeros.
pub fn zeros(n: usize) -> Vec<Complex> {
    complex(&vec![0.0; n])
}

impl Add for Complex {
    type Output = Complex;
    fn add(self, z: Complex) -> Complex {
        Complex { re: self.re + z.re, im: self.im + z.im }
    }
}

impl AddAssign for Complex {
    fn add_assign(&mut self, z: Complex) {
        *self = *self + z;
    }
}

impl Sub for Complex {
    type Output = Complex;
    fn sub(self, z: Complex) -> Complex {
        Complex { re: self.re - z.re, im: self.im - z.im }
    }
}

impl Mul for Complex {
    type Output = Complex;
    fn mul(self, z: Complex) -> Complex {
        Complex { re: self.re * z.re - self.im * z.im, im: self.re * z.im + self.im * z.re }
    }
}

impl Div for Complex {
    type Output = Complex;
    fn div(self, z: Complex) -> Complex {
        let size = z.re * z.re + z.im * z.im;
        let Complex { re, im } = self * Complex { re: z.re, im: -z.im };
        Complex { re: re / size, im: im / size }
    }
}

impl Neg for Complex {
    type Output = Complex;
    fn neg(self) -> Complex {
        Complex { re: -self.re, im: -self.im }
    }
}

impl Scalar for Complex {
    fn from_f64(re: f64) -> Complex {
        Complex { re, im: 0.0 }
    }

    fn real(self) -> f64 {
        self.re
    }

    /// Valid for a positive real part: all arguments here lie near the positive axis.
    fn sqrt(self) -> Complex {
        let re = ((self.re + self.re.hypot(self.im)) / 2.0).sqrt();
        Complex { re, im: self.im / (2.0 * re) }
    }

    fn exp(self) -> Complex {
        let size = self.re.exp();
        Complex { re: size * self.im.cos(), im: size * self.im.sin() }
    }

    fn ln(self) -> Complex {
        Complex { re: self.re.hypot(self.im).ln(), im: self.im.atan2(self.re) }
    }
}
