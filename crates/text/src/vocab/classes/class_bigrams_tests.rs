//! Class bigram tests: predicted gains, actual gains and likelihood against a recount.

use super::*;
use kernels::rng::{Purpose, Rng};

const VOCAB_SIZE: usize = 40;
const N_CLASSES: usize = 6;

/// A text in which frequent words follow themselves and rare ones do not.
fn text(len: u64) -> Vec<u32> {
    let rng = Rng::new(4, Purpose::Test, 0);
    let draw = |i| rng.below_at(i, 40).min(rng.below_at(i + len, 40)) as u32;
    (0..len).map(draw).collect()
}

fn classes(seed: u64) -> Vec<u32> {
    let rng = Rng::new(seed, Purpose::Test, 1);
    (0..VOCAB_SIZE as u64).map(|i| rng.below_at(i, N_CLASSES as u64) as u32).collect()
}

/// The log-likelihood by its definition: a sum over the text.
fn log_likelihood(tokens: &[u32], class_of: &[u32]) -> f64 {
    let class = |id: u32| class_of[id as usize];
    let pairs = || tokens.windows(2).map(|pair| (pair[0], pair[1]));
    let count = |holds: &dyn Fn(u32, u32) -> bool| pairs().filter(|(a, b)| holds(*a, *b)).count();
    let term = |(a, b): (u32, u32)| {
        let both = count(&|x, y| class(x) == class(a) && class(y) == class(b)) as f64;
        let before = count(&|x, _| class(x) == class(a)) as f64;
        let after = count(&|_, y| class(y) == class(b)) as f64;
        let word = count(&|_, y| y == b) as f64;
        (both / before * word / after).ln()
    };
    pairs().map(term).sum()
}

#[test]
fn perplexity_matches_the_definition() {
    let tokens = text(300);
    let bigrams = Bigrams::count(&tokens[..], VOCAB_SIZE).unwrap();
    for seed in 0..3 {
        let class_of = classes(seed);
        let expected = (-log_likelihood(&tokens, &class_of) / 299.0).exp();
        let found = class_bigram_perplexity(&bigrams, &class_of);
        // A few hundred terms of at most 300 ln 300 each.
        assert!((found / expected - 1.0).abs() <= 300.0 * 1e4 * f64::EPSILON, "{found} {expected}");
    }
    assert_eq!(class_bigram_perplexity(&Bigrams::count(&[0][..], 2).unwrap(), &[0, 0]), 1.0);
}

/// Every word to every class: predicted gains, actual gains and a recount agree.
#[test]
fn gains_match_a_recount() {
    let tokens = text(3000);
    let bigrams = Bigrams::count(&tokens[..], VOCAB_SIZE).unwrap();
    let (mut around, mut scratch) = (Neighbourhood::default(), GainScratch::default());
    let start = classes(7);
    let mut state = ClassBigrams::new(&bigrams, start.clone(), N_CLASSES);
    let at_first = state.objective;
    let mut n_following_themselves = 0;
    for word in 0..VOCAB_SIZE as u32 {
        state.neighbourhood(word, &mut around);
        n_following_themselves += u32::from(around.itself > 0);
        state.gains(word, &around, &mut scratch);
        let gains = scratch.gains.clone();
        for to in 0..N_CLASSES as u32 {
            let found = state.move_word(word, to, &around);
            let anew = ClassBigrams::new(&bigrams, state.class_of().to_vec(), N_CLASSES);
            // Exact gains round terms of the size of the objective; predicted ones are sums in f32
            // of at most two terms per class, none above ln 3000 + 1.
            let exact = 1e3 * f64::EPSILON * at_first.abs();
            let foretold = 4.0 * (N_CLASSES * N_CLASSES) as f64 * 10.0 * f64::from(f32::EPSILON);
            assert!((anew.objective - at_first - found).abs() <= exact, "word {word} to {to}");
            assert!((gains[to as usize] - found).abs() <= exact + foretold, "word {word} to {to}");
            assert!(anew.pairs.counts == state.pairs.counts && anew.sizes == state.sizes);
            assert_eq!(anew.pairs_transposed.gain_of_one, state.pairs_transposed.gain_of_one);
            state.move_word(word, start[word as usize], &around);
        }
    }
    assert!((5..35).contains(&n_following_themselves), "both kinds of words must occur");
}
