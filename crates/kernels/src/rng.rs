//! Random numbers without state: a pure function of (seed, purpose, stream, counter).
//!
//! Philox-2x64-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011, section 3.3) is a keyed bijection of 128-bit counters. The key is derived from the seed
//! and the purpose; the counter is (index, stream). So any value can be computed in any order, by any
//! thread and after any resume, and two purposes never share numbers. All randomness of the program
//! comes from here.
//!
//! Values are the same on every machine and in every version: normal deviates use only
//! operations that IEEE 754 rounds exactly (`+ - * /` and the square root), never the platform's
//! `ln` or `cos`. The tests hold golden values; changing one changes every run of every user.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

/// Use of random numbers; each purpose has its own numbers under the same seed.
///
/// The discriminants are part of every stored run: add to the end, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial parameter values; one stream per tensor.
    Initialisation = 1,
    /// The order of training windows; one stream per epoch.
    DataOrder = 2,
    /// Dropout masks; one stream per step.
    Dropout = 3,
    /// Sampling of tokens during generation; one stream per text.
    Generation = 4,
    /// The built-in corpus; one stream per story.
    Stories = 5,
    /// Numbers drawn by tests.
    Test = 6,
    /// Word classes: one stream for each of their uses.
    Classes = 7,
    /// The order of token ids: streams for the plane of words, and one per class.
    Order = 8,
    /// Negative samples that targets are compared with; one stream per step.
    Negatives = 9,
    /// Places of held-out text; one stream per corpus.
    HeldOut = 10,
}

/// Random numbers addressed by index: one stream of one purpose under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    key: u64,
    stream: u64,
}

const PHILOX_MULTIPLIER: u64 = 0xD2B7_4407_B1CE_6E93;
const PHILOX_WEYL: u64 = 0x9E37_79B9_7F4A_7C15;
const PHILOX_ROUNDS: usize = 10;

/// Key that derives the key of (seed, purpose): "Crystall" in ASCII.
const KEY_OF_KEYS: u64 = 0x4372_7973_7461_6C6C;

/// Philox-2x64-10 of a 128-bit counter, given as (low, high) words.
fn philox(counter: [u64; 2], mut key: u64) -> [u64; 2] {
    let [mut low, mut high] = counter;
    for _ in 0..PHILOX_ROUNDS {
        let product = u128::from(low) * u128::from(PHILOX_MULTIPLIER);
        low = (product >> 64) as u64 ^ key ^ high;
        high = product as u64;
        key = key.wrapping_add(PHILOX_WEYL);
    }
    [low, high]
}

impl Rng {
    /// The numbers of `stream` (a tensor, an epoch, a story …) for `purpose` under `seed`.
    pub fn new(seed: u64, purpose: Purpose, stream: u64) -> Rng {
        let [key, _] = philox([seed, purpose as u64], KEY_OF_KEYS);
        Rng { key, stream }
    }

    /// The two independent words with numbers `2 * block` and `2 * block + 1`.
    pub fn block_at(&self, block: u64) -> [u64; 2] {
        philox([block, self.stream], self.key)
    }

    /// 64 random bits; any `index` is valid.
    pub fn u64_at(&self, index: u64) -> u64 {
        self.block_at(index / 2)[(index % 2) as usize]
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn f32_at(&self, index: u64) -> f32 {
        (self.u64_at(index) >> 40) as f32 * (1.0 / (1u64 << 24) as f32)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn f64_at(&self, index: u64) -> f64 {
        unit_f64(self.u64_at(index))
    }

    /// Uniform in `0..n` without bias (Lemire, "Fast random integer generation in an interval",
    /// ACM TOMACS 2019). A rejected word is replaced by the word at the same index under the next key.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below_at(&self, index: u64, n: u64) -> u64 {
        assert!(n > 0, "below_at: n is 0");
        let mut retry = *self;
        loop {
            if let Some(value) = scale_below(retry.u64_at(index), n) {
                return value;
            }
            retry.key = retry.key.wrapping_add(1);
        }
    }

    /// Two independent standard normal deviates from the words of block `pair` (Box and Muller, 1958).
    /// Their magnitude is at most 8.58.
    pub fn normal_pair_at(&self, pair: u64) -> [f64; 2] {
        let [a, b] = self.block_at(pair);
        let radius = (-2.0 * ln_unit(1.0 - unit_f64(a))).sqrt();
        let [sin, cos] = sin_cos_turn(unit_f64(b));
        [radius * cos, radius * sin]
    }

    /// Fills `out` with normal deviates of standard deviation `std`. Element `i` is the deviate with
    /// number `first + i`, so parts of a tensor may be filled in any order.
    pub fn fill_normal(&self, out: &mut [f32], first: u64, std: f64) {
        let mut held = (u64::MAX, [0.0; 2]);
        for (i, out) in out.iter_mut().enumerate() {
            let index = first + i as u64;
            if held.0 != index / 2 {
                held = (index / 2, self.normal_pair_at(index / 2));
            }
            *out = (held.1[(index % 2) as usize] * std) as f32;
        }
    }

    /// A cursor that reads the words in order, from number 0.
    pub fn draws(&self) -> Draws {
        Draws { rng: *self, next: 0, block: [0; 2] }
    }
}

/// A cursor over an [`Rng`], for code that needs an unknown number of values.
#[derive(Clone, Debug)]
pub struct Draws {
    rng: Rng,
    next: u64,
    block: [u64; 2],
}

impl Draws {
    /// The next word of the stream.
    pub fn next_u64(&mut self) -> u64 {
        let half = (self.next % 2) as usize;
        if half == 0 {
            self.block = self.rng.block_at(self.next / 2);
        }
        self.next += 1;
        self.block[half]
    }

    /// Uniform in `0..n` without bias; consumes as many words as needed (nearly always one).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below: n is 0");
        loop {
            if let Some(value) = scale_below(self.next_u64(), n) {
                return value;
            }
        }
    }

    /// True with probability `times / of`.
    ///
    /// # Panics
    /// If `of` is 0.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }
}

/// The high word of `word * n`, or `None` if the low word is among the few that would bias it.
fn scale_below(word: u64, n: u64) -> Option<u64> {
    let product = u128::from(word) * u128::from(n);
    let low = product as u64;
    // The threshold is below n, so the division is needed only if the low word is below n.
    let is_biased = low < n && low < n.wrapping_neg() % n;
    (!is_biased).then_some((product >> 64) as u64)
}

fn unit_f64(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Natural logarithm of a normal number in (0, 1], within 2 ulp, the same on every machine.
///
/// `x = m * 2^e` with `m` in [sqrt(1/2), sqrt(2)], and `ln m = 2 artanh(s)`, `s = (m-1)/(m+1)`;
/// `s^2 <= 0.0295`, so the first omitted term, `s^22 / 23`, is below 1e-17 of the first term.
pub fn ln_unit(x: f64) -> f64 {
    debug_assert!((f64::MIN_POSITIVE..=1.0).contains(&x));
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..=10).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// Sine and cosine of `turn` full turns, `turn` in [0, 1), within 3 ulp of 1.
///
/// The argument is reduced exactly to within an eighth of a turn of a multiple of a quarter. There
/// the omitted Taylor terms, `x^19 / 19!` and `x^18 / 18!` at `x = pi / 4`, are below 1e-17.
fn sin_cos_turn(turn: f64) -> [f64; 2] {
    let quarters = (4.0 * turn + 0.5).floor();
    let x = (4.0 * turn - quarters) * FRAC_PI_2;
    let square = x * x;
    let term = |sum: f64, k: u32| 1.0 - sum * square / f64::from(k * (k + 1));
    let sin = x * (1..=8).rev().fold(1.0, |sum, k| term(sum, 2 * k));
    let cos = (1..=8).rev().fold(1.0, |sum, k| term(sum, 2 * k - 1));
    match quarters as u32 % 4 {
        0 => [sin, cos],
        1 => [cos, -sin],
        2 => [-sin, -cos],
        _ => [-cos, sin],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(stream: u64) -> Rng {
        Rng::new(7, Purpose::Test, stream)
    }

    /// The known-answer vectors published with the Random123 library.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0, 0], 0), [0xca00a0459843d731, 0x66c24222c9a845b5]);
        assert_eq!(
            philox([u64::MAX, u64::MAX], u64::MAX),
            [0x65b021d60cd8310f, 0x4d02f3222f86df20]
        );
        assert_eq!(
            philox([0x243f6a8885a308d3, 0x13198a2e03707344], 0xa4093822299f31d0),
            [0x0a5e742c2997341c, 0xb0f883d38000de5d]
        );
    }

    /// Computed independently, in Python, from the formulas in the documentation.
    #[test]
    fn golden_values_never_change() {
        let rng = Rng::new(1, Purpose::Initialisation, 2);
        assert_eq!(rng.u64_at(0), 0x54b3_63c6_2cd0_4dd1);
        assert_eq!(rng.u64_at(u64::MAX), 0xe8e2_176f_be36_0d46);
        assert_eq!(rng.below_at(5, 1000), 408);
        assert_eq!(rng.f32_at(3).to_bits(), 0x3e97_203c);
        assert_eq!(rng.f64_at(3).to_bits(), 0x3fd2_e407_86d7_987c);
        assert_eq!(
            rng.normal_pair_at(4).map(f64::to_bits),
            [0x3fc8_1ad1_ffc1_28fa, 0x3fe4_b354_30e7_d800]
        );
        let mut sum = 0u64;
        for i in 0..10_000 {
            let [a, b] = rng.normal_pair_at(i).map(f64::to_bits);
            sum = sum.rotate_left(7) ^ a ^ b.rotate_left(32);
        }
        assert_eq!(sum, 0x56b8_ba0c_0565_d60c);
    }

    #[test]
    fn purposes_streams_and_seeds_differ() {
        let base = Rng::new(1, Purpose::DataOrder, 0).u64_at(0);
        assert_ne!(base, Rng::new(1, Purpose::Dropout, 0).u64_at(0));
        assert_ne!(base, Rng::new(1, Purpose::DataOrder, 1).u64_at(0));
        assert_ne!(base, Rng::new(2, Purpose::DataOrder, 0).u64_at(0));
    }

    #[test]
    fn draws_are_the_words_in_order() {
        let (rng, mut draws) = (rng(0), rng(0).draws());
        for i in 0..101 {
            assert_eq!(draws.next_u64(), rng.u64_at(i));
        }
    }

    /// Five standard deviations of a binomial count: a fair source exceeds them once in 1.7 million.
    fn is_plausible(count: u64, n: u64, p: f64) -> bool {
        let deviation = count as f64 - n as f64 * p;
        deviation.abs() <= 5.0 * (n as f64 * p * (1.0 - p)).sqrt()
    }

    #[test]
    fn below_is_uniform_in_range_and_a_planted_bias_is_seen() {
        let n = 60_000;
        for bound in [1, 2, 3, 7, 10] {
            let mut counts = vec![0u64; bound as usize];
            (0..n).for_each(|i| counts[rng(1).below_at(i, bound) as usize] += 1);
            assert!(counts.iter().all(|c| is_plausible(*c, n, 1.0 / bound as f64)), "{counts:?}");
        }
        let biased = (0..n).filter(|i| rng(1).below_at(*i, 16).is_multiple_of(3)).count() as u64;
        assert!(!is_plausible(biased, n, 1.0 / 3.0));
    }

    /// With n = 2^63 + 1 nearly half of all words are rejected, so retries are exercised.
    #[test]
    fn rejected_words_are_replaced() {
        let (n, bound) = (20_000, (1 << 63) + 1);
        let first = |i: &u64| scale_below(rng(2).u64_at(*i), bound).is_none();
        assert!(is_plausible((0..n).filter(first).count() as u64, n, 0.5));
        let half = (0..n).filter(|i| rng(2).below_at(*i, bound) < bound / 2).count() as u64;
        assert!(is_plausible(half, n, 0.5));
        let mut draws = rng(2).draws();
        assert!((0..n).all(|_| draws.below(bound) < bound));
    }

    #[test]
    fn own_functions_agree_with_the_platform() {
        for i in 0..20_000 {
            let x = 1.0 - rng(3).f64_at(i) * if i % 2 == 0 { 1.0 } else { 1e-6 };
            assert!((ln_unit(x) - x.ln()).abs() <= 2.0 * f64::EPSILON * x.ln().abs(), "ln {x}");
            let turn = rng(4).f64_at(i);
            let (sin, cos) = (turn * std::f64::consts::TAU).sin_cos();
            let [own_sin, own_cos] = sin_cos_turn(turn);
            // The platform's argument is itself rounded: half an ulp of up to 2 pi.
            let bound = (3.0 + 4.0) * f64::EPSILON;
            assert!((own_sin - sin).abs() <= bound && (own_cos - cos).abs() <= bound, "{turn}");
        }
        assert_eq!(ln_unit(1.0), 0.0);
        assert_eq!(sin_cos_turn(0.25), [1.0, 0.0]);
    }

    #[test]
    fn normal_deviates_have_the_normal_moments() {
        let n = 200_000;
        let mut out = vec![0.0; n];
        rng(5).fill_normal(&mut out, 0, 1.0);
        let moment = |k: i32| out.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / n as f64;
        // The variance of the mean of x^k is (E x^2k - (E x^k)^2) / n; five deviations.
        for (k, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0f64), (3, 0.0, 15.0), (4, 3.0, 96.0)]
        {
            let bound = 5.0 * (variance / n as f64).sqrt();
            assert!((moment(k) - mean).abs() <= bound, "moment {k}: {}", moment(k));
        }
        let inside = out.iter().filter(|x| x.abs() < 1.0).count() as u64;
        assert!(is_plausible(inside, n as u64, 0.682_689_492_137));
    }

    #[test]
    fn a_tensor_filled_in_parts_is_the_same_tensor() {
        let (mut whole, mut parts) = ([0.0; 37], [0.0; 37]);
        rng(6).fill_normal(&mut whole, 0, 0.02);
        rng(6).fill_normal(&mut parts[13..], 13, 0.02);
        rng(6).fill_normal(&mut parts[..13], 0, 0.02);
        assert_eq!(whole, parts);
    }
}
