//! Decoding against the cache is the model: the same logits as the training forward pass.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use engine::generate::{InferenceModel, Session};
use engine::head::full;
use engine::model::{LaneBuffers, MicroShape, forward, init_params};
use kernels::{AlignedVec, Pool, Precision};
use support::Tiny;

/// Logits (T, V) of `tokens` by the training pass: the loss of every possible target, negated, is
/// the logit less the log-sum-exp, which is the distribution itself.
fn log_probs(tiny: &Tiny, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut state = tiny.state();
    state.pack(&mut Pool::new(1));
    let shape = MicroShape {
        config: tiny.config(),
        n_seqs: 1,
        seq_len: tokens.len(),
        precision: tiny.precision,
        head_rows: 4,
        unique_tokens: tiny.unique_tokens,
    };
    let mut lane = LaneBuffers::new(&state.layout, shape, false);
    let mut out = vec![vec![0.0; tiny.vocab_size]; tokens.len()];
    forward(state.model(), tokens, None, &mut lane);
    for target in 0..tiny.vocab_size as u32 {
        full::loss(state.model(), &vec![target; tokens.len()], &mut lane);
        let (head, _, _) = lane.head(tokens.len());
        head.loss.iter().zip(&mut out).for_each(|(l, row)| row[target as usize] = -l);
    }
    out
}

fn normalise(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().cloned().fold(f32::NEG_INFINITY, f32::max);
    let lse = max + logits.iter().map(|l| (l - max).exp()).sum::<f32>().ln();
    logits.iter().map(|l| l - lse).collect()
}

/// Largest difference of log-probabilities between the passes, over prefixes fed in `chunks`.
fn largest_difference(tiny: &Tiny, chunks: &[usize], threads: usize) -> f32 {
    let tokens: Vec<u32> =
        (0..tiny.seq_len as u32).map(|t| t * 5 % tiny.vocab_size as u32).collect();
    let expected = log_probs(tiny, &tokens);
    let state = tiny.state();
    let mut params = AlignedVec::zeroed(state.layout.len);
    params.copy_from_slice(&init_params(&state.layout, 1));
    let mut pool = Pool::new(1);
    let model = InferenceModel::new(state.layout, params, tiny.precision, &mut pool);
    let mut session = Session::new(model.layout(), tiny.precision, tiny.seq_len, threads);
    let mut pool = Pool::new(threads);
    let (mut at, mut worst) = (0, 0f32);
    for len in chunks {
        let logits = session.feed(model.model(), &mut pool, &tokens[at..at + len]).unwrap();
        at += len;
        for (a, b) in normalise(logits).iter().zip(&expected[at - 1]) {
            worst = worst.max((a - b).abs());
        }
    }
    worst
}

#[test]
fn any_mixture_of_prefill_and_decoding_gives_the_models_logits() {
    for (precision, qk_norm) in
        [(Precision::F32, false), (Precision::F32, true), (Precision::Bf16, false)]
    {
        let tiny = Tiny { precision, qk_norm, ..Tiny::default() };
        for chunks in [vec![1; 12], vec![12], vec![5, 1, 1, 3, 2], vec![11, 1]] {
            for threads in [1, 2] {
                let worst = largest_difference(&tiny, &chunks, threads);
                // Logits are below 1 and pass 2 layers of sums over at most 96 products each; in
                // bf16 both sides round the same operands, but an operand that f32 rounding moved
                // across a boundary differs by 2^-8 of itself, and logits here are about 0.1.
                let bound = match precision {
                    Precision::F32 => 2.0 * 96.0 * f32::EPSILON,
                    Precision::Bf16 => 0.1 * 2f32.powi(-6),
                };
                assert!(worst <= bound, "{chunks:?} {precision:?} {threads}: {worst} > {bound}");
            }
        }
    }
}

#[test]
fn a_full_context_is_refused_and_changes_nothing() {
    let tiny = Tiny::default();
    let state = tiny.state();
    let params = init_params(&state.layout, 1);
    let mut pool = Pool::new(1);
    let model = InferenceModel::new(state.layout, params, Precision::F32, &mut pool);
    let mut session = Session::new(model.layout(), Precision::F32, 4, 1);
    session.feed(model.model(), &mut pool, &[1, 2, 3]).unwrap();
    let error = session.feed(model.model(), &mut pool, &[1, 2]).unwrap_err();
    assert_eq!((error.needed, error.max_len, session.len()), (5, 4, 3));
    session.rewind(1);
    session.feed(model.model(), &mut pool, &[2, 3, 4]).unwrap();
}
