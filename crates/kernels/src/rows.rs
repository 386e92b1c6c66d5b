//! Matrix rows in f32 or bf16: operands of matrix products and saved activations.
//!
//! bf16 is the upper half of an f32: same range, 8 significant bits. It occurs only in matrix
//! products and saved activations; all other numbers of a run are f32.

use crate::arch::dispatch;
use std::ops::Range;

/// The number format of matrix-product operands and of saved activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision throughout.
    F32,
    /// Operands rounded to bf16, products accumulated in f32.
    Bf16,
}

impl Precision {
    /// The name used on the command line and in stored runs.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Row-major numbers, read-only.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// bf16 bit patterns.
    Bf16(&'a [u16]),
}

/// Row-major numbers, writable.
#[derive(Debug)]
pub enum RowsMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// bf16 bit patterns.
    Bf16(&'a mut [u16]),
}

impl<'a> Rows<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Rows::F32(x) => x.len(),
            Rows::Bf16(x) => x.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements in `range`.
    pub fn slice(self, range: Range<usize>) -> Rows<'a> {
        match self {
            Rows::F32(x) => Rows::F32(&x[range]),
            Rows::Bf16(x) => Rows::Bf16(&x[range]),
        }
    }

    /// The format of the elements.
    pub fn precision(self) -> Precision {
        match self {
            Rows::F32(_) => Precision::F32,
            Rows::Bf16(_) => Precision::Bf16,
        }
    }

    /// Element `i` as f32; for definitions and tests.
    pub fn get(self, i: usize) -> f32 {
        match self {
            Rows::F32(x) => x[i],
            Rows::Bf16(x) => f32_from_bf16(x[i]),
        }
    }
}

impl<'a> RowsMut<'a> {
    /// The elements, as a read-only view with the same lifetime.
    pub fn into_rows(self) -> Rows<'a> {
        match self {
            RowsMut::F32(x) => Rows::F32(x),
            RowsMut::Bf16(x) => Rows::Bf16(x),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.as_rows().len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same elements with a shorter borrow.
    pub fn reborrow(&mut self) -> RowsMut<'_> {
        match self {
            RowsMut::F32(x) => RowsMut::F32(x),
            RowsMut::Bf16(x) => RowsMut::Bf16(x),
        }
    }

    /// The elements in `range`, writable.
    pub fn slice_mut(&mut self, range: Range<usize>) -> RowsMut<'_> {
        match self {
            RowsMut::F32(x) => RowsMut::F32(&mut x[range]),
            RowsMut::Bf16(x) => RowsMut::Bf16(&mut x[range]),
        }
    }

    /// The elements, read-only.
    pub fn as_rows(&self) -> Rows<'_> {
        match self {
            RowsMut::F32(x) => Rows::F32(x),
            RowsMut::Bf16(x) => Rows::Bf16(x),
        }
    }

    /// Writes element `i`, rounded if the format is bf16; for definitions and tests.
    pub fn set(&mut self, i: usize, value: f32) {
        match self {
            RowsMut::F32(x) => x[i] = value,
            RowsMut::Bf16(x) => x[i] = bf16_from_f32(value),
        }
    }
}

/// The nearest bf16, ties to even. NaN stays NaN (quieted); a denormal becomes a signed zero.
///
/// This matches the processor's own conversion (`vcvtneps2bf16`), so all paths agree.
#[inline(always)]
pub fn bf16_from_f32(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let rounded = if magnitude < 0x0080_0000 { (bits >> 16) & 0x8000 } else { rounded };
    (if magnitude > 0x7f80_0000 { (bits >> 16) | 0x0040 } else { rounded }) as u16
}

/// The f32 with the same value.
#[inline(always)]
pub fn f32_from_bf16(x: u16) -> f32 {
    f32::from_bits((x as u32) << 16)
}

/// Writes `src` in the format of the destination.
///
/// # Panics
/// If the lengths differ.
pub fn store_rows(dst: RowsMut, src: &[f32]) {
    assert_eq!(dst.len(), src.len(), "store_rows: dst and src differ in length");
    match dst {
        RowsMut::F32(dst) => dst.copy_from_slice(src),
        RowsMut::Bf16(dst) => dispatch!(arch => arch.to_bf16(dst, src)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::testing::on_each_path;

    #[test]
    fn rounding_is_to_nearest_even() {
        assert_eq!(f32_from_bf16(bf16_from_f32(1.0)), 1.0);
        // 1 + 2^-8 lies half-way between 1 and 1 + 2^-7; the even neighbour is 1.
        assert_eq!(f32_from_bf16(bf16_from_f32(1.0 + 2f32.powi(-8))), 1.0);
        assert_eq!(
            f32_from_bf16(bf16_from_f32(1.0 + 3.0 * 2f32.powi(-8))),
            1.0 + 2.0 * 2f32.powi(-7)
        );
        assert_eq!(f32_from_bf16(bf16_from_f32(f32::INFINITY)), f32::INFINITY);
        assert_eq!(bf16_from_f32(-f32::MIN_POSITIVE / 2.0), 0x8000);
        assert!(f32_from_bf16(bf16_from_f32(f32::NAN)).is_nan());
        assert!(f32_from_bf16(bf16_from_f32(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn every_path_stores_the_same_bits() {
        // Bit patterns of all kinds: normal, denormal, infinite, NaN.
        let src: Vec<f32> =
            (0..100_011u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).collect();
        let expected: Vec<u16> = src.iter().map(|&x| bf16_from_f32(x)).collect();
        on_each_path(|isa| {
            let mut got = vec![0; src.len()];
            store_rows(RowsMut::Bf16(&mut got), &src);
            assert_eq!(got, expected, "{}", isa.name());
        });
    }
}
