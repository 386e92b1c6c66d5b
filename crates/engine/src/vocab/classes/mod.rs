//! Word classes for a factored output layer, found in the text to train on.
//!
//! Counts of neighbouring tokens (`bigrams`) say which words are used alike. Two methods make
//! classes of them, exchange clustering (`exchange`, on the counts of `class_bigrams`) and k-means
//! (`kmeans`, on the vectors of `vectors`), and two controls do not look at them (`controls`). All
//! respect a cap on the size of a class, and give the same classes on any number of threads.

mod bigrams;
mod class_bigrams;
mod controls;
mod error;
mod exchange;
mod kmeans;
mod limits;
mod method;
mod partition;
mod sparse;
mod vectors;
mod watch;
mod x_ln_x;

pub use bigrams::{Bigrams, count_tokens};
pub use class_bigrams::class_bigram_perplexity;
pub use error::ClassError;
pub use limits::default_n_classes;
pub use method::{ClassMethod, ClassOptions};
pub use partition::Classes;

use crate::data::{Purpose, Rng, TokenSource};
use class_bigrams::NO_CLASS;
use kernels::Pool;
use limits::Limits;
use std::cmp::Reverse;
use watch::Watch;

/// Streams of random numbers, by use.
const STREAM_LOTS: u64 = 0;
const STREAM_BASIS: u64 = 1;
const STREAM_CENTRES: u64 = 2;

/// Puts the vocabulary of `tokens` into classes.
///
/// `goes_on(done, of)` is called many times a second with the steps done and the steps in all; once
/// it returns false the work ends. Tokens about which the text says nothing, be it that they do not
/// occur or only beside each other, share further classes of like size.
///
/// # Errors
/// [`ClassError`]: a token outside the vocabulary, options that cannot be met, or cancelled.
pub fn build<T: TokenSource + ?Sized>(
    tokens: &T,
    vocab_size: usize,
    options: &ClassOptions,
    pool: &mut Pool,
    goes_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Classes, ClassError> {
    let counts = count_tokens(tokens, vocab_size)?;
    let by_count = by_falling_count(&counts);
    let words = &by_count[..by_count.partition_point(|id| counts[*id as usize] > 0)];
    let limits = Limits::new(words.len(), options.n_classes, options.size_cap)?;
    let mut class_of = match options.method {
        ClassMethod::Exchange => {
            let bigrams = Bigrams::count(tokens, vocab_size)?;
            exchange_classes(&bigrams, words, limits, pool, goes_on)?
        }
        ClassMethod::Kmeans => {
            let bigrams = Bigrams::count(tokens, vocab_size)?;
            let rng = |stream| Rng::new(options.seed, Purpose::Classes, stream);
            kmeans_classes(&bigrams, words, limits, rng, pool, goes_on)?
        }
        ClassMethod::Frequency => {
            let counts: Vec<u64> = words.iter().map(|id| counts[*id as usize]).collect();
            spread(words, &controls::frequency_bins(&counts, limits), vocab_size)
        }
        ClassMethod::Random => {
            let rng = Rng::new(options.seed, Purpose::Classes, STREAM_LOTS);
            let lots = controls::random_classes(words.len(), limits.n_classes, &rng);
            spread(words, &lots, vocab_size)
        }
    };
    add_classes_for_rest(&mut class_of, &by_count, words.len(), limits);
    Ok(Classes::new(&class_of, &counts))
}

/// All ids, by falling count and then by rising id.
fn by_falling_count(counts: &[u64]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..counts.len() as u32).collect();
    ids.sort_unstable_by_key(|id| (Reverse(counts[*id as usize]), *id));
    ids
}

/// (V) the classes of `words` at their ids, [`NO_CLASS`] elsewhere.
fn spread(words: &[u32], classes: &[u32], vocab_size: usize) -> Vec<u32> {
    let mut class_of = vec![NO_CLASS; vocab_size];
    words.iter().zip(classes).for_each(|(word, class)| class_of[*word as usize] = *class);
    class_of
}

fn exchange_classes(
    bigrams: &Bigrams,
    words: &[u32],
    limits: Limits,
    pool: &mut Pool,
    goes_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<u32>, ClassError> {
    let has_pairs = |id: &u32| bigrams.n_places(*id) > 0;
    let words: Vec<u32> = words.iter().copied().filter(has_pairs).collect();
    let start = exchange::deal(&words, bigrams.vocab_size(), limits.n_classes);
    let mut watch = Watch::new(exchange::n_steps(words.len()), goes_on);
    let class_of = exchange::exchange(bigrams, &words, start, limits, pool, &mut watch)?;
    watch.finish()?;
    Ok(class_of)
}

fn kmeans_classes(
    bigrams: &Bigrams,
    words: &[u32],
    limits: Limits,
    rng: impl Fn(u64) -> Rng,
    pool: &mut Pool,
    goes_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<u32>, ClassError> {
    let mut watch = Watch::new(vectors::N_PASSES + kmeans::N_ROUNDS_MAX, goes_on);
    let all = vectors::word_vectors(bigrams, words, &rng(STREAM_BASIS), pool, &mut watch)?;
    let says_something = |vector: &[f32]| vector.iter().any(|x| *x != 0.0);
    let rows = || words.iter().zip(all.chunks_exact(vectors::WORD_DIM));
    let known: Vec<(&u32, &[f32])> = rows().filter(|(_, v)| says_something(v)).collect();
    let words: Vec<u32> = known.iter().map(|(word, _)| **word).collect();
    let vectors: Vec<f32> = known.iter().flat_map(|(_, vector)| *vector).copied().collect();
    let weights: Vec<f32> = words.iter().map(|id| weight(bigrams.n_places(*id))).collect();

    let points = kmeans::Points { vectors: &vectors, weights: &weights };
    let classes = kmeans::kmeans(points, limits, &rng(STREAM_CENTRES), pool, &mut watch)?;
    watch.finish()?;
    Ok(spread(&words, &classes, bigrams.vocab_size()))
}

/// What a word with this count weighs in k-means. In proportion, frequent words would have classes
/// to themselves; all alike, they would be lost among the rare ones.
fn weight(count: u64) -> f32 {
    (count as f64).sqrt() as f32
}

/// Gives the tokens without a class further ones: first those of the `n_words` that occur, then the
/// others, which `by_count` has at its end. None mixes the two or grows beyond the cap.
fn add_classes_for_rest(class_of: &mut [u32], by_count: &[u32], n_words: usize, limits: Limits) {
    let mut next = limits.n_classes as u32;
    let (words, others) = by_count.split_at(n_words);
    for part in [words, others] {
        let rest: Vec<u32> =
            part.iter().copied().filter(|id| class_of[*id as usize] == NO_CLASS).collect();
        for class in rest.chunks(limits.size_cap) {
            class.iter().for_each(|id| class_of[*id as usize] = next);
            next += 1;
        }
    }
}
