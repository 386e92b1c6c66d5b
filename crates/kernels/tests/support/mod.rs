//! What the kernel tests share: random inputs, comparisons within a bound, every instruction set.

#![allow(dead_code)] // Each test file uses its part.

pub mod complex;

use kernels::composed::Composition;
use kernels::row_sums::NO_ROW;
use kernels::rows::bf16_from_f32;
use kernels::{Isa, Precision, Rows, RowsMut, isa};
use std::sync::{Mutex, PoisonError};

/// Half the distance from 1 to the next f32: the relative error of one rounding.
pub const U: f64 = f32::EPSILON as f64 / 2.0;

/// The same of bf16.
pub const U_BF16: f64 = 1.0 / 256.0;

/// Relative error of a result after `n` roundings in a row.
pub fn gamma(n: usize) -> f64 {
    n as f64 * U / (1.0 - n as f64 * U)
}

/// Roundings on the way of one term into a sum of `n` terms, as the kernels add: 32 lanes, halved
/// five times at the end.
pub fn sum_depth(n: usize) -> usize {
    n.div_ceil(32) + 5
}

/// `error(i)` for each of `n` elements.
pub fn errors(n: usize, error: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..n).map(error).collect()
}

/// What `n_roundings` take from each of `y`, of which every one is a product or a sum of positives.
pub fn relative(y: &[f64], n_roundings: usize) -> Vec<f64> {
    y.iter().map(|y| gamma(n_roundings) * y.abs()).collect()
}

/// One test at a time sets the path, which all threads of the process share.
static PATH: Mutex<()> = Mutex::new(());

/// Runs `test` with each path that this processor has made the active one.
pub fn on_every_isa(mut test: impl FnMut(Isa)) {
    let _guard = PATH.lock().unwrap_or_else(PoisonError::into_inner);
    for isa in Isa::ALL {
        if isa.is_available() {
            isa::force(isa);
            test(isa);
        } else {
            println!("skipped: {} not on this processor", isa.name());
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

/// Sizes at, below and above every edge of the kernels' loops, and others.
pub fn width(random: &mut Random) -> usize {
    let edges = [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257];
    match random.between(0, 2) {
        0 => edges[random.between(0, edges.len() - 1)],
        _ => random.between(1, 200),
    }
}

/// `n` rows out of `n_rows`, one in four of which is none.
pub fn some_rows(random: &mut Random, n: usize, n_rows: usize) -> Vec<u32> {
    let row = |random: &mut Random| match random.between(0, 3) {
        0 => NO_ROW,
        _ => random.between(0, n_rows - 1) as u32,
    };
    (0..n).map(|_| row(random)).collect()
}

/// What inputs are made of, at random: up to [`Made::N_PARTS_MAX`] parts each, the same one perhaps
/// twice.
pub struct Made {
    own: Vec<u32>,
    starts: Vec<u32>,
    parts: Vec<u32>,
    pub n_own: usize,
    pub n_parts: usize,
}

impl Made {
    pub const N_PARTS_MAX: usize = 3;

    pub fn random(random: &mut Random) -> Made {
        let (n_own, n_parts) = (random.between(1, 5), random.between(1, 6));
        let mut made = Made { own: vec![], starts: vec![0], parts: vec![], n_own, n_parts };
        for _ in 0..random.between(1, 7) {
            made.own.push(random.between(0, n_own - 1) as u32);
            let n = random.between(0, Made::N_PARTS_MAX);
            made.parts.extend((0..n).map(|_| random.between(0, n_parts - 1) as u32));
            made.starts.push(made.parts.len() as u32);
        }
        made
    }

    pub fn composition(&self) -> Composition<'_> {
        Composition { own: &self.own, starts: &self.starts, parts: &self.parts }
    }

    /// `n` inputs, some more than once.
    pub fn inputs(&self, random: &mut Random, n: usize) -> Vec<u32> {
        (0..n).map(|_| random.between(0, self.own.len() - 1) as u32).collect()
    }
}

/// The same numbers in f64.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x as f64).collect()
}

/// Numbers in one of the formats, as kernels read and write them.
pub enum Cells {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
}

impl Cells {
    /// These numbers, rounded to the format one by one.
    pub fn new(x: &[f32], precision: Precision) -> Cells {
        match precision {
            Precision::F32 => Cells::F32(x.into()),
            Precision::Bf16 => Cells::Bf16(x.iter().map(|&x| bf16_from_f32(x)).collect()),
        }
    }

    /// What `kernel` writes over `n` cells that hold NaN.
    pub fn written(n: usize, precision: Precision, kernel: impl FnOnce(RowsMut)) -> Cells {
        let mut cells = Cells::new(&vec![f32::NAN; n], precision);
        kernel(match &mut cells {
            Cells::F32(x) => RowsMut::F32(x),
            Cells::Bf16(x) => RowsMut::Bf16(x),
        });
        cells
    }

    pub fn rows(&self) -> Rows<'_> {
        match self {
            Cells::F32(x) => Rows::F32(x),
            Cells::Bf16(x) => Rows::Bf16(x),
        }
    }

    pub fn wide(&self) -> Vec<f64> {
        (0..self.rows().len()).map(|i| self.rows().get(i).into()).collect()
    }
}

/// An output of a fast kernel beside what its definition gives.
pub struct Compared {
    /// Kernel and output.
    pub what: &'static str,
    /// From the kernel.
    pub got: Vec<f64>,
    /// From the definition, in f64.
    pub expected: Vec<f64>,
    /// How far each may lie from the other.
    pub bound: Vec<f64>,
    /// Format of the output.
    pub precision: Precision,
}

impl Compared {
    /// Two outputs that must agree exactly.
    pub fn exact(what: &'static str, got: Vec<f64>, expected: Vec<f64>) -> Compared {
        Compared { what, bound: vec![0.0; got.len()], got, expected, precision: Precision::F32 }
    }

    /// An f32 output, each element of which may be off by `error`.
    pub fn within(
        what: &'static str,
        got: &[f32],
        expected: Vec<f64>,
        error: Vec<f64>,
    ) -> Compared {
        let got = Cells::new(got, Precision::F32);
        Compared::rounded(what, &got, expected, error)
    }

    /// An output that was off by at most `error` and then rounded to its format.
    ///
    /// A bf16 is half a unit of 8 bits off, and 0 where it would be denormal.
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
        Compared { what, got: got.wide(), expected, bound, precision }
    }

    /// The first element that is off.
    pub fn mismatch(&self) -> Option<String> {
        let Compared { what, got, expected, bound, .. } = self;
        assert_eq!(got.len(), expected.len(), "{what}");
        // Written so that NaN is off, too.
        let is_off = |&i: &usize| !((got[i] - expected[i]).abs() <= bound[i]);
        (0..got.len()).find(is_off).map(|i| {
            let n = got.len();
            format!("{what}[{i} of {n}]: {} for {} ± {}", got[i], expected[i], bound[i])
        })
    }

    /// Counts the elements whose error goes unseen if it is alone there, and all that can have one.
    ///
    /// The error planted is a thousandth of the element, or four times what bf16 may be off. Of an
    /// element that is 0, or so small that its thousandth is denormal, nothing can be seen.
    pub fn unseen_errors(&mut self) -> (usize, usize) {
        let error = match self.precision {
            Precision::F32 => 1e-3,
            Precision::Bf16 => 4.0 * U_BF16,
        };
        let (mut unseen, mut planted) = (0, 0);
        for i in 0..self.got.len() {
            let right = self.got[i];
            if right.abs() > 1e5 * f64::from(f32::MIN_POSITIVE) {
                self.got[i] *= 1.0 + error;
                planted += 1;
                unseen += usize::from(self.mismatch().is_none());
                self.got[i] = right;
            }
        }
        (unseen, planted)
    }
}
