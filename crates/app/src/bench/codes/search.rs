//! Search benchmark: the ten nearest of 50,000, by codes and by dot products with all rows.

use super::random::{RandomCodes, codes_of};
use super::{CLAIM, Line, NAME_WIDTH, Timed, measure_lines};
use engine::nearest::{DotTable, largest};
use kernels::Precision;
use lattice::{CodeIndex, FactorCode, PrimeBase, Searcher, SignatureRows, nearest_by_scan};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::hint::black_box;

/// Codes to search; then queries per round by codes and by dot products, and results per query.
const N_CODES: usize = 50_000;
const N_QUERIES: usize = 200;
const N_DOT_QUERIES: usize = 8;
const K: usize = 10;

/// Width of a vector.
const DIM: usize = 128;

/// Queries per matrix product.
const N_AT_ONCE: usize = 32;

/// Times per query in one set of codes.
#[derive(Debug, Serialize)]
pub struct SearchReport {
    codes: &'static str,
    lines: Vec<Line>,
}

/// A set of codes: its description, its number of primes, and the features of each code.
struct Kind {
    name: &'static str,
    n_primes: usize,
    sets: Vec<BTreeSet<usize>>,
}

/// Codes like those of a vocabulary: a class, a rare stem, and often one or two frequent endings.
fn words(random: &mut RandomCodes) -> Kind {
    let (n_endings, n_classes, n_stems) = (200, 224, 20_000);
    let mut word = || {
        let mut set = BTreeSet::from([
            n_endings + random.below(n_classes),
            n_endings + n_classes + random.below(n_stems),
        ]);
        for _ in 0..random.below(3) {
            set.insert(random.zipf(n_endings));
        }
        set
    };
    let sets = (0..N_CODES).map(|_| word()).collect();
    let name = "words: class, stem, 0 to 2 endings";
    Kind { name, n_primes: n_endings + n_classes + n_stems, sets }
}

/// Codes of 3 to 6 Zipf-distributed features: the smallest primes occur in a third of them.
fn zipf(random: &mut RandomCodes, name: &'static str, n_primes: usize) -> Kind {
    let mut code = || (0..3 + random.below(4)).map(|_| random.zipf(n_primes)).collect();
    Kind { name, n_primes, sets: (0..N_CODES).map(|_| code()).collect() }
}

/// Times searches in three sets of codes.
pub fn measure(rounds: usize) -> Vec<SearchReport> {
    let mut random = RandomCodes::new(3);
    let kinds = [
        words(&mut random),
        zipf(&mut random, "3 to 6 of 20,000 features after Zipf", 20_000),
        zipf(&mut random, "3 to 6 of 300 features after Zipf", 300),
    ];
    let rows = random.rows(N_CODES, DIM);
    kinds.into_iter().map(|kind| search(kind, &rows, rounds)).collect()
}

fn search(kind: Kind, vectors: &[f32], rounds: usize) -> SearchReport {
    let codes = codes_of(&PrimeBase::first(kind.n_primes), &kind.sets);
    let index = CodeIndex::new(&codes);
    let rows = SignatureRows::new(&index);
    let queries: Vec<&FactorCode> = codes.iter().step_by(N_CODES / N_QUERIES).collect();
    let [mut by_lists, mut by_rows] = [(); 2].map(|_| Searcher::new(&index));
    // The timed code must return the right answer.
    for query in queries.iter().step_by(20) {
        let expected = nearest_by_scan(&codes, query, K);
        assert_eq!(by_lists.nearest(query, K), expected);
        assert_eq!(by_rows.nearest_by_signature(&rows, query, K), expected);
    }
    let mut table = DotTable::new(vectors, DIM, Precision::F32);
    let batch = &vectors[..N_AT_ONCE * DIM];

    let mut timed = vec![
        Timed::new("inverted lists of primes", queries.len(), || {
            for query in &queries {
                black_box(by_lists.nearest(query, K));
            }
        }),
        Timed::new("512-bit signatures, exact check", queries.len(), || {
            for query in &queries {
                black_box(by_rows.nearest_by_signature(&rows, query, K));
            }
        }),
        Timed::new(format!("dot products, d = {DIM}"), N_DOT_QUERIES, || {
            for query in batch.chunks_exact(DIM).take(N_DOT_QUERIES) {
                black_box(table.nearest(query, K));
            }
        }),
    ];
    timed.extend([Precision::F32, Precision::Bf16].map(|precision| {
        let mut table = DotTable::new(vectors, DIM, precision);
        let what = format!("dot products, d = {DIM}, {N_AT_ONCE} at once, {}", precision.name());
        Timed::new(what, N_AT_ONCE, move || {
            for products in table.products(batch).chunks_exact(N_CODES) {
                black_box(largest(products, K));
            }
        })
    }));
    SearchReport { codes: kind.name, lines: measure_lines(timed, rounds) }
}

/// Indices of the lines that a claim is compared with: inverted lists, and dot products one query at
/// a time.
const LISTS: usize = 0;
const DOTS: usize = 2;

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dots, codes) = (self.lines[DOTS].ns, self.codes);
        writeln!(
            f,
            "us a query, the {K} nearest of {N_CODES}; {codes}; times as fast as dot products"
        )?;
        for Line { what, ns } in &self.lines {
            writeln!(f, "  {what:<NAME_WIDTH$} {:>9.2} us {:>9.2} x", ns / 1e3, dots / ns)?;
        }
        let (lists, best) = (self.lines[LISTS].ns, self.lines.iter().skip(DOTS));
        let best = best.map(|line| line.ns).fold(f64::INFINITY, f64::min);
        write!(
            f,
            "search by code instead of dot products: {CLAIM}, measured {:.1} x, {:.1} x beside the \
             fastest of them",
            dots / lists,
            best / lists
        )
    }
}
