//! Allocations: none in training after its first step, and none in generating a token.
//!
//! The allocator counts for the whole process, so everything that is counted runs in one test: the
//! harness itself allocates between tests.
#![allow(unsafe_code, clippy::unwrap_used)] // an allocator needs `unsafe`; a panic is how a test fails

mod support;

use engine::generate::{NewTokens, Sampler, Sampling, Sequence, Session, Workspace};
use engine::head::LossSpec;
use engine::model::{Lane, OwnedModel};
use engine::train::{RowUpdates, SequenceSource};
use kernels::{Pool, Precision};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Cycle, Tiny, trained_heads};

/// The system's allocator, with counters.
struct Counting;

static N_ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static N_FREED: AtomicUsize = AtomicUsize::new(0);
static BYTES_ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; counting does not affect it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATED.fetch_add(1, Ordering::SeqCst);
        BYTES_ALLOCATED.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller guarantees what `System.alloc` requires of `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        N_FREED.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `start` came from `System.alloc` above, with this layout.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers of allocations and deallocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    n_allocated: usize,
    n_freed: usize,
}

const NONE: Count = Count { n_allocated: 0, n_freed: 0 };

fn count(run: impl FnOnce()) -> Count {
    let now = || [&N_ALLOCATED, &N_FREED].map(|n| n.load(Ordering::SeqCst));
    let before = now();
    run();
    let after = now();
    Count { n_allocated: after[0] - before[0], n_freed: after[1] - before[1] }
}

/// Number of counted steps, after an uncounted first one.
const N_STEPS: u64 = 6;

/// Allocations of all steps after the first. Two lanes have two micro-batches each; one lane has
/// four.
fn count_steps(tiny: &Tiny, threads: usize, source: &dyn SequenceSource) -> Count {
    let mut trainer = tiny.trainer(threads);
    trainer.step(source, &tiny.plan(0)).unwrap();
    count(|| {
        for step in 1..=N_STEPS {
            trainer.step(source, &tiny.plan(step)).unwrap();
        }
    })
}

fn model(tiny: &Tiny, pool: &mut Pool) -> OwnedModel {
    let layout = tiny.layout();
    let (params, inputs) = (tiny.params(&layout), tiny.inputs(&layout));
    OwnedModel::new(layout, params, inputs, tiny.precision, pool)
}

/// What happens while tokens are chosen and taken in, one by one, after a prompt and a first.
fn count_tokens(tiny: &Tiny, threads: usize, sampling: Sampling) -> Count {
    let mut pool = Pool::new(threads);
    let model = model(tiny, &mut pool);
    let mut session = Session::new(model.layout(), tiny.precision, tiny.seq_len, threads);
    let mut write = || {
        let mut sampler = Sampler::new(sampling, tiny.vocab_size).unwrap();
        session.rewind(0);
        session.feed(model.model(), &mut pool, &[1, 2, 3]).unwrap();
        let mut token = 4;
        let mut next = || {
            let mut following = session.feed_next(model.model(), &mut pool, &[token]).unwrap();
            sampler.note(token);
            token = sampler.choose(&mut following, 0);
        };
        next();
        count(|| (5..tiny.seq_len).for_each(|_| next()))
    };
    // A word that is new to the session is segmented once.
    if tiny.composes {
        write();
    }
    write()
}

/// What happens while tokens are chosen for three texts at once, after prompts of different
/// lengths and a first token.
fn count_batch(tiny: &Tiny, threads: usize, sampling: Sampling) -> Count {
    let mut pool = Pool::new(threads);
    let model = model(tiny, &mut pool);
    let (layout, precision) = (model.layout(), tiny.precision);
    let mut sequences = [(); 3].map(|()| Sequence::new(layout, precision, tiny.seq_len));
    let mut workspace = Workspace::new(layout, precision, 3 * tiny.seq_len, threads);
    let mut write = || {
        let mut samplers = [(); 3].map(|()| Sampler::new(sampling, tiny.vocab_size).unwrap());
        sequences.iter_mut().for_each(|sequence| sequence.rewind(0));
        let mut step = |[a, b, c]: [&[u32]; 3]| {
            let [x, y, z] = sequences.each_mut();
            let mut batch =
                [(x, a), (y, b), (z, c)].map(|(sequence, tokens)| NewTokens { sequence, tokens });
            let mut following = workspace.step(model.model(), &mut pool, &mut batch).unwrap();
            [0, 1, 2].map(|i| {
                let token = samplers[i].choose(&mut following.distribution(i), 0);
                samplers[i].note(token);
                token
            })
        };
        let mut tokens = step([&[1, 2, 3], &[4], &[5, 6]]);
        let mut next = || tokens = step(tokens.each_ref().map(std::slice::from_ref));
        next();
        count(|| (5..tiny.seq_len).for_each(|_| next()))
    };
    if tiny.composes {
        write();
    }
    write()
}

/// Planted error: a source that allocates once per sequence.
struct Careless(Cycle);

impl SequenceSource for Careless {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        drop(black_box(vec![0u8; 100]));
        self.0.fill(step, index, tokens, targets);
    }
}

/// Both precisions, one and two lanes and threads, with and without each option.
fn variants() -> impl Iterator<Item = (Tiny, usize)> {
    (0..16).map(|i| {
        let is = |bit: usize| i >> bit & 1 == 1;
        let precision = if is(0) { Precision::Bf16 } else { Precision::F32 };
        let (n_lanes, threads) = (1 + usize::from(is(1)), 1 + usize::from(is(2)));
        let (qk_norm, distinct_inputs) = (is(3), is(3) != is(0));
        let usual = Tiny { dropout: 0.1, batch_seqs: 8, ..Tiny::default() };
        let (composes, has_ngrams) = (is(2) != is(0), is(3) != is(1));
        let row_updates = if is(2) { RowUpdates::Lazy } else { RowUpdates::Dense };
        let usual = trained_heads(&usual)[(i + i / 4) % 4].clone();
        let usual = Tiny { composes, has_ngrams, row_updates, ..usual };
        (Tiny { precision, n_lanes, qk_norm, distinct_inputs, ..usual }, threads)
    })
}

/// The counter counts planted allocations: on this thread, on a pool's threads, and in a step.
fn check_the_counter(tiny: &Tiny, threads: usize) {
    let once = Count { n_allocated: 1, n_freed: 1 };
    assert_eq!(count(|| drop(black_box(Box::new(1u64)))), once);
    let mut pool = Pool::new(threads);
    pool.run(10, |_| ()); // starting a thread allocates too
    let of_pool = count(|| pool.run(10, |i| drop(black_box(Box::new(i)))));
    assert_eq!(of_pool, Count { n_allocated: 10, n_freed: 10 });
    // If lanes share tables, a batch is first read to find the rows that it uses.
    let n_read = if tiny.layout().shares_tables() { 2 } else { 1 };
    let n = N_STEPS as usize * tiny.batch_seqs * n_read;
    let of_steps = count_steps(tiny, threads, &Careless(Cycle(tiny.vocab_size)));
    assert_eq!(of_steps, Count { n_allocated: n, n_freed: n });
}

/// The memory plan of a lane and its output layer is accurate to 1 %.
fn check_the_plan(tiny: &Tiny) {
    let tiny = Tiny { seq_len: 256, ..tiny.clone() };
    let (layout, shape, counts) = (tiny.layout(), tiny.micro(), vec![1; tiny.vocab_size]);
    let before = BYTES_ALLOCATED.load(Ordering::SeqCst);
    let training = Some((1, &counts[..]));
    let head = layout.head.loss(&LossSpec { shape: &shape, n_lanes: 1, threads: 1, training });
    let lane = Lane::new(&layout, shape, true);
    let taken = BYTES_ALLOCATED.load(Ordering::SeqCst) - before;
    let planned = lane.memory().into_iter().chain(head.memory());
    let planned: usize = planned.map(|(_, bytes)| bytes).sum();
    assert!(taken.abs_diff(planned) * 100 <= planned, "{planned} planned, {taken} taken");
}

#[test]
fn nothing_is_allocated_after_the_first_step_and_the_counter_counts() {
    for (tiny, threads) in variants() {
        let found = count_steps(&tiny, threads, &Cycle(tiny.vocab_size));
        assert_eq!(found, NONE, "{N_STEPS} steps on {threads} threads of {tiny:?}");
        for sampling in [
            Sampling { temperature: 0.0, ..Sampling::default() },
            Sampling { repetition_penalty: 1.2, min_p: 0.01, ..Sampling::default() },
        ] {
            let found = count_tokens(&tiny, threads, sampling);
            assert_eq!(found, NONE, "tokens on {threads} threads of {tiny:?} by {sampling:?}");
            let found = count_batch(&tiny, threads, sampling);
            assert_eq!(found, NONE, "batches on {threads} threads of {tiny:?} by {sampling:?}");
        }
        check_the_counter(&tiny, threads);
        check_the_plan(&tiny);
    }
}
