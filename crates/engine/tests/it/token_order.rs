//! Token order: a model whose rows are permuted with the ids trains the same, up to the rounding of
//! sums. In a run, the order only changes which random initial row a token gets.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use crate::support::Tiny;
use engine::head::HeadConfig;
use engine::model::{Layout, ModelConfig, init_params};
use engine::train::{AdamW, AdamWOptions, SequenceSource};
use kernels::AlignedVec;
use kernels::rng::{Purpose, Rng};
use text::corpus::permutation::inverse;
use text::vocab::classes::Classes;
use text::vocab::order::{Mark, Marks, TokenOrder};

const N_CLASSES: usize = 5;
const N_STEPS: u64 = 10;

/// A vocabulary of many panels on every instruction path, and not a multiple of any panel.
const LARGE: usize = 4117;

/// The full layer, and one with classes.
fn heads(vocab_size: usize) -> [HeadConfig; 2] {
    [HeadConfig::Full, HeadConfig::equal_classes(vocab_size, N_CLASSES)]
}

/// A text in which low ids are frequent, under new ids.
struct Renamed(Vec<u32>);

impl SequenceSource for Renamed {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let rng = Rng::new(1, Purpose::Test, step * 100 + index as u64);
        let id = |place: usize| {
            let share = rng.f64_at(place as u64);
            self.0[(self.0.len() as f64 * share * share * share) as usize]
        };
        tokens.iter_mut().enumerate().for_each(|(t, token)| *token = id(t));
        targets.iter_mut().enumerate().for_each(|(t, target)| *target = id(t + 1));
    }
}

/// Old numbers of tokens and classes, by new number.
struct Moved {
    tokens: Vec<u32>,
    classes: Vec<u32>,
    head: HeadConfig,
}

/// Marks with pseudo-random counts and positions.
fn marks(vocab_size: usize) -> Marks {
    let mark = |i: u64| Mark {
        count: i * 7919 % 101,
        position: [(i * 31 % 37) as f64 - 18.0, (i * 17 % 37) as f64 - 18.0],
    };
    Marks { marks: (0..vocab_size as u64).map(mark).collect(), seed: 1 }
}

fn moved(config: &ModelConfig, order: TokenOrder) -> Moved {
    let (marks, head) = (marks(config.vocab_size), &config.head);
    let HeadConfig::Factor { class_starts } = head else {
        return Moved { tokens: marks.order(order), classes: Vec::new(), head: head.clone() };
    };
    let ids = (0..config.vocab_size as u32).collect();
    let before = Classes { order: ids, starts: class_starts.clone() };
    let after = marks.order_classes(order, &before);
    let old_class = |start: &u32| before.class_of(after.order[*start as usize]) as u32;
    Moved {
        classes: after.starts[..N_CLASSES].iter().map(old_class).collect(),
        tokens: after.order,
        head: HeadConfig::Factor { class_starts: after.starts },
    }
}

/// The parameters with the rows of tokens and classes permuted.
fn move_rows(layout: &Layout, params: &[f32], moved: &Moved) -> AlignedVec<f32> {
    let mut result = AlignedVec::zeroed(params.len());
    result.copy_from_slice(params);
    for tensor in &layout.tensors {
        let old_rows = match tensor.shape[0] {
            n if n == moved.tokens.len() => &moved.tokens,
            n if n == moved.classes.len() => &moved.classes,
            _ => continue,
        };
        let n_cols = tensor.span.len() / old_rows.len();
        let from = tensor.span.of(params);
        for (row, old) in tensor.span.of_mut(&mut result).chunks_exact_mut(n_cols).zip(old_rows) {
            row.copy_from_slice(&from[*old as usize * n_cols..][..n_cols]);
        }
    }
    result
}

fn losses(tiny: &Tiny, head: HeadConfig, params: AlignedVec<f32>, new_ids: Vec<u32>) -> Vec<f64> {
    let tiny = Tiny { head, ..tiny.clone() };
    let optimizer = AdamW::new(&tiny.layout(), AdamWOptions::default());
    let mut trainer = tiny.trainer_of(params, Box::new(optimizer), 1);
    let source = Renamed(new_ids);
    (0..N_STEPS).map(|step| trainer.step(&source, &tiny.plan(step)).unwrap().loss_nats).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Trains in the given order, and in other orders with and without permuting the rows.
fn compare(tiny: &Tiny, orders: &[TokenOrder]) {
    let config = tiny.config();
    let layout = Layout::new(&config).unwrap();
    let params = || init_params(&layout, 1);
    let ids = (0..config.vocab_size as u32).collect();
    let expected = losses(tiny, config.head.clone(), params(), ids);
    for &order in orders {
        let moved = moved(&config, order);
        assert!(!moved.tokens.is_sorted(), "{order} moves tokens");
        let (rows, new_ids) = (move_rows(&layout, &params(), &moved), inverse(&moved.tokens));
        let found = losses(tiny, moved.head.clone(), rows, new_ids.clone());
        // Sums of a loss have some hundred terms; training amplifies their rounding somewhat.
        let bound = 1000.0 * f64::from(f32::EPSILON) * expected[0];
        let difference = largest_difference(&found, &expected);
        assert!(difference <= bound, "{order}, {tiny:?}: {difference} > {bound}");
        // If the rows are not permuted, tokens get other initial rows and the losses differ.
        let others = losses(tiny, moved.head, params(), new_ids);
        assert!(largest_difference(&others, &expected) > 10.0 * bound, "{order}");
    }
}

#[test]
fn a_model_in_another_order_is_the_same_model() {
    for head in heads(Tiny::default().vocab_size) {
        for tie_embeddings in [true, false] {
            let tiny = Tiny { head: head.clone(), tie_embeddings, ..Tiny::default() };
            compare(&tiny, &TokenOrder::ALL);
        }
    }
}

#[test]
fn a_large_model_in_another_order_is_the_same_model() {
    for head in heads(LARGE) {
        let tiny = Tiny { vocab_size: LARGE, head, ..Tiny::default() };
        compare(&tiny, &[TokenOrder::Random]);
    }
}
