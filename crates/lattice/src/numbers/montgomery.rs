//! Montgomery arithmetic modulo an odd 128-bit number, without division (Montgomery 1985).
//!
//! A residue x is stored as `x * 2^128 mod n`. In this form a product costs three wide products.

/// An odd modulus with its precomputed constants. All residues taken and returned are in
/// Montgomery form.
#[derive(Clone, Copy, Debug)]
pub struct Montgomery {
    n: u128,
    /// `1 / n mod 2^128`.
    inverse: u128,
    /// 1 in Montgomery form.
    one: u128,
    /// `2^256 mod n`, which converts a number to Montgomery form.
    square: u128,
}

impl Montgomery {
    /// Precomputes the constants of modulus `n`.
    ///
    /// # Panics
    /// If `n` is even or 1.
    pub fn new(n: u128) -> Montgomery {
        assert!(n % 2 == 1 && n > 1, "Montgomery::new: {n} is not an odd number above 1");
        // Newton's method: an odd number is its own inverse modulo 8; each step doubles the bits.
        let mut inverse = n;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2u128.wrapping_sub(n.wrapping_mul(inverse)));
        }
        let one = u128::MAX % n + 1; // not n itself, as n does not divide 2^128
        let mut field = Montgomery { n, inverse, one, square: one };
        for _ in 0..128 {
            field.square = field.add(field.square, field.square);
        }
        field
    }

    /// The modulus.
    pub fn modulus(&self) -> u128 {
        self.n
    }

    /// The residue of 1.
    pub fn one(&self) -> u128 {
        self.one
    }

    /// The residue of any number.
    pub fn residue(&self, x: u128) -> u128 {
        self.mul(x % self.n, self.square)
    }

    /// The residue of a signed number.
    pub fn residue_signed(&self, x: i64) -> u128 {
        let residue = self.residue(x.unsigned_abs().into());
        if x < 0 { self.sub(0, residue) } else { residue }
    }

    /// `a + b`.
    pub fn add(&self, a: u128, b: u128) -> u128 {
        let (sum, has_carry) = a.overflowing_add(b);
        if has_carry || sum >= self.n { sum.wrapping_sub(self.n) } else { sum }
    }

    /// `a - b`.
    pub fn sub(&self, a: u128, b: u128) -> u128 {
        if a >= b { a - b } else { a.wrapping_sub(b).wrapping_add(self.n) }
    }

    /// `a / 2`.
    pub fn half(&self, a: u128) -> u128 {
        // The modulus is odd, so one of a and a + n is even.
        if a.is_multiple_of(2) { a / 2 } else { a / 2 + self.n / 2 + 1 }
    }

    /// `a * b`.
    pub fn mul(&self, a: u128, b: u128) -> u128 {
        let (high, low) = wide_product(a, b);
        // Subtracting this multiple of n clears the lower half; the upper half is the result.
        let (multiple, _) = wide_product(low.wrapping_mul(self.inverse), self.n);
        self.sub(high, multiple)
    }

    /// `base ^ exponent`.
    pub fn pow(&self, base: u128, exponent: u128) -> u128 {
        let mut square = base;
        let mut power = self.one;
        let mut rest = exponent;
        while rest != 0 {
            if rest & 1 == 1 {
                power = self.mul(power, square);
            }
            square = self.mul(square, square);
            rest >>= 1;
        }
        power
    }
}

/// The upper and the lower 128 bits of `a * b`.
fn wide_product(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let [a1, a0] = [a >> 64, a & LOW];
    let [b1, b0] = [b >> 64, b & LOW];
    let (low, cross, crossed, high) = (a0 * b0, a1 * b0, a0 * b1, a1 * b1);
    let middle = (low >> 64) + (cross & LOW) + (crossed & LOW);
    (high + (cross >> 64) + (crossed >> 64) + (middle >> 64), (middle << 64) | (low & LOW))
}

#[cfg(test)]
mod tests {
    use super::{Montgomery, wide_product};
    use dashu_int::UBig;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wide_products_agree_with_big_integers(a: u128, b: u128) {
            let (high, low) = wide_product(a, b);
            prop_assert_eq!((UBig::from(high) << 128) + low, UBig::from(a) * b);
        }

        #[test]
        fn residues_agree_with_big_integers(n: u128, a: u128, b: u128, exponent in 0..50u128) {
            let n = n.max(2) | 1;
            let field = Montgomery::new(n);
            let check = |residue: u128, expected: UBig| {
                assert!(residue < n, "{residue} is not below {n}");
                assert_eq!(field.residue(1), field.one());
                assert_eq!(residue, field.residue(expected % n), "modulo {n}");
            };
            let (x, y) = (field.residue(a), field.residue(b));
            let (big_a, big_b) = (UBig::from(a), UBig::from(b));
            check(field.mul(x, y), &big_a * &big_b);
            check(field.add(x, y), &big_a + &big_b);
            check(field.add(field.sub(x, y), y), big_a.clone());
            check(field.add(field.half(x), field.half(x)), big_a.clone());
            check(field.pow(x, exponent), big_a.pow(exponent as usize));
        }
    }

    #[test]
    fn negative_numbers_have_residues() {
        let field = Montgomery::new(101);
        assert_eq!(field.residue_signed(-7), field.residue(94));
        assert_eq!(field.residue_signed(7), field.residue(7));
        assert_eq!(field.residue_signed(i64::MIN), field.sub(0, field.residue(1 << 63)));
    }

    #[test]
    fn the_largest_modulus_works() {
        let n = u128::MAX; // 2^128 - 1, which is odd
        let field = Montgomery::new(n);
        let minus_one = field.residue(n - 1);
        assert_eq!(field.mul(minus_one, minus_one), field.one());
        assert_eq!(field.add(minus_one, field.one()), 0);
    }

    #[test]
    #[should_panic(expected = "not an odd number")]
    fn an_even_modulus_is_refused() {
        Montgomery::new(10);
    }
}
