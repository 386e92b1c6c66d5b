//! Training gives the same bits on any number of threads, and learns what there is to learn.

mod support;

use kernels::Precision;
use support::{Tiny, train};

/// Steps of the comparison; nightly runs set `CRYSTALLINE_THREAD_STEPS=500`.
fn n_steps() -> u64 {
    std::env::var("CRYSTALLINE_THREAD_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(50)
}

#[test]
fn one_two_three_and_four_threads_give_the_same_bits() {
    for precision in [Precision::F32, Precision::Bf16] {
        let tiny = Tiny { precision, dropout: 0.1, ..Tiny::default() };
        let one = train(&tiny, 1, n_steps());
        for threads in 2..=4 {
            let many = train(&tiny, threads, n_steps());
            assert_eq!(one.losses, many.losses, "{} on {threads} threads", precision.name());
            assert_eq!(one.params, many.params, "{} on {threads} threads", precision.name());
        }
    }
}

/// The comparison above would see a difference: another number of lanes sums in another order.
#[test]
fn another_number_of_lanes_gives_other_bits() {
    let two = Tiny { n_lanes: 2, ..Tiny::default() };
    let three = Tiny { n_lanes: 3, ..two.clone() };
    assert_ne!(train(&two, 1, 5).params, train(&three, 1, 5).params);
}

#[test]
fn a_repeating_text_is_learnt_in_both_precisions() {
    for precision in [Precision::F32, Precision::Bf16] {
        let tiny = Tiny { precision, lr: 1e-2, ..Tiny::default() };
        let losses = train(&tiny, 2, 60).losses;
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        // Fresh weights know nothing: the loss starts at ln V. The text is one cycle of V tokens
        // in which each token has one successor, so it can fall towards 0.
        assert!((first - (tiny.vocab_size as f64).ln()).abs() < 0.1, "first loss {first}");
        assert!(last < 0.5 * first, "{}: {first} -> {last}", precision.name());
    }
}

/// Work shared by equal tokens is the same work: only the order of some sums differs.
#[test]
fn a_row_per_different_token_learns_the_same() {
    let each = Tiny { unique_tokens: false, qk_norm: true, ..Tiny::default() };
    let shared = Tiny { unique_tokens: true, ..each.clone() };
    let (each, shared) = (train(&each, 1, 20), train(&shared, 1, 20));
    assert_ne!(each.params, shared.params, "the switch changed nothing");
    // Rounding of the sums, 2^-24 of a term, amplified by AdamW's division for twenty steps.
    for (step, (a, b)) in each.losses.iter().zip(&shared.losses).enumerate() {
        assert!((a - b).abs() < 1e-4 * a, "step {step}: {a} and {b}");
    }
}
