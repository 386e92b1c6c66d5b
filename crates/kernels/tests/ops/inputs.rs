//! Random test inputs: numbers, widths at the edges of loops, table rows, numbers in either format.

use kernels::aligned::Plain;
use kernels::composed::Composition;
use kernels::row_sums::NO_ROW;
use kernels::rows::bf16_from_f32;
use kernels::{AlignedVec, Precision, Rows, RowsMut};

/// The seed of all random inputs: `CRYSTALLINE_TEST_SEED`, or a fixed one; printed.
pub fn seed() -> u64 {
    let seed = std::env::var("CRYSTALLINE_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or(0x5eed);
    println!("CRYSTALLINE_TEST_SEED={seed}");
    seed
}

/// A stream of random numbers, determined by its seed (splitmix64).
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

/// Sizes at, below and above every edge of the kernels' loops, and a few others.
pub fn width(random: &mut Random) -> usize {
    let edges = [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257];
    match random.between(0, 2) {
        0 => edges[random.between(0, edges.len() - 1)],
        _ => random.between(1, 200),
    }
}

/// `n` rows out of `n_rows`; a quarter of them are none.
pub fn some_rows(random: &mut Random, n: usize, n_rows: usize) -> Vec<u32> {
    let row = |random: &mut Random| match random.between(0, 3) {
        0 => NO_ROW,
        _ => random.between(0, n_rows - 1) as u32,
    };
    (0..n).map(|_| row(random)).collect()
}

/// A random composition of inputs: up to [`Made::N_PARTS_MAX`] parts each, possibly with repeats.
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

    /// `n` inputs, possibly with repeats.
    pub fn inputs(&self, random: &mut Random, n: usize) -> Vec<u32> {
        (0..n).map(|_| random.between(0, self.own.len() - 1) as u32).collect()
    }
}

/// The same numbers in f64.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x as f64).collect()
}

/// Numbers aligned to cache lines, as in models.
pub fn aligned<T: Plain>(x: &[T]) -> AlignedVec<T> {
    let mut aligned = AlignedVec::zeroed(x.len());
    aligned.copy_from_slice(x);
    aligned
}

/// Numbers in either format, as kernels read and write them.
#[derive(Debug)]
pub enum Cells {
    F32(AlignedVec<f32>),
    Bf16(AlignedVec<u16>),
}

impl PartialEq for Cells {
    fn eq(&self, other: &Cells) -> bool {
        match (self, other) {
            (Cells::F32(x), Cells::F32(y)) => **x == **y,
            (Cells::Bf16(x), Cells::Bf16(y)) => **x == **y,
            _ => false,
        }
    }
}

impl Cells {
    /// These numbers, each rounded to the format.
    pub fn new(x: &[f32], precision: Precision) -> Cells {
        match precision {
            Precision::F32 => Cells::F32(aligned(x)),
            Precision::Bf16 => {
                let words: Vec<u16> = x.iter().map(|&x| bf16_from_f32(x)).collect();
                Cells::Bf16(aligned(&words))
            }
        }
    }

    /// The result of `kernel` on `n` cells that first hold NaN.
    pub fn written(n: usize, precision: Precision, kernel: impl FnOnce(RowsMut)) -> Cells {
        let mut cells = Cells::new(&vec![f32::NAN; n], precision);
        kernel(cells.rows_mut());
        cells
    }

    pub fn rows(&self) -> Rows<'_> {
        match self {
            Cells::F32(x) => Rows::F32(x),
            Cells::Bf16(x) => Rows::Bf16(x),
        }
    }

    pub fn rows_mut(&mut self) -> RowsMut<'_> {
        match self {
            Cells::F32(x) => RowsMut::F32(x),
            Cells::Bf16(x) => RowsMut::Bf16(x),
        }
    }

    pub fn wide(&self) -> Vec<f64> {
        (0..self.rows().len()).map(|i| self.rows().get(i).into()).collect()
    }
}

/// Pseudo-random numbers in (-4, 4): inputs of the benchmark.
pub fn numbers(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 8) as f32 / 2f32.powi(21) - 4.0).collect()
}

/// `n` scattered rows out of `n_rows`: inputs of the benchmark.
pub fn scattered(n: usize, n_rows: u32) -> Vec<u32> {
    (0..n as u32).map(|i| i * 7919 % n_rows).collect()
}
