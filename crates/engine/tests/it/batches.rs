//! Batches of several texts: each sequence gets the same bits as alone.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::generate::{NewTokens, Sequence, Workspace};
use engine::head::HeadConfig;
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel};
use kernels::rng::{Purpose, Rng};
use kernels::{AlignedVec, Pool, Precision};
use text::vocab::ngrams::{Ngrams, ngram_tables};

const VOCAB: usize = 37;
const CONTEXT: usize = 48;

/// For each step, the sequences with their numbers of new tokens: prompts of different lengths,
/// single tokens, both mixed, in any order.
const STEPS: [&[(usize, usize)]; 6] = [
    &[(0, 5), (1, 1), (2, 17)],
    &[(0, 1), (1, 1), (2, 1), (3, 1)],
    &[(3, 1), (0, 1)],
    &[(4, 11), (2, 1), (1, 20), (0, 2)],
    &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)],
    &[(2, 3)],
];

const N_SEQUENCES: usize = 5;

/// A model of two blocks with grouped queries and the given output layer.
fn model(head: HeadConfig, precision: Precision, is_full: bool) -> OwnedModel {
    let mut config = ModelConfig { seq_len: CONTEXT, ..ModelConfig::new(VOCAB, 24, 2, 4) };
    config.n_kv_heads = 2;
    config.qk_norm = is_full;
    config.tie_embeddings = is_full;
    config.head = head;
    let text: Vec<u32> = (0..200).map(|i| i * 5 % 11).collect();
    // N-grams depend on the preceding tokens of the same sequence.
    let ngrams = is_full.then(|| Ngrams::learn(&ngram_tables(24), &text, 2));
    if is_full {
        config.ngrams = ngram_tables(24);
    }
    let layout = Layout::new(&config).unwrap();
    let mut params = AlignedVec::zeroed(layout.len);
    for (i, tensor) in layout.tensors.iter().enumerate() {
        let values = tensor.span.of_mut(&mut params);
        Rng::new(3, Purpose::Test, i as u64).fill_normal(values, 0, 0.3);
        if tensor.name.contains("norm") {
            values.fill(1.0);
        }
    }
    let inputs = InputLayer::new(&layout, None, ngrams);
    OwnedModel::new(layout, params, inputs, precision, &mut Pool::new(1))
}

fn models() -> impl Iterator<Item = (OwnedModel, Precision)> {
    [Precision::F32, Precision::Bf16].into_iter().flat_map(|precision| {
        let factor = HeadConfig::Factor { class_starts: vec![0, 1, 9, 20, 37] };
        let adaptive = HeadConfig::Adaptive { cutoffs: vec![8, 20] };
        [(HeadConfig::Full, true), (factor, true), (adaptive, false)]
            .map(|(head, is_full)| (model(head, precision, is_full), precision))
    })
}

/// The token of sequence `i` at position `at`; sequences differ.
fn token(i: usize, at: usize) -> u32 {
    ((i * 7 + at * 5 + at * at % 3) % 11 + i) as u32 % VOCAB as u32
}

/// Logits by step, then by sequence of the step.
type Logits = Vec<Vec<Vec<f32>>>;

/// Runs the steps with `n_rows` rows per pass; if `is_alone`, one sequence at a time.
fn run(model: &OwnedModel, pool: &mut Pool, n_rows: usize, is_alone: bool) -> Logits {
    let (layout, precision) = (model.layout(), model.model().packed.precision());
    let mut sequences: Vec<Sequence> =
        (0..N_SEQUENCES).map(|_| Sequence::new(layout, precision, CONTEXT)).collect();
    let mut workspace = Workspace::new(layout, precision, n_rows, pool.threads());
    let mut step = |parts: &[(usize, usize)]| -> Vec<Vec<f32>> {
        let tokens: Vec<Vec<u32>> = parts
            .iter()
            .map(|&(i, n)| (0..n).map(|t| token(i, sequences[i].len() + t)).collect())
            .collect();
        let mut all: Vec<Option<&mut Sequence>> = sequences.iter_mut().map(Some).collect();
        let sequences = parts.iter().map(|(i, _)| all[*i].take().unwrap());
        let mut batch: Vec<NewTokens> = sequences
            .zip(&tokens)
            .map(|(sequence, tokens)| NewTokens { sequence, tokens })
            .collect();
        let mut following = workspace.step(model.model(), pool, &mut batch).unwrap();
        (0..parts.len()).map(|i| following.distribution(i).into_logits().to_vec()).collect()
    };
    let one_step = |parts: &&[(usize, usize)]| {
        if is_alone { parts.iter().flat_map(|part| step(&[*part])).collect() } else { step(parts) }
    };
    STEPS.iter().map(one_step).collect()
}

#[test]
fn batching_changes_no_bit_of_a_sequence() {
    for (model, precision) in models() {
        let expected = run(&model, &mut Pool::new(1), CONTEXT, true);
        assert!(expected.iter().flatten().flatten().all(|x| x.is_finite()));
        for threads in 1..=3 {
            let mut pool = Pool::new(threads);
            // Passes of 7 and 2 rows split prompts, at the ends of sequences and within them.
            for n_rows in [CONTEXT * N_SEQUENCES, 7, 2] {
                let found = run(&model, &mut pool, n_rows, false);
                let what = format!("{precision:?}, {threads} threads, {n_rows} rows");
                assert!(found == expected, "{what}: {:?}", model.layout().config.head);
            }
        }
    }
}

/// Planted error: two sequences with exchanged caches.
#[test]
fn exchanged_caches_are_detected() {
    for (model, precision) in models() {
        let mut pool = Pool::new(2);
        let mut workspace = Workspace::new(model.layout(), precision, CONTEXT, 2);
        let [mut a, mut b] = [(), ()].map(|()| Sequence::new(model.layout(), precision, CONTEXT));
        let prompts: [Vec<u32>; 2] = [0, 1].map(|i| (0..9).map(|at| token(i, at)).collect());
        let mut decode = |is_swapped: bool| {
            let mut batch = [(&mut a, &prompts[0]), (&mut b, &prompts[1])]
                .map(|(sequence, tokens)| NewTokens { sequence, tokens });
            batch.iter_mut().for_each(|new| new.sequence.rewind(0));
            workspace.step(model.model(), &mut pool, &mut batch).unwrap();
            if is_swapped {
                std::mem::swap(&mut a, &mut b);
            }
            let mut batch = [&mut a, &mut b].map(|sequence| NewTokens { sequence, tokens: &[4] });
            let mut following = workspace.step(model.model(), &mut pool, &mut batch).unwrap();
            [0, 1].map(|i| following.distribution(i).into_logits().to_vec())
        };
        let (right, again, wrong) = (decode(false), decode(false), decode(true));
        assert!(right == again);
        assert!((0..2).all(|i| right[i] != wrong[i]));
    }
}

#[test]
fn a_full_sequence_is_refused_and_changes_none() {
    let (model, precision) = models().next().unwrap();
    let mut pool = Pool::new(1);
    let mut workspace = Workspace::new(model.layout(), precision, CONTEXT, 1);
    let mut long = Sequence::new(model.layout(), precision, CONTEXT);
    let mut short = Sequence::new(model.layout(), precision, 4);
    let mut step = |n: usize| {
        let tokens = vec![1; n];
        let mut batch =
            [&mut long, &mut short].map(|sequence| NewTokens { sequence, tokens: &tokens });
        let error = workspace.step(model.model(), &mut pool, &mut batch).err();
        (error.map(|error| (error.needed, error.max_len)), long.len(), short.len())
    };
    assert_eq!(step(3), (None, 3, 3));
    assert_eq!(step(2), (Some((5, 4)), 3, 3));
    assert_eq!(step(1), (None, 4, 4));
}
