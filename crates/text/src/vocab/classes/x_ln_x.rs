//! Logarithms and a table of `x ln x`, the terms of a likelihood of counts.

use kernels::rng::ln_unit;

/// Counts below this are in the table; cells of class bigrams are hardly ever larger.
const TABLE_LEN: u32 = 1 << 18;

/// Natural logarithm of a positive normal number, the same on every machine.
pub fn ln(x: f64) -> f64 {
    if x > 1.0 { -ln_unit(1.0 / x) } else { ln_unit(x) }
}

/// Table of `x ln x` for integers, with `0 ln 0 = 0`.
#[derive(Debug)]
pub struct XLnX {
    table: Vec<f64>,
}

impl XLnX {
    /// A table for all counts up to `largest`, of bounded size.
    pub fn new(largest: u64) -> XLnX {
        let len = largest.min(u64::from(TABLE_LEN - 1)) as u32 + 1;
        XLnX { table: (0..len).map(x_ln_x).collect() }
    }

    /// `x ln x`.
    pub fn at(&self, x: u32) -> f64 {
        match self.table.get(x as usize) {
            Some(value) => *value,
            None => x_ln_x(x),
        }
    }
}

fn x_ln_x(x: u32) -> f64 {
    if x == 0 { 0.0 } else { f64::from(x) * ln(f64::from(x)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_agree_with_the_standard_library() {
        for x in [1e-300f64, 1e-9, 0.3, 0.999, 1.0, 1.001, 2.0, 777.0, 4e9, 1e300] {
            // Two roundings of the reciprocal, and four of the larger of 1 and the result.
            let bound = 6.0 * f64::EPSILON * f64::max(1.0, x.ln().abs());
            assert!((ln(x) - x.ln()).abs() <= bound, "ln {x}");
        }
    }

    #[test]
    fn values_continue_beyond_the_table() {
        let table = XLnX::new(100);
        assert_eq!([0, 1].map(|x| table.at(x)), [0.0, 0.0]);
        for x in [2, 99, 100, 101, TABLE_LEN - 1, TABLE_LEN, u32::MAX] {
            assert_eq!(table.at(x), XLnX::new(u64::MAX).at(x));
            let exact = f64::from(x) * f64::from(x).ln();
            assert!((table.at(x) - exact).abs() <= 8.0 * f64::EPSILON * exact.max(f64::from(x)));
        }
    }
}
