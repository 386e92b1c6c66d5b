//! Reduction guarantees beyond values: identical bits on every path, and no missed NaN or infinity.

use crate::ops::inputs::Random;
use crate::paths::{on_every_isa, seed};
use kernels::reduce::{all_finite, sum_squares};

/// The order of the sum is the same on every path, and so are its bits.
#[test]
fn sum_squares_has_the_same_bits_on_every_path() {
    let x = Random(seed()).f32s(10_007, 3.0);
    let mut sums = Vec::new();
    on_every_isa(|isa| sums.push((isa.name(), sum_squares(&x).to_bits())));
    assert!(sums.iter().all(|(_, bits)| *bits == sums[0].1), "{sums:?}");
}

/// A non-finite number is found at any index.
#[test]
fn all_finite_finds_a_single_bad_number() {
    on_every_isa(|isa| {
        let mut x = Random(seed()).f32s(2048 + 77, f32::MAX);
        assert!(all_finite(&x) && all_finite(&[]), "{}", isa.name());
        for i in (0..x.len()).step_by(13).chain([2047, 2048, x.len() - 1]) {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let right = std::mem::replace(&mut x[i], bad);
                assert!(!all_finite(&x), "{} [{i}] {bad}", isa.name());
                x[i] = right;
            }
        }
    });
}
