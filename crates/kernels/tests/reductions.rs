//! What runs rely on in reductions beyond their values: the same bits everywhere, nothing missed.

mod support;

use kernels::reduce::{add_rows, all_finite, naive, sum_squares};
use kernels::rows::{Rows, bf16_from_f32};
use support::{Random, on_every_isa, seed};

/// The order of the sum is the same on every path, and so are its bits.
#[test]
fn sum_squares_has_the_same_bits_on_every_path() {
    let x = Random(seed()).f32s(10_007, 3.0);
    let mut sums = Vec::new();
    on_every_isa(|isa| sums.push((isa.name(), sum_squares(&x).to_bits())));
    assert!(sums.iter().all(|(_, bits)| *bits == sums[0].1), "{sums:?}");
}

/// A number that is not finite is found wherever it stands.
#[test]
fn all_finite_finds_the_one_that_is_not() {
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

/// Rows are added in ascending order, so the bits are those of the definition.
#[test]
fn add_rows_has_the_bits_of_its_definition() {
    on_every_isa(|isa| {
        for (rows, cols) in [(0, 5), (1, 1), (3, 7), (5, 64), (9, 205), (2, 1000)] {
            let mut random = Random(seed());
            let x = random.f32s(rows * cols, 2.0);
            let halves: Vec<u16> = x.iter().map(|x| bf16_from_f32(*x)).collect();
            for x in [Rows::F32(&x), Rows::Bf16(&halves)] {
                let mut found = random.f32s(cols, 1.0);
                let mut expected = found.clone();
                add_rows(&mut found, x);
                naive::add_rows(&mut expected, x);
                assert_eq!(found, expected, "{} ({rows}, {cols})", isa.name());
            }
        }
    });
}
