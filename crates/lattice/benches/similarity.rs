//! What comparing two codes costs each way beside a dot product, and searching 50,000 of them.
//!
//! ```text
//! RUSTFLAGS="-C target-cpu=native" cargo bench -p crystalline-lattice --bench similarity
//! ```
//!
//! One thread. Every round measures each line once, in turn, so that whatever slows the machine
//! for a while slows all of them; printed are medians over the rounds. Compile for the machine:
//! the dot products are plain loops, which the default build makes several times slower (this
//! crate lies beside `kernels`, and so cannot time its kernels).

use lattice::arith::{gcd, gcd_big, gcd_binary, gcd_u128};
use lattice::similarity::{by_bits, by_factors, common};
use lattice::{
    BitCode, CodeIndex, FactorCode, Neighbour, PrimeBase, Searcher, Signature, SignatureRows, UBig,
    nearest_by_scan,
};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 41;

/// Codes that a query is compared with in the first table: all stay in the second-level cache.
const N_PAIRS: usize = 1_024;

/// Codes in the second table, queries of a round, and results of each.
const N_CODES: usize = 50_000;
const N_QUERIES: usize = 200;
const K: usize = 10;

/// Numbers that look random (Knuth's multiplier, upper half of the state).
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize * n) >> 31
    }

    /// Index of a feature: i with probability about `1 / (i + 1)`, as Zipf has it.
    fn zipf(&mut self, n: usize) -> usize {
        let share = self.below(1 << 30) as f64 / (1u64 << 30) as f64;
        (((n + 1) as f64).powf(share) - 1.0) as usize
    }

    fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.below(2_001) as f32 / 1_000.0 - 1.0).collect()
    }
}

/// A line of a table: what is measured, operations in a run, and the run.
type Line<'a> = (String, usize, Box<dyn FnMut() + 'a>);

/// Median nanoseconds per operation of each line, all lines in turn in every round.
fn medians(lines: &mut [Line]) -> Vec<f64> {
    let mut times = vec![Vec::new(); lines.len()];
    for round in 0..=ROUNDS {
        for ((_, n, run), times) in lines.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            // The first round fills the caches.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e9 / *n as f64);
            }
        }
    }
    times.iter_mut().map(|t| median(t)).collect()
}

fn median(xs: &mut [f64]) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

/// A line that compares `query` with every one of `others`, and keeps the compiler from skipping it.
fn pairs<'a, T, R>(name: &str, others: &'a [T], compare: impl Fn(&T, &T) -> R + 'a) -> Line<'a> {
    let (query, mut turn) = (others, 0);
    let run = move || {
        turn = (turn + 1) % query.len();
        for other in others {
            black_box(compare(black_box(&query[turn]), other));
        }
    };
    (name.to_string(), others.len(), Box::new(run))
}

/// Dot product in 32 lanes, which is what a compiler turns into vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 32];
    for (a, b) in a.chunks_exact(32).zip(b.chunks_exact(32)) {
        for i in 0..32 {
            lanes[i] = if cfg!(target_feature = "fma") {
                a[i].mul_add(b[i], lanes[i])
            } else {
                lanes[i] + a[i] * b[i]
            };
        }
    }
    lanes.iter().sum()
}

fn codes_of(base: &PrimeBase, sets: &[BTreeSet<usize>]) -> Vec<FactorCode> {
    let code = |set: &BTreeSet<usize>| FactorCode::from_indices(base, set.iter().copied());
    sets.iter().map(|set| code(set).expect("a set repeats nothing")).collect()
}

/// Sets of `n_features` features out of `n`, frequent ones first.
fn sets(noise: &mut Noise, n_features: usize, n: usize) -> Vec<BTreeSet<usize>> {
    let mut set = || {
        let mut set = BTreeSet::new();
        while set.len() < n_features {
            set.insert(noise.zipf(n));
        }
        set
    };
    (0..N_PAIRS).map(|_| set()).collect()
}

fn words<const N: usize>(codes: &[FactorCode], base: &PrimeBase) -> Vec<[u64; N]> {
    let bits = |code| BitCode::new(code, base).expect("all primes are in the base");
    codes.iter().map(|code| std::array::from_fn(|i| bits(code).words()[i])).collect()
}

fn n_common<const N: usize>(a: &[u64; N], b: &[u64; N]) -> u32 {
    (0..N).map(|i| (a[i] & b[i]).count_ones()).sum()
}

fn compare_pairs() {
    let mut noise = Noise(1);
    let ids: Vec<u64> = (0..N_PAIRS).map(|_| 1 + noise.below((1 << 17) - 1) as u64).collect();
    let paths: Vec<u64> = {
        let base = PrimeBase::first(400);
        let mut prime = || base.prime(noise.zipf(200));
        (0..N_PAIRS).map(|_| prime() * prime()).collect()
    };
    let bases = [64, 256, 512].map(PrimeBase::first);
    let codes = [64, 256, 512].map(|n| sets(&mut noise, 8, n));
    let codes: Vec<Vec<FactorCode>> =
        bases.iter().zip(&codes).map(|(base, sets)| codes_of(base, sets)).collect();
    let narrow: Vec<u128> = codes[0].iter().filter_map(FactorCode::integer_u128).collect();
    let wide: Vec<UBig> = codes[2].iter().map(FactorCode::integer).collect();
    let (bits64, bits256) = (words::<1>(&codes[0], &bases[0]), words::<4>(&codes[1], &bases[1]));
    let bits512 = words::<8>(&codes[2], &bases[2]);
    let bit_codes: Vec<BitCode> =
        codes[2].iter().map(|c| BitCode::new(c, &bases[2]).expect("in the base")).collect();
    let index = |p: &u64| bases[2].index(*p).expect("in the base");
    let signatures: Vec<Signature> =
        codes[2].iter().map(|c| Signature::of(c.primes().iter().map(index))).collect();
    let vectors = [64, 128, 256].map(|d| (0..N_PAIRS).map(|_| noise.vector(d)).collect::<Vec<_>>());

    let shared = |a: &FactorCode, b: &FactorCode| common(a.primes(), b.primes()).count();
    let mut lines = vec![
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
        pairs("dot product, d = 64", &vectors[0], |a, b| dot(a, b)),
        pairs("dot product, d = 128", &vectors[1], |a, b| dot(a, b)),
        pairs("dot product, d = 256", &vectors[2], |a, b| dot(a, b)),
    ];
    let medians = medians(&mut lines);
    let of_dot = medians[14];
    println!("ns per pair, one query against {N_PAIRS} codes in cache, median of {ROUNDS} rounds");
    for ((name, ..), ns) in lines.iter().zip(&medians) {
        println!("  {name:<44} {ns:>8.2} ns {:>7.2} x the dot product of 128", ns / of_dot);
    }
}

/// Codes like those of a vocabulary: a class, a rare stem, and often one or two frequent endings.
fn word_codes(noise: &mut Noise) -> (&'static str, usize, Vec<BTreeSet<usize>>) {
    let (n_endings, n_classes, n_stems) = (200, 224, 20_000);
    let mut word = || {
        let mut set = BTreeSet::from([
            n_endings + noise.below(n_classes),
            n_endings + n_classes + noise.below(n_stems),
        ]);
        for _ in 0..noise.below(3) {
            set.insert(noise.zipf(n_endings));
        }
        set
    };
    let sets = (0..N_CODES).map(|_| word()).collect();
    ("words: class, stem, 0 to 2 endings", n_endings + n_classes + n_stems, sets)
}

/// Codes of 3 to 6 features, all drawn after Zipf: the smallest primes are in a third of them.
fn zipf_codes(noise: &mut Noise, n: usize) -> (&'static str, usize, Vec<BTreeSet<usize>>) {
    let mut code = || (0..3 + noise.below(4)).map(|_| noise.zipf(n)).collect();
    let sets = (0..N_CODES).map(|_| code()).collect();
    (if n < 1_000 { "3 to 6 of few features" } else { "3 to 6 features after Zipf" }, n, sets)
}

/// The `K` codes with most bits in common by reading all signatures: not exact, a bound on scans.
fn scan_signatures(query: &Signature, all: &[Signature]) -> u32 {
    all.iter().map(|signature| signature.n_common(query)).max().unwrap_or(0)
}

fn scan_dots(query: &[f32], table: &[f32]) -> f32 {
    table.chunks_exact(query.len()).map(|row| dot(query, row)).fold(f32::MIN, f32::max)
}

fn same(a: &[Neighbour], b: &[Neighbour]) -> bool {
    a == b
}

fn search((name, n_primes, sets): (&str, usize, Vec<BTreeSet<usize>>)) {
    let base = PrimeBase::first(n_primes);
    let codes = codes_of(&base, &sets);
    let start = Instant::now();
    let index = CodeIndex::new(&codes);
    let index_ms = start.elapsed().as_secs_f64() * 1e3;
    let rows = SignatureRows::new(&index);
    let signatures: Vec<Signature> =
        sets.iter().map(|s| Signature::of(s.iter().copied())).collect();
    let queries: Vec<usize> = (0..N_QUERIES).map(|i| i * (N_CODES / N_QUERIES)).collect();
    let [mut by_lists, mut by_rows, mut slowest] = [(); 3].map(|_| Searcher::new(&index));
    for &q in queries.iter().take(20) {
        let expected = nearest_by_scan(&codes, &codes[q], K);
        assert!(same(&by_lists.nearest(&codes[q], K), &expected));
        assert!(same(&by_rows.nearest_by_signature(&rows, &codes[q], K), &expected));
    }
    let table = Noise(3).vector(N_CODES * 128);
    let few = &queries[..8];

    let mut lines: Vec<Line> = vec![
        (
            "inverted lists".into(),
            N_QUERIES,
            Box::new(|| {
                queries.iter().for_each(|&q| drop(black_box(by_lists.nearest(&codes[q], K))));
            }),
        ),
        (
            "512-bit signatures by rows, exact check".into(),
            N_QUERIES,
            Box::new(|| {
                let mut nearest = |q: usize| by_rows.nearest_by_signature(&rows, &codes[q], K);
                queries.iter().for_each(|&q| drop(black_box(nearest(q))));
            }),
        ),
        (
            "512-bit signatures, all read, maximum only".into(),
            few.len(),
            Box::new(|| {
                for &q in few {
                    black_box(scan_signatures(&signatures[q], &signatures));
                }
            }),
        ),
        (
            "dot products of 128, maximum only".into(),
            few.len(),
            Box::new(|| {
                for &q in few {
                    black_box(scan_dots(&table[q * 128..(q + 1) * 128], &table));
                }
            }),
        ),
    ];
    let medians = medians(&mut lines);
    let dots = medians[3];
    println!("\n{name}: {K} nearest of {N_CODES}, us per query (index built in {index_ms:.0} ms)");
    for ((name, ..), ns) in lines.iter().zip(&medians) {
        println!("  {name:<44} {:>8.2} us {:>7.1} x as fast as dots", ns / 1e3, dots / ns);
    }
    drop(lines);

    // Each query by itself: the median of all, and the worst.
    let time = |q: &usize| {
        let mut runs = [0.0; 5].map(|_: f64| {
            let start = Instant::now();
            black_box(slowest.nearest(&codes[*q], K));
            start.elapsed().as_secs_f64() * 1e6
        });
        median(&mut runs)
    };
    let mut each: Vec<f64> = queries.iter().map(time).collect();
    each.sort_by(f64::total_cmp);
    let at = |share: f64| each[((each.len() - 1) as f64 * share) as usize];
    println!(
        "  by lists: median {:.2} us, 95 % {:.2} us, slowest {:.2} us",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

fn main() {
    compare_pairs();
    let mut noise = Noise(2);
    search(word_codes(&mut noise));
    search(zipf_codes(&mut noise, 20_000));
    search(zipf_codes(&mut noise, 300));
}
