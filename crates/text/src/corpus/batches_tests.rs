//! Batch tests: each window once per epoch, in any order of queries, and every token reached.

use super::*;
use crate::corpus::permutation::{NotOnce, check_exactly_once};
use kernels::rng::{Purpose, Rng};
use proptest::prelude::{prop_assert, prop_assert_eq, prop_assume, proptest};

/// The windows of `epoch`, queried one by one.
fn epoch_windows(batches: &Batches, epoch: u64) -> Vec<u64> {
    let per_step = batches.batch_sequences() as u64;
    let n_windows = batches.n_windows() as u64;
    (epoch * n_windows..(epoch + 1) * n_windows)
        .map(|sequence| {
            let id = batches.window_id(sequence / per_step, (sequence % per_step) as usize);
            assert_eq!(id.0, epoch);
            id.1
        })
        .collect()
}

proptest! {
    #[test]
    fn each_window_comes_once_per_epoch_and_lies_inside(
        n_tokens in 2usize..5000,
        seq_len in 1usize..200,
        batch_sequences in 1usize..20,
        seed: u64,
    ) {
        prop_assume!(n_tokens > seq_len);
        let batches = Batches::new(n_tokens, seq_len, batch_sequences, seed).unwrap();
        for epoch in [0, 1, 5] {
            let order = epoch_windows(&batches, epoch);
            prop_assert_eq!(check_exactly_once(batches.n_windows(), order), Ok(()));
        }
        for step in [0, 1, 77] {
            for i in 0..batch_sequences {
                prop_assert!(batches.window(step, i) + seq_len < n_tokens);
            }
        }
    }

    #[test]
    fn evaluation_targets_every_token_but_the_first_once(
        n_tokens in 2usize..600,
        seq_len in 1usize..100,
    ) {
        let source: Vec<u32> = (0..n_tokens as u32).collect();
        let windows = EvalWindows::new(n_tokens, seq_len).unwrap();
        let (mut tokens, mut targets) = (vec![9; seq_len], vec![9; seq_len]);
        let mut next = 1;
        for w in 0..windows.n_windows() {
            let n = windows.fill(&source[..], w, &mut tokens, &mut targets);
            for t in 0..n {
                prop_assert_eq!((tokens[t], targets[t]), (next - 1, next));
                next += 1;
            }
            prop_assert!(targets[n..].iter().all(|t| *t == IGNORE));
        }
        prop_assert_eq!(next as usize, n_tokens);
    }
}

/// A run stopped at 100 random steps and resumed sees the same windows as one that never stopped.
#[test]
fn resumed_runs_neither_repeat_nor_miss_a_window() {
    let make = || Batches::new(10_007, 16, 7, 5).unwrap();
    let (mut log, mut step) = (Vec::new(), 0);
    let stops = Rng::new(1, Purpose::Test, 0);
    for stop in 0..100 {
        let batches = make(); // only the configuration and the step survive a stop
        for _ in 0..stops.below_at(stop, 12) {
            log.extend((0..7).map(|i| batches.window_id(step, i)));
            step += 1;
        }
    }
    let complete = make().epoch(step);
    assert!(complete >= 3);
    for epoch in 0..complete {
        let seen = log.iter().filter(|(e, _)| *e == epoch).map(|(_, w)| *w);
        assert_eq!(check_exactly_once(make().n_windows(), seen), Ok(()));
    }
    // The defect of a resume with a lost cursor: the step before the stop is repeated.
    let again = log.iter().chain(&log[..7]).filter(|(e, _)| *e == 0).map(|(_, w)| *w);
    let found = check_exactly_once(make().n_windows(), again);
    assert!(matches!(found, Err(NotOnce::Repeated(_))));
}

#[test]
fn targets_are_the_tokens_one_position_ahead() {
    let source: Vec<u32> = (0..1000).map(|t| t * 3).collect();
    let batches = Batches::new(source.len(), 32, 4, 11).unwrap();
    let (mut tokens, mut targets) = ([0; 32], [0; 32]);
    batches.fill(&source[..], 9, 2, &mut tokens, &mut targets);
    assert_eq!(tokens[0] as usize, batches.window(9, 2) * 3);
    assert_eq!(tokens[1..], targets[..31]);
    assert_eq!(targets[31], tokens[31] + 3);
}

#[test]
fn cuts_and_order_change_from_epoch_to_epoch() {
    let batches = Batches::new(100_000, 64, 1, 2).unwrap();
    let per_epoch = batches.n_windows() as u64;
    let start = |epoch: u64| batches.window(epoch * per_epoch, 0) % 64;
    assert!((1..20).any(|epoch| start(epoch) != start(0)));
    assert_ne!(epoch_windows(&batches, 0), epoch_windows(&batches, 1));
}

#[test]
fn the_order_never_changes() {
    let batches = Batches::new(1_000_003, 128, 32, 42).unwrap();
    let starts: Vec<usize> = [0, 1, 244, 245, 1 << 40].map(|s| batches.window(s, 31)).to_vec();
    assert_eq!(starts, [886_980, 577_220, 968_745, 512_169, 490_463]);
}

#[test]
fn a_text_that_is_too_short_is_an_error_and_the_shortest_works() {
    assert!(matches!(
        Batches::new(16, 16, 4, 0),
        Err(Error::TooFewTokens { found: 16, seq_len: 16 })
    ));
    let source: Vec<u32> = (0..17).collect();
    let batches = Batches::new(17, 16, 4, 0).unwrap();
    let (mut tokens, mut targets) = ([0; 16], [0; 16]);
    batches.fill(&source[..], 3, 1, &mut tokens, &mut targets);
    assert_eq!((batches.n_windows(), batches.epoch(3), targets[15]), (1, 12, 16));
    assert!(EvalWindows::new(1, 16).is_err());
}

#[test]
fn a_sample_of_windows_is_spread_evenly() {
    let windows = EvalWindows::new(1001, 10).unwrap();
    assert_eq!(windows.evenly_spaced(4).collect::<Vec<_>>(), [0, 25, 50, 75]);
    assert_eq!(windows.evenly_spaced(1000).len(), 100);
}
