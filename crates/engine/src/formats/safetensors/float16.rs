//! Half precision (IEEE binary16) to single, exactly; some published models use it.

/// The value of a half-precision bit pattern: 1 bit of sign, 5 of exponent, 10 of mantissa.
///
/// NaN stays NaN and infinity infinity.
pub fn f32_from_f16(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10 & 0x1f);
    let mantissa = u32::from(half & 0x3ff);
    match exponent {
        // Subnormal: mantissa * 2^-24, which is a normal f32.
        0 => f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bit pattern, compared with the formula of the standard.
    #[test]
    fn is_the_value_of_every_bit_pattern() {
        for half in 0..=u16::MAX {
            let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
            let (exponent, mantissa) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
            let expected: f64 = match exponent {
                0 => sign * mantissa * 2f64.powi(-24),
                31 if mantissa == 0.0 => sign * f64::INFINITY,
                31 => f64::NAN,
                _ => sign * (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
            };
            let found = f64::from(f32_from_f16(half));
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{half:#06x}: {found}, expected {expected}");
        }
    }
}
