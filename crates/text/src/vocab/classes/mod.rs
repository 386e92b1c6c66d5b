//! Word classes for a factored output layer, learnt from the training text.
//!
//! Bigram counts (`bigrams`) show which words have similar use. Two methods build classes from
//! them: k-means (`kmeans`, on the vectors of `vectors`), and exchange clustering (`exchange`, on
//! the counts of `class_bigrams`), which starts from the k-means classes. Two controls ignore
//! neighbours (`controls`). All respect a cap on the size of a class, and give the same classes for
//! any number of threads.

mod bigrams;
mod centres;
mod class_bigrams;
mod controls;
mod error;
mod exchange;
mod kmeans;
mod limits;
mod method;
mod partition;
mod sparse;
pub(super) mod vectors;
pub(super) mod watch;
mod x_ln_x;

pub use bigrams::{Bigrams, count_tokens};
pub use class_bigrams::class_bigram_perplexity;
pub use error::ClassError;
pub use limits::default_n_classes;
pub use method::{ClassMethod, ClassOptions};
pub use partition::Classes;

use crate::corpus::TokenSource;
use class_bigrams::NO_CLASS;
use kernels::Pool;
use kernels::rng::{Purpose, Rng};
use limits::Limits;
use std::cmp::Reverse;
use watch::Watch;

/// Streams of random numbers, by use.
const STREAM_RANDOM: u64 = 0;
const STREAM_BASIS: u64 = 1;
const STREAM_CENTRES: u64 = 2;

/// Builds classes of the vocabulary from the text `tokens`.
///
/// `goes_on(done, of)` is called after every pass over the words with the number of steps done and
/// the total; once it returns false the work ends. Tokens that do not occur get separate classes.
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
    let limits = Limits::new(words.len(), vocab_size, options)?;
    let rng = |stream| Rng::new(options.seed, Purpose::Classes, stream);
    let mut class_of = match options.method {
        ClassMethod::Exchange | ClassMethod::Kmeans => {
            let by_exchange = options.method == ClassMethod::Exchange;
            let n_sweeps = if by_exchange { exchange::N_SWEEPS_MAX } else { 0 };
            let mut watch =
                Watch::new(vectors::N_PASSES + kmeans::N_ROUNDS_MAX + n_sweeps, goes_on);
            let bigrams = Bigrams::count(tokens, vocab_size)?;
            let mut class_of = kmeans_classes(&bigrams, words, limits, rng, pool, &mut watch)?;
            fill_lightest(&mut class_of, words, &counts, limits);
            if by_exchange {
                class_of = exchange::exchange(&bigrams, words, class_of, limits, pool, &mut watch)?;
            }
            watch.finish()?;
            class_of
        }
        ClassMethod::Frequency => {
            let counts: Vec<u64> = words.iter().map(|id| counts[*id as usize]).collect();
            spread(words, &controls::frequency_bins(&counts, limits), vocab_size)
        }
        ClassMethod::Random => {
            let random =
                controls::random_classes(words.len(), limits.n_classes, &rng(STREAM_RANDOM));
            spread(words, &random, vocab_size)
        }
    };
    add_classes_for_unseen(&mut class_of, &by_count[words.len()..], limits);
    Ok(Classes::new(&class_of, &counts))
}

/// All ids, by descending count and then by ascending id.
pub(super) fn by_falling_count(counts: &[u64]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..counts.len() as u32).collect();
    ids.sort_unstable_by_key(|id| (Reverse(counts[*id as usize]), *id));
    ids
}

/// (V) the classes of `words` by id, [`NO_CLASS`] elsewhere.
fn spread(words: &[u32], classes: &[u32], vocab_size: usize) -> Vec<u32> {
    let mut class_of = vec![NO_CLASS; vocab_size];
    words.iter().zip(classes).for_each(|(word, class)| class_of[*word as usize] = *class);
    class_of
}

/// Classes by k-means; [`NO_CLASS`] for words that have no vector.
fn kmeans_classes(
    bigrams: &Bigrams,
    words: &[u32],
    limits: Limits,
    rng: impl Fn(u64) -> Rng,
    pool: &mut Pool,
    watch: &mut Watch,
) -> Result<Vec<u32>, ClassError> {
    let all = vectors::word_vectors(bigrams, words, &rng(STREAM_BASIS), pool, watch)?;
    let says_something = |vector: &[f32]| vector.iter().any(|x| *x != 0.0);
    let rows = words.iter().zip(all.chunks_exact(vectors::WORD_DIM));
    let known: Vec<(&u32, &[f32])> = rows.filter(|(_, v)| says_something(v)).collect();
    let words: Vec<u32> = known.iter().map(|(word, _)| **word).collect();
    let vectors: Vec<f32> = known.iter().flat_map(|(_, vector)| *vector).copied().collect();
    // The weight of a word is its count. With the square root of the count, the perplexity of the
    // class bigram is 29 % higher, with equal weights 49 %: classes of frequent words are then too
    // coarse (WikiText-2, 182 classes).
    let weights: Vec<f32> = words.iter().map(|id| bigrams.n_occurrences(*id) as f32).collect();

    let points = kmeans::Points { vectors: &vectors, weights: &weights };
    let classes = kmeans::kmeans(points, limits, &rng(STREAM_CENTRES), pool, watch)?;
    Ok(spread(&words, &classes, bigrams.vocab_size()))
}

/// Assigns words without a class, about which the text gives no information, where they cost least:
/// one more member of a class costs as many rows as the text has tokens of the class.
fn fill_lightest(class_of: &mut [u32], words: &[u32], counts: &[u64], limits: Limits) {
    let mut classes = vec![(0, 0); limits.n_classes]; // (mass, size)
    for word in words.iter().map(|word| *word as usize).filter(|word| class_of[*word] != NO_CLASS) {
        let (mass, size) = &mut classes[class_of[word] as usize];
        (*mass, *size) = (*mass + counts[word], *size + 1);
    }
    let mut by_mass: Vec<usize> = (0..limits.n_classes).collect();
    by_mass.sort_by_key(|class| classes[*class].0);
    let free_slots =
        |class: usize| std::iter::repeat_n(class as u32, limits.size_cap - classes[class].1);
    let slots = by_mass.into_iter().flat_map(free_slots);
    let homeless = words.iter().filter(|word| class_of[**word as usize] == NO_CLASS);
    let homeless: Vec<u32> = homeless.copied().collect();
    homeless.iter().zip(slots).for_each(|(word, class)| class_of[*word as usize] = class);
}

/// Assigns tokens that never occur to separate classes of the largest allowed size.
fn add_classes_for_unseen(class_of: &mut [u32], unseen: &[u32], limits: Limits) {
    for (i, class) in unseen.chunks(limits.size_cap).enumerate() {
        class.iter().for_each(|id| class_of[*id as usize] = (limits.n_classes + i) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_a_class_go_where_they_cost_least() {
        let limits = Limits { n_classes: 3, size_cap: 3 };
        // Masses 9, 2 and 5; words 4 to 8 have no class, 9 does not occur.
        let counts = [9, 1, 1, 5, 1, 1, 1, 1, 1, 0];
        let mut class_of = vec![0, 1, 1, 2];
        class_of.resize(10, NO_CLASS);
        let words: Vec<u32> = (0..9).collect();
        fill_lightest(&mut class_of, &words, &counts, limits);
        assert_eq!(class_of, [0, 1, 1, 2, 1, 2, 2, 0, 0, NO_CLASS]);
    }

    #[test]
    fn tokens_that_never_occur_fill_further_classes() {
        let mut class_of = vec![0; 8];
        let limits = Limits { n_classes: 1, size_cap: 3 };
        add_classes_for_unseen(&mut class_of, &[7, 1, 2, 3], limits);
        assert_eq!(class_of, [0, 1, 1, 2, 0, 0, 0, 1]);
    }
}
