//! Exchange clustering tests: perplexity never rises, caps hold, threads change nothing.

use super::*;
use kernels::rng::{Purpose, Rng};

const VOCAB_SIZE: usize = 600;
const LIMITS: Limits = Limits { n_classes: 12, size_cap: 80 };

/// Words of twelve latent classes in a ring with jumps.
fn bigrams() -> Bigrams {
    let mut draws = Rng::new(6, Purpose::Test, 0).draws();
    let mut class = 0;
    let mut draw = || {
        class = (class + [1, 1, 1, 5][draws.below(4) as usize]) % 12;
        (12 * draws.below(50).min(draws.below(50)) + class) as u32
    };
    let tokens: Vec<u32> = (0..30_000).map(|_| draw()).collect();
    Bigrams::count(&tokens[..], VOCAB_SIZE).unwrap()
}

/// Words assigned to classes in turn, but not in the order of the latent ones.
fn round_robin() -> Vec<u32> {
    (0..VOCAB_SIZE as u32).map(|word| word / 12 % 12).collect()
}

fn words() -> Vec<u32> {
    (0..VOCAB_SIZE as u32).collect()
}

/// The first index at which a sequence rises.
fn first_rise(perplexities: &[f64]) -> Option<usize> {
    perplexities.windows(2).position(|pair| pair[1] > pair[0])
}

#[test]
fn the_perplexity_never_rises() {
    let bigrams = bigrams();
    let mut state = ClassBigrams::new(&bigrams, round_robin(), LIMITS.n_classes);
    let mut perplexities = vec![state.perplexity()];
    let mut pool = Pool::new(2);
    while sweep(&mut state, &words(), LIMITS.size_cap, &mut pool) > 0 {
        // Recounted, to detect an error in updating the sum.
        let anew = ClassBigrams::new(&bigrams, state.class_of().to_vec(), LIMITS.n_classes);
        perplexities.push(anew.perplexity());
        assert!(perplexities.len() < 100, "it does not converge");
    }
    assert_eq!(first_rise(&perplexities), None, "{perplexities:?}");
    assert!(perplexities.len() > 3 && perplexities[perplexities.len() - 1] < 0.8 * perplexities[0]);
    // A sweep that moves words without checking gains is detected.
    let mut around = Neighbourhood::default();
    for word in 0..50 {
        state.neighbourhood(word, &mut around);
        state.move_word(word, word % 12, &around);
    }
    perplexities.push(state.perplexity());
    assert_eq!(first_rise(&perplexities), Some(perplexities.len() - 2));
}

#[test]
fn caps_hold_and_threads_change_nothing() {
    let bigrams = bigrams();
    let classes = |size_cap, threads| {
        let mut goes_on = |_, _| true;
        let mut watch = Watch::new(N_SWEEPS_MAX, &mut goes_on);
        let limits = Limits { size_cap, ..LIMITS };
        let pool = &mut Pool::new(threads);
        exchange(&bigrams, &words(), round_robin(), limits, pool, &mut watch).unwrap()
    };
    // Assignment in turn gives classes of 48 and 60.
    for size_cap in [60, 64, 600] {
        let one = classes(size_cap, 1);
        let size = |class| one.iter().filter(|c| **c == class).count();
        assert!((0..12).all(|class| size(class) <= size_cap));
        assert_ne!(one, round_robin());
        assert!([2, 3].iter().all(|threads| classes(size_cap, *threads) == one));
    }
}
