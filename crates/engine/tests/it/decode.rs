//! Decoding against the cache: the same logits as the training forward pass.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use crate::support::{Tiny, heads};
use engine::generate::Session;
use engine::head::LossSpec;
use engine::model::{InputLayer, Lane, MicroShape, OwnedModel, forward};
use kernels::{Pool, Precision};

/// (T, V) log-probabilities after each of `tokens` by the training pass: the negated loss of every
/// possible target.
fn by_training_pass(tiny: &Tiny, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut pool = Pool::new(1);
    let layout = tiny.layout();
    let mut inputs = tiny.inputs(&layout);
    inputs.add_words(tokens);
    let usual = MicroShape::new(&tiny.config(), tokens.len(), 1, tiny.precision);
    let (distinct_inputs, n_inputs) = (tiny.distinct_inputs, inputs.n_inputs());
    let shape = &MicroShape { distinct_inputs, n_inputs, ..usual };
    let params = tiny.params(&layout);
    let owned = OwnedModel::new(layout, params, inputs, tiny.precision, &mut pool);
    let model = owned.model();
    let mut lane = Lane::new(model.layout, shape.clone(), false);
    let mut head =
        model.layout.head.loss(&LossSpec { shape, n_lanes: 1, threads: 1, training: None });
    let mut out = vec![vec![0.0; tiny.vocab_size]; tokens.len()];
    lane.begin_micro_batch(1).0.copy_from_slice(tokens);
    forward(model, None, &mut lane);
    for target in 0..tiny.vocab_size as u32 {
        lane.begin_micro_batch(1).1.fill(target);
        head.loss(model.weights(), std::slice::from_mut(&mut lane), &|_, _| {}, &mut pool);
        head.losses(0).iter().zip(&mut out).for_each(|(l, row)| row[target as usize] = -l);
    }
    out
}

/// (position, log-probabilities) after each chunk, by a session fed `chunks` tokens at a time.
fn by_session(
    tiny: &Tiny,
    tokens: &[u32],
    chunks: &[usize],
    threads: usize,
) -> Vec<(usize, Vec<f32>)> {
    let layout = tiny.layout();
    let params = tiny.params(&layout);
    let mut pool = Pool::new(threads);
    let inputs = InputLayer::new(&layout, tiny.fresh_composer(), tiny.ngrams());
    let model = OwnedModel::new(layout, params, inputs, tiny.precision, &mut pool);
    let mut session = Session::new(model.layout(), tiny.precision, tiny.seq_len, threads);
    let mut at = 0;
    let feed = chunks.iter().map(|len| {
        let logits = session.feed(model.model(), &mut pool, &tokens[at..at + len]).unwrap();
        at += len;
        (at - 1, normalise(logits))
    });
    feed.collect()
}

fn normalise(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().cloned().fold(f32::NEG_INFINITY, f32::max);
    let lse = max + logits.iter().map(|l| (l - max).exp()).sum::<f32>().ln();
    logits.iter().map(|l| l - lse).collect()
}

fn text(tiny: &Tiny) -> Vec<u32> {
    (0..tiny.seq_len as u32).map(|t| t * 5 % tiny.vocab_size as u32).collect()
}

/// Largest difference of a log-probability between the passes.
fn largest_difference(found: &[(usize, Vec<f32>)], expected: &[Vec<f32>]) -> f32 {
    let rows = found.iter().map(|(at, row)| row.iter().zip(&expected[*at]));
    rows.flatten().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Largest difference of a log-probability from the training pass.
///
/// In f32: logits are below 1 and result from at most eight consecutive sums of at most `longest`
/// products. Each sum has a random error of half a rounding of 2^-24 times the root of its length;
/// the log-sum-exp is about ln V < 4 and rounds a few times. In bf16 both passes round the same
/// operands to a spacing of 2^-8, but keys, values and attention weights at different places, and
/// an operand that f32 rounding moves across a boundary differs by one spacing: a random error of
/// half a spacing (2^-9) in each of eight products that contribute to logits of about 0.3.
fn bound(precision: Precision, longest: usize) -> f32 {
    let f32_noise = 8.0 * (longest as f32).sqrt() * 2f32.powi(-24) + 4.0 * 4.0 * 2f32.powi(-24);
    match precision {
        Precision::F32 => f32_noise,
        Precision::Bf16 => 0.3 * 8f32.sqrt() * 2f32.powi(-9) + f32_noise,
    }
}

fn variants() -> impl Iterator<Item = Tiny> {
    [Precision::F32, Precision::Bf16].into_iter().flat_map(|precision| {
        let [full, _, adaptive] = heads(37);
        let kinds = [
            (false, true, false, full.clone()),
            (true, true, false, full.clone()),
            (true, false, true, full),
            (false, false, false, adaptive.clone()),
            (false, false, true, adaptive),
        ];
        kinds.map(|(qk_norm, tie_embeddings, composes, head)| Tiny {
            precision,
            qk_norm,
            tie_embeddings,
            composes,
            head,
            has_ngrams: qk_norm || composes,
            ..Tiny::default()
        })
    })
}

#[test]
fn any_mixture_of_prefill_and_decoding_gives_the_training_logits() {
    for tiny in variants() {
        let (tokens, bound) = (text(&tiny), bound(tiny.precision, 96));
        let expected = by_training_pass(&tiny, &tokens);
        for chunks in [vec![1; 12], vec![12], vec![5, 1, 1, 3, 2], vec![11, 1]] {
            for threads in [1, 2] {
                let found = by_session(&tiny, &tokens, &chunks, threads);
                let worst = largest_difference(&found, &expected);
                assert!(worst <= bound, "{chunks:?}, {threads}, {tiny:?}: {worst} > {bound}");
            }
        }
    }
}

/// A prompt longer than one pass of prefill, followed by single tokens.
#[test]
fn a_long_prompt_is_split() {
    for precision in [Precision::F32, Precision::Bf16] {
        let tiny = Tiny { precision, seq_len: 600, vocab_size: 13, ..Tiny::default() };
        let (tokens, bound) = (text(&tiny), bound(precision, 600));
        let expected = by_training_pass(&tiny, &tokens);
        let found = by_session(&tiny, &tokens, &[511, 1, 1, 80, 1, 1, 5], 2);
        let worst = largest_difference(&found, &expected);
        assert!(worst <= bound, "{precision:?}: {worst} > {bound}");
        let at_once = by_session(&tiny, &tokens, &[600], 1);
        let worst = largest_difference(&at_once, &expected);
        assert!(worst <= bound, "{precision:?} at once: {worst} > {bound}");
    }
}

/// The comparison detects a wrong cache: a missing token, or a different one.
#[test]
fn a_planted_error_in_the_cache_is_detected() {
    for tiny in variants() {
        let tokens = text(&tiny);
        let expected = by_training_pass(&tiny, &tokens);
        let shifted = by_session(&tiny, &tokens[1..], &[11], 1);
        let shifted: Vec<_> = shifted.into_iter().map(|(at, row)| (at + 1, row)).collect();
        let mut other = tokens.clone();
        other[2] += 1;
        let other = by_session(&tiny, &other, &[6, 1, 1, 4], 1);
        for wrong in [shifted, other] {
            let (worst, bound) = (largest_difference(&wrong, &expected), bound(tiny.precision, 96));
            assert!(worst > bound, "{tiny:?}: {worst} is within {bound}");
        }
    }
}

/// The split of products and heads among threads changes no bits.
#[test]
fn threads_do_not_change_a_bit_of_the_logits() {
    for tiny in variants() {
        let tokens = text(&tiny);
        let chunks = [5, 1, 1, 3, 2];
        let one = by_session(&tiny, &tokens, &chunks, 1);
        for threads in 2..=4 {
            assert!(one == by_session(&tiny, &tokens, &chunks, threads), "{threads}: {tiny:?}");
        }
    }
}

#[test]
fn a_full_context_is_refused_and_changes_nothing() {
    let tiny = Tiny::default();
    let layout = tiny.layout();
    let (params, inputs) = (tiny.params(&layout), tiny.inputs(&layout));
    let mut pool = Pool::new(1);
    let model = OwnedModel::new(layout, params, inputs, Precision::F32, &mut pool);
    let mut session = Session::new(model.layout(), Precision::F32, 4, 1);
    session.feed(model.model(), &mut pool, &[1, 2, 3]).unwrap();
    let error = session.feed(model.model(), &mut pool, &[1, 2]).unwrap_err();
    assert_eq!((error.needed, error.max_len, session.len()), (5, 4, 3));
    session.rewind(1);
    session.feed(model.model(), &mut pool, &[2, 3, 4]).unwrap();
}
