//! Threads: training gives the same bits on any number of them, and learns a repeating text.

use crate::support::{Cycle, Saved, Tiny, Trained, heads, train, trained_heads};
use engine::head::HeadConfig;
use engine::model::{Layout, OwnedModel};
use engine::train::{Lanes, RowUpdates};
use kernels::{Pool, Precision};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Steps of the comparison; nightly runs set `CRYSTALLINE_THREAD_STEPS=500`.
fn n_steps() -> u64 {
    std::env::var("CRYSTALLINE_THREAD_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(50)
}

/// The first difference of two runs: the step whose loss differs, or else the tensor.
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
    for precision in PRECISIONS {
        let usual = Tiny { dropout: 0.1, qk_norm: true, n_lanes: 3, precision, ..Tiny::default() };
        let plain = trained_heads(&usual);
        let added = Tiny { composes: true, has_ngrams: true, ..usual };
        let [full, factor, adaptive, sampled] = trained_heads(&added);
        let untied = |tiny: Tiny| Tiny { tie_embeddings: false, ..tiny };
        let composed = [full, untied(factor), adaptive, untied(sampled)];
        // Rows may become stale in tables that lanes share: under all layers but the full one.
        let lazy = |tiny: &Tiny| Tiny { row_updates: RowUpdates::Lazy, ..tiny.clone() };
        let lazy: Vec<Tiny> = plain[1..].iter().chain(&composed[1..]).map(lazy).collect();
        for tiny in plain.into_iter().chain(composed).chain(lazy) {
            same_bits_on_any_number_of_threads(&tiny);
        }
    }
}

fn same_bits_on_any_number_of_threads(tiny: &Tiny) {
    let layout = tiny.layout();
    let one = train(tiny, 1, n_steps());
    for threads in 2..=4 {
        let many = train(tiny, threads, n_steps());
        let found = first_difference(&layout, &one, &many);
        assert_eq!(found, None, "{tiny:?} on {threads} threads");
    }
}

/// The comparison above detects differences: another number of lanes, which changes the order of
/// sums, and a flipped last bit of one parameter, which is named.
#[test]
fn differences_are_detected_and_named() {
    let two = Tiny { n_lanes: 2, ..Tiny::default() };
    let three = Tiny { n_lanes: 3, ..two.clone() };
    let layout = two.layout();
    let (two, three) = (train(&two, 1, 5), train(&three, 1, 5));
    assert!(first_difference(&layout, &two, &three).is_some());
    let tensor = &layout.tensors[layout.tensors.len() / 2];
    let mut planted = Trained { losses: two.losses.clone(), params: two.params.clone() };
    let x = &mut planted.params[tensor.span.end - 1];
    *x = f32::from_bits(x.to_bits() ^ 1);
    assert_eq!(first_difference(&layout, &two, &planted), Some(tensor.name.clone()));
}

/// Steps on one number of threads, then on another, as in a resumed run.
#[test]
fn the_number_of_threads_may_change_during_training() {
    let tiny = Tiny { n_lanes: 3, ..Tiny::default() };
    let (mut losses, source) = (Vec::new(), Cycle(tiny.vocab_size));
    let mut saved = Saved::of(&mut tiny.trainer(1));
    for (threads, steps) in [(1, 0..4), (3, 4..5), (2, 5..9), (4, 9..12)] {
        let mut trainer = tiny.trainer(threads);
        saved.restore(&mut trainer);
        for step in steps {
            let report = trainer.step(&source, &tiny.plan(step));
            losses.push(report.expect("the batch is valid").loss_nats);
        }
        saved = Saved::of(&mut trainer);
    }
    let found = Trained { losses, params: saved.params };
    assert_eq!(first_difference(&tiny.layout(), &train(&tiny, 2, 12), &found), None);
}

/// Held-out loss has the same bits on any number of lanes and threads, and for any grouping of
/// sequences.
#[test]
fn evaluation_does_not_depend_on_lanes_threads_or_micro_batches() {
    for (precision, head) in PRECISIONS.into_iter().cycle().zip(heads(37)) {
        let tiny = Tiny { precision, composes: !head.is_plain(), head, ..Tiny::default() };
        let (layout, source) = (tiny.layout(), Cycle(tiny.vocab_size));
        let (params, inputs) = (tiny.params(&layout), tiny.inputs(&layout));
        let model = OwnedModel::new(layout, params, inputs, precision, &mut Pool::new(1));
        let evaluate = |n_seqs: usize, threads: usize, n: usize| {
            let shape = Tiny { micro_seqs: n_seqs, ..tiny.clone() }.micro();
            let mut lanes = Lanes::for_evaluation(model.layout(), &shape, threads);
            lanes.evaluate(model.model(), &source, n)
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

/// Mean loss over all tokens of a model whose logits are all 0.
fn untrained_loss(head: &HeadConfig, vocab_size: usize) -> f64 {
    let first = (head.n_outputs(vocab_size) as f64).ln();
    let starts = match head {
        HeadConfig::Full => return first,
        HeadConfig::Factor { class_starts } => class_starts.clone(),
        HeadConfig::Adaptive { cutoffs } => [&cutoffs[..], &[vocab_size as u32]].concat(),
    };
    let sizes = starts.windows(2).map(|ids| (ids[1] - ids[0]) as f64);
    first + sizes.map(|n| n * n.ln()).sum::<f64>() / vocab_size as f64
}

#[test]
fn a_repeating_text_is_learnt_in_both_precisions() {
    for precision in PRECISIONS {
        for tiny in trained_heads(&Tiny { precision, lr: 1e-2, ..Tiny::default() }) {
            let losses = train(&tiny, 2, 60).losses;
            let (first, last) = (losses[0], losses[losses.len() - 1]);
            // With fresh weights the loss of each softmax is the logarithm of its number of
            // outputs. In the text each token has one successor, so the loss can fall towards 0.
            let expected = untrained_loss(&tiny.head, tiny.vocab_size);
            assert!((first - expected).abs() < 0.1, "first loss {first}, expected {expected}");
            assert!(last < 0.5 * first, "{tiny:?}: {first} -> {last}");
        }
    }
}

/// Training on sampled tokens lowers the loss over all tokens.
#[test]
fn training_on_a_sample_lowers_the_whole_loss() {
    let tiny = Tiny { lr: 1e-2, n_samples: Some(10), ..Tiny::default() };
    let (mut trainer, source) = (tiny.trainer(2), Cycle(tiny.vocab_size));
    let losses: Vec<f64> = (0..61)
        .map(|step| {
            let sum = trainer.evaluate(&source, 6);
            trainer.step(&source, &tiny.plan(step)).unwrap();
            sum.nats / sum.n_tok as f64
        })
        .collect();
    assert!((losses[0] - 37f64.ln()).abs() < 0.1, "{}", losses[0]);
    assert!(losses[60] < 0.5 * losses[0], "{} -> {}", losses[0], losses[60]);
}

/// Computing equal tokens once only changes the order of some sums.
#[test]
fn a_row_per_distinct_token_learns_the_same() {
    let each = Tiny { distinct_inputs: false, qk_norm: true, composes: true, ..Tiny::default() };
    let shared = Tiny { distinct_inputs: true, ..each.clone() };
    let (each, shared) = (train(&each, 1, 20), train(&shared, 1, 20));
    assert_ne!(each.params, shared.params, "the setting has no effect");
    // Rounding of the sums, 2^-24 of a term, amplified by AdamW's division for twenty steps.
    for (step, (a, b)) in each.losses.iter().zip(&shared.losses).enumerate() {
        assert!((a - b).abs() < 1e-4 * a, "step {step}: {a} and {b}");
    }
}
