//! What the kernel tests share: random inputs, comparisons within a bound, every instruction set.

#![allow(dead_code)] // Each test file uses its part.

pub mod complex;

use kernels::{Isa, isa};

/// Half the distance from 1 to the next f32: the relative error of one rounding.
pub const U: f64 = f32::EPSILON as f64 / 2.0;

/// Relative error of a result after `n` roundings in a row.
pub fn gamma(n: usize) -> f64 {
    n as f64 * U / (1.0 - n as f64 * U)
}

/// Roundings on the way of one term into a sum of `n` terms, as the kernels add: 32 lanes, halved
/// five times at the end.
pub fn sum_depth(n: usize) -> usize {
    n.div_ceil(32) + 5
}

/// Runs `test` with each path that this processor has made the active one.
pub fn on_every_isa(mut test: impl FnMut(Isa)) {
    for isa in Isa::ALL {
        if isa.is_available() {
            isa::force(isa);
            test(isa);
        } else {
            eprintln!("skipped: this processor lacks {}", isa.name());
        }
    }
}

/// The seed of all random inputs: `CRYSTALLINE_TEST_SEED`, or a fixed one; printed.
pub fn seed() -> u64 {
    let seed = std::env::var("CRYSTALLINE_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or(0x5eed);
    println!("CRYSTALLINE_TEST_SEED={seed}");
    seed
}

/// A stream of random numbers, a function of its seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    /// `n` numbers in (-size, size).
    pub fn f32s(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| ((self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0) * size).collect()
    }

    /// `n` numbers in (-size, size).
    pub fn f64s(&mut self, n: usize, size: f64) -> Vec<f64> {
        self.f32s(n, size as f32).into_iter().map(f64::from).collect()
    }
}

/// The same numbers in f64.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x as f64).collect()
}

/// An output of a fast kernel beside what its definition gives.
pub struct Compared {
    /// Kernel and output.
    pub what: &'static str,
    /// From the kernel.
    pub got: Vec<f32>,
    /// From the definition, in f64.
    pub expected: Vec<f64>,
    /// How far each may lie from the other.
    pub bound: Vec<f64>,
}

impl Compared {
    /// Two outputs that must agree exactly.
    pub fn exact(what: &'static str, got: Vec<f32>, expected: &[f32]) -> Compared {
        Compared { what, bound: vec![0.0; got.len()], got, expected: wide(expected) }
    }

    /// The first element that is off, had the kernel returned `factor` times what it did.
    pub fn mismatch(&self, factor: f64) -> Option<String> {
        assert_eq!(self.got.len(), self.expected.len(), "{}", self.what);
        let is_off = |&i: &usize| {
            let difference = self.got[i] as f64 * factor - self.expected[i];
            !(difference.abs() <= self.bound[i])
        };
        (0..self.got.len()).find(is_off).map(|i| {
            let Compared { what, got, expected, bound } = self;
            let n = got.len();
            format!("{what}[{i} of {n}]: {} for {} ± {}", got[i], expected[i], bound[i])
        })
    }
}
