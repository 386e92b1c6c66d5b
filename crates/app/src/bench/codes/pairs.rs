//! Pairwise benchmark: each way to compare two codes, next to the dot product of two vectors.

use super::random::{RandomCodes, codes_of};
use super::{CLAIM, Line, NAME_WIDTH, Timed, measure_lines};
use engine::nearest::DotTable;
use kernels::Precision;
use lattice::codes::similarity::{by_bits, by_factors, common};
use lattice::numbers::arith::{gcd, gcd_big, gcd_binary, gcd_u128};
use lattice::{BitCode, FactorCode, PrimeBase, Signature, UBig};
use serde::Serialize;
use std::fmt;
use std::hint::black_box;

/// Codes that a query is compared with; all fit the second-level cache.
const N_PAIRS: usize = 1_024;

/// Queries per matrix product.
const N_AT_ONCE: usize = 32;

/// Times per pair, including the dot product of 128 numbers.
#[derive(Debug, Serialize)]
pub struct PairReport {
    lines: Vec<Line>,
    /// Index of the line with the dot product to compare with.
    dot: usize,
    /// Index of the line with the gcd of token codes, each a class prime times a member prime.
    gcd: usize,
}

/// A line that compares a query with each of `others`; the compiler may not skip the work.
fn pairs<'a, T, R>(name: &str, others: &'a [T], compare: impl Fn(&T, &T) -> R + 'a) -> Timed<'a> {
    let mut i = 0;
    Timed::new(name, others.len(), move || {
        i = (i + 1) % others.len();
        for other in others {
            black_box(compare(black_box(&others[i]), other));
        }
    })
}

/// A line of dot products of all rows with `n_queries` queries at once.
fn dots(name: String, dim: usize, n_queries: usize, precision: Precision) -> Timed<'static> {
    let rows = RandomCodes::new(2).rows(N_PAIRS, dim);
    let mut table = DotTable::new(&rows, dim, precision);
    let mut i = 0;
    Timed::new(name, N_PAIRS * n_queries, move || {
        i = (i + 1) % (N_PAIRS - n_queries);
        black_box(table.products(black_box(&rows[i * dim..][..n_queries * dim])));
    })
}

fn words<const N: usize>(codes: &[FactorCode], base: &PrimeBase) -> Vec<[u64; N]> {
    let bits = |code| BitCode::new(code, base).expect("all primes are in the base");
    codes.iter().map(|code| std::array::from_fn(|i| bits(code).words()[i])).collect()
}

fn n_common<const N: usize>(a: &[u64; N], b: &[u64; N]) -> u32 {
    (0..N).map(|i| (a[i] & b[i]).count_ones()).sum()
}

/// Times every way of comparing two codes, and dot products.
pub fn measure(rounds: usize) -> PairReport {
    let mut random = RandomCodes::new(1);
    let ids: Vec<u64> = (0..N_PAIRS).map(|_| 1 + random.below((1 << 17) - 1) as u64).collect();
    let paths: Vec<u64> = {
        let base = PrimeBase::first(400);
        let mut path = || base.prime(random.zipf(200)) * base.prime(200 + random.zipf(200));
        (0..N_PAIRS).map(|_| path()).collect()
    };
    let bases = [64, 256, 512].map(PrimeBase::first);
    let codes = bases.each_ref().map(|base| {
        let sets: Vec<_> = (0..N_PAIRS).map(|_| random.features(8, base.len())).collect();
        codes_of(base, &sets)
    });
    let narrow: Vec<u128> = codes[0].iter().filter_map(FactorCode::integer_u128).collect();
    let wide: Vec<UBig> = codes[2].iter().map(FactorCode::integer).collect();
    let (bits64, bits256) = (words::<1>(&codes[0], &bases[0]), words::<4>(&codes[1], &bases[1]));
    let bits512 = words::<8>(&codes[2], &bases[2]);
    let bit_codes: Vec<BitCode> =
        codes[2].iter().map(|c| BitCode::new(c, &bases[2]).expect("in the base")).collect();
    let index = |p: &u64| bases[2].index(*p).expect("in the base");
    let signatures: Vec<Signature> =
        codes[2].iter().map(|c| Signature::of(c.primes().iter().map(index))).collect();

    let shared = |a: &FactorCode, b: &FactorCode| common(a.primes(), b.primes()).count();
    let mut timed = vec![
        pairs("gcd, binary, 17-bit ids", &ids, |a, b| gcd_binary(*a, *b)),
        pairs("gcd, Euclid, 17-bit ids", &ids, |a, b| gcd(*a, *b)),
        pairs("gcd, binary, class prime x member prime", &paths, |a, b| gcd_binary(*a, *b)),
        pairs("gcd, Euclid, class prime x member prime", &paths, |a, b| gcd(*a, *b)),
        pairs("gcd, u128, 8 of 64 primes", &narrow, |a, b| gcd_u128(*a, *b)),
        pairs("gcd, big integers, 8 of 512 primes", &wide, gcd_big),
        pairs("factor lists, 8 of 512: primes in common", &codes[2], shared),
        pairs("factor lists, 8 of 512: similarity", &codes[2], by_factors),
        pairs("bits, 64: AND, popcount", &bits64, n_common),
        pairs("bits, 256: AND, popcount", &bits256, n_common),
        pairs("bits, 512: AND, popcount", &bits512, n_common),
        pairs("signature, 512: AND, popcount", &signatures, Signature::n_common),
        pairs("bits, 512: similarity", &bit_codes, |a, b| by_bits(a, b, &bases[2])),
    ];
    let (gcd, first_dot) = (2, timed.len());
    let f32 = Precision::F32;
    timed.extend([64, 128, 256].map(|dim| dots(format!("dot product, d = {dim}"), dim, 1, f32)));
    timed.extend([f32, Precision::Bf16].map(|precision| {
        let what = format!("dot product, d = 128, {N_AT_ONCE} at once, {}", precision.name());
        dots(what, 128, N_AT_ONCE, precision)
    }));
    PairReport { lines: measure_lines(timed, rounds), dot: first_dot + 1, gcd }
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = self.lines[self.dot].ns;
        writeln!(
            f,
            "ns a pair, one query against {N_PAIRS} in cache; times as fast as the dot product of 128"
        )?;
        for Line { what, ns } in &self.lines {
            writeln!(f, "  {what:<NAME_WIDTH$} {ns:>9.2} ns {:>9.2} x", dot / ns)?;
        }
        let measured = dot / self.lines[self.gcd].ns;
        write!(f, "GCD instead of the dot product: {CLAIM}, measured {measured:.2} x")
    }
}
