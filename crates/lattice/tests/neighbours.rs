//! Nearest-neighbour searches by posting lists and by signatures: equal to a scan of all codes.

use lattice::{
    CodeIndex, FactorCode, Neighbour, PrimeBase, Searcher, SignatureRows, nearest_by_scan,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The difference between a search result and the expected one, if any.
fn difference(found: &[Neighbour], expected: &[Neighbour]) -> Option<String> {
    let bits = |list: &[Neighbour]| -> Vec<(usize, u64)> {
        list.iter().map(|n| (n.index, n.similarity.to_bits())).collect()
    };
    (bits(found) != bits(expected)).then(|| format!("found {found:?}, expected {expected:?}"))
}

/// Runs both searches for each query and each k, and compares with the scan.
fn check(codes: &[FactorCode], queries: &[FactorCode], ks: &[usize]) {
    let index = CodeIndex::new(codes);
    let rows = SignatureRows::new(&index);
    let mut searcher = Searcher::new(&index);
    for query in queries {
        let all = nearest_by_scan(codes, query, codes.len());
        for &k in ks {
            let expected = &all[..k.min(all.len())];
            let lists = difference(&searcher.nearest(query, k), expected);
            assert_eq!(lists, None, "lists, k = {k}, query {query}");
            let signatures = searcher.nearest_by_signature(&rows, query, k);
            assert_eq!(difference(&signatures, expected), None, "signatures, k = {k}, {query}");
        }
    }
}

/// Numbers from 0 to `n - 1`, distributed roughly by Zipf's law.
fn zipf(n: usize) -> impl Strategy<Value = usize> {
    (0..1u32 << 20).prop_map(move |u| {
        let share = f64::from(u) / f64::from(1u32 << 20);
        (((n + 1) as f64).powf(share) - 1.0) as usize
    })
}

fn code_lists(n_primes: usize, max_codes: usize) -> impl Strategy<Value = Vec<FactorCode>> {
    let code = prop::collection::btree_set(zipf(n_primes), 0..7).prop_map(move |set| {
        FactorCode::from_indices(&PrimeBase::first(n_primes), set).expect("a set repeats nothing")
    });
    prop::collection::vec(code, 0..max_codes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few primes: many codes are equal or tie, and bounds are often attained exactly.
    #[test]
    fn searches_among_codes_of_few_primes(
        codes in code_lists(9, 200),
        queries in code_lists(11, 8),
    ) {
        check(&codes, &queries, &[0, 1, 2, 10, 1_000]);
        check(&codes, &codes[..codes.len().min(8)], &[1, 5]);
    }

    /// Many primes: most lists are short, and signatures share bits by chance.
    #[test]
    fn searches_among_codes_of_many_primes(
        codes in code_lists(2_000, 400),
        queries in code_lists(2_200, 8),
    ) {
        check(&codes, &queries, &[1, 10, 1_000]);
        check(&codes, &codes[..codes.len().min(8)], &[1, 10]);
    }
}

/// Codes like those of words: a rare stem, a frequent ending, a class.
#[test]
fn searches_among_codes_of_words() {
    let base = PrimeBase::first(3_000);
    let mut codes = Vec::new();
    for stem in 0..2_500 {
        for form in 0..4 {
            let class = 30 + (stem * 7 + form * 13) % 70;
            let features = BTreeSet::from([form * (stem % 5 + 1), class, 400 + stem]);
            codes.push(FactorCode::from_indices(&base, features).expect("a set repeats nothing"));
        }
    }
    // With k = all codes, false positives of the signatures would show up in the result.
    let queries: Vec<FactorCode> = codes.iter().step_by(211).cloned().collect();
    check(&codes, &queries, &[1, 10, 100, codes.len()]);
}

#[test]
fn equal_codes_keep_the_given_order() {
    let code = |n| FactorCode::from_integer(n).expect("squarefree");
    let codes = [code(6), code(10), code(6), code(35), code(6)];
    let index = CodeIndex::new(&codes);
    let indices = |query, k| {
        let found = Searcher::new(&index).nearest(&code(query), k);
        found.iter().map(|n| n.index).collect::<Vec<_>>()
    };
    assert_eq!(indices(6, 2), [0, 2]);
    assert_eq!(indices(6, 9), [0, 2, 4, 1]);
    assert_eq!(indices(143, 9), [0usize; 0]);
}

#[test]
fn the_comparison_finds_planted_errors() {
    let right = [Neighbour { index: 3, similarity: 0.5 }, Neighbour { index: 1, similarity: 0.25 }];
    assert_eq!(difference(&right, &right), None);
    let next = f64::from_bits(0.25f64.to_bits() + 1);
    let wrong: [&[Neighbour]; 4] = [
        &right[..1],
        &[right[1], right[0]],
        &[right[0], Neighbour { index: 2, ..right[1] }],
        &[right[0], Neighbour { similarity: next, ..right[1] }],
    ];
    for found in wrong {
        assert!(difference(found, &right).is_some(), "{found:?} passes");
    }
}

#[test]
#[should_panic(expected = "another index")]
fn rows_of_another_index_are_refused() {
    let (index, other) = (CodeIndex::new(&[]), CodeIndex::new(&[]));
    Searcher::new(&index).nearest_by_signature(&SignatureRows::new(&other), &FactorCode::one(), 1);
}
