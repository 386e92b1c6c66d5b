//! Training gives the same bits on any number of threads, and learns what there is to learn.

mod support;

use engine::model::Layout;
use engine::train::{IdleRows, Lanes, training_step};
use kernels::Precision;
use support::{Cycle, Tiny, Trained, train};

/// Steps of the comparison; nightly runs set `CRYSTALLINE_THREAD_STEPS=500`.
fn n_steps() -> u64 {
    std::env::var("CRYSTALLINE_THREAD_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(50)
}

/// Where two runs first part: the step whose loss differs, or else the tensor.
fn first_difference(layout: &Layout, a: &Trained, b: &Trained) -> Option<String> {
    let losses = a.losses.iter().zip(&b.losses).enumerate();
    if let Some((step, _)) = losses.into_iter().find(|(_, (a, b))| a.to_bits() != b.to_bits()) {
        return Some(format!("the loss of step {step}"));
    }
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let differs = |span: engine::model::Span| bits(span.of(&a.params)) != bits(span.of(&b.params));
    layout.tensors.iter().find(|t| differs(t.span)).map(|t| t.name.clone())
}

#[test]
fn one_two_three_and_four_threads_give_the_same_bits() {
    use IdleRows::{Dense, Lazy};
    let kinds = [
        (0, true, false, Dense),
        (5, true, false, Dense),
        (5, true, false, Lazy),
        (5, false, true, Lazy),
        (0, true, true, Dense),
    ];
    for (precision, (n_classes, tie_embeddings, composes, idle_rows)) in
        [Precision::F32, Precision::Bf16].into_iter().flat_map(|p| kinds.map(|kind| (p, kind)))
    {
        let usual = Tiny { dropout: 0.1, qk_norm: true, n_lanes: 3, composes, ..Tiny::default() };
        let tiny = Tiny { precision, n_classes, tie_embeddings, idle_rows, ..usual };
        let layout = tiny.state().layout;
        let one = train(&tiny, 1, n_steps());
        for threads in 2..=4 {
            let many = train(&tiny, threads, n_steps());
            let found = first_difference(&layout, &one, &many);
            assert_eq!(found, None, "{tiny:?} on {threads} threads");
        }
    }
}

/// The comparison above would see a difference: another number of lanes sums in another order, and
/// one last bit of one parameter is found and named.
#[test]
fn differences_are_seen_and_named() {
    let two = Tiny { n_lanes: 2, ..Tiny::default() };
    let three = Tiny { n_lanes: 3, ..two.clone() };
    let layout = two.state().layout;
    let (two, three) = (train(&two, 1, 5), train(&three, 1, 5));
    assert!(first_difference(&layout, &two, &three).is_some());
    let tensor = &layout.tensors[layout.tensors.len() / 2];
    let mut planted = Trained { losses: two.losses.clone(), params: two.params.clone() };
    let x = &mut planted.params[tensor.span.end - 1];
    *x = f32::from_bits(x.to_bits() ^ 1);
    assert_eq!(first_difference(&layout, &two, &planted), Some(tensor.name.clone()));
}

/// Steps on one number of threads, then on another: what a resumed run does.
#[test]
fn the_number_of_threads_may_change_on_the_way() {
    let tiny = Tiny { n_lanes: 3, ..Tiny::default() };
    let mut state = tiny.state();
    let (mut losses, source) = (Vec::new(), Cycle(tiny.vocab_size));
    for (threads, steps) in [(1, 0..4), (3, 4..5), (2, 5..9), (4, 9..12)] {
        let mut lanes = tiny.lanes(&state.layout, threads);
        state.pack(lanes.pool());
        for step in steps {
            let report = training_step(&mut state, &mut lanes, &source, &tiny.plan(step));
            losses.push(report.expect("nothing is wrong with this batch").loss_nats);
        }
    }
    let found = Trained { losses, params: state.params.to_vec() };
    assert_eq!(first_difference(&state.layout, &train(&tiny, 2, 12), &found), None);
}

/// Held-out loss has the same bits on any number of lanes and threads, however sequences are put
/// together.
#[test]
fn evaluation_does_not_depend_on_lanes_threads_or_micro_batches() {
    for (precision, n_classes) in [Precision::F32, Precision::Bf16].into_iter().zip([0, 5]) {
        let tiny = Tiny { precision, n_classes, composes: n_classes > 0, ..Tiny::default() };
        let (mut state, source) = (tiny.state(), Cycle(tiny.vocab_size));
        state.pack(tiny.lanes(&state.layout, 1).pool());
        let evaluate = |n_seqs: usize, threads: usize, n: usize| {
            let shape = Tiny { micro_seqs: n_seqs, ..tiny.clone() }.micro();
            let mut lanes = Lanes::for_evaluation(&state.layout, &shape, threads);
            lanes.evaluate(state.model(), &source, n)
        };
        let expected = evaluate(1, 1, 11);
        for (n_seqs, threads) in [(1, 2), (2, 1), (2, 3), (3, 2), (4, 4), (16, 16)] {
            let found = evaluate(n_seqs, threads, 11);
            assert_eq!(found, expected, "{n_seqs} at a time on {threads} threads");
        }
        assert_eq!(expected.n_tok, 11 * tiny.seq_len);
        assert_ne!(evaluate(1, 1, 10).nats, expected.nats);
    }
}

#[test]
fn a_repeating_text_is_learnt_in_both_precisions() {
    let precisions = [Precision::F32, Precision::Bf16];
    for (precision, n_classes) in precisions.into_iter().flat_map(|p| [(p, 0), (p, 5)]) {
        let tiny = Tiny { precision, n_classes, lr: 1e-2, ..Tiny::default() };
        let losses = train(&tiny, 2, 60).losses;
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        // Fresh weights know nothing: the loss starts at ln V (and nearly so with classes, which
        // are not all of one size). The text is one cycle of V tokens
        // in which each token has one successor, so it can fall towards 0.
        assert!((first - (tiny.vocab_size as f64).ln()).abs() < 0.1, "first loss {first}");
        assert!(last < 0.5 * first, "{}: {first} -> {last}", precision.name());
    }
}

/// Work shared by equal tokens is the same work: only the order of some sums differs.
#[test]
fn a_row_per_different_token_learns_the_same() {
    let each = Tiny { unique_tokens: false, qk_norm: true, composes: true, ..Tiny::default() };
    let shared = Tiny { unique_tokens: true, ..each.clone() };
    let (each, shared) = (train(&each, 1, 20), train(&shared, 1, 20));
    assert_ne!(each.params, shared.params, "the switch changed nothing");
    // Rounding of the sums, 2^-24 of a term, amplified by AdamW's division for twenty steps.
    for (step, (a, b)) in each.losses.iter().zip(&shared.losses).enumerate() {
        assert!((a - b).abs() < 1e-4 * a, "step {step}: {a} and {b}");
    }
}
