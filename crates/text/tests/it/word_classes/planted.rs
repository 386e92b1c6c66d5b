//! Planted word classes: a Markov chain of latent classes, each with its words.

use super::{classes, options};
use kernels::rng::{Purpose, Rng};
use text::vocab::classes::{Bigrams, ClassMethod, Classes, class_bigram_perplexity};

const N_CLASSES: usize = 8;
const VOCAB_SIZE: usize = 320;

/// The planted class of a word: ids of a class are not contiguous.
fn planted(id: u32) -> usize {
    id as usize % N_CLASSES
}

/// Text in which each class is followed by one of three, and words of a class differ in frequency.
fn text(len: usize, seed: u64) -> Vec<u32> {
    let mut draws = Rng::new(seed, Purpose::Test, 0).draws();
    let n_words = (VOCAB_SIZE / N_CLASSES) as u64;
    let mut class = 0;
    (0..len)
        .map(|_| {
            let step = [1, 1, 1, 3, 3, 6][draws.below(6) as usize];
            class = (class * 3 + step) % N_CLASSES;
            let rank = draws.below(n_words).min(draws.below(n_words));
            (rank as usize * N_CLASSES + class) as u32
        })
        .collect()
}

/// Share of words whose class has mostly words of the same planted class.
fn purity(classes: &Classes) -> f64 {
    let most = (0..classes.n_classes()).map(|class| {
        let mut of_planted = [0; N_CLASSES];
        classes.members(class).for_each(|new| of_planted[planted(classes.order[new])] += 1);
        of_planted.into_iter().max().unwrap()
    });
    most.sum::<usize>() as f64 / VOCAB_SIZE as f64
}

fn found(method: ClassMethod, tokens: &[u32], threads: usize) -> Classes {
    classes(tokens, VOCAB_SIZE, &options(method, N_CLASSES), threads)
}

/// The rarest words occur about eight times, sometimes too few for k-means.
#[test]
fn planted_classes_are_found_except_by_random_classes() {
    let tokens = text(100_000, 1);
    for method in [ClassMethod::Exchange, ClassMethod::Kmeans] {
        let purity = purity(&found(method, &tokens, 2));
        assert!(purity >= 0.95, "{method}: {purity}");
    }
    for method in [ClassMethod::Random, ClassMethod::Frequency] {
        let purity = purity(&found(method, &tokens, 2));
        assert!(purity <= 0.5, "{method}: {purity}");
    }
}

#[test]
fn perplexity_tells_good_classes_from_bad_ones() {
    let tokens = text(100_000, 2);
    let bigrams = Bigrams::count(&tokens[..], VOCAB_SIZE).unwrap();
    let true_classes: Vec<u32> = (0..VOCAB_SIZE as u32).map(|id| planted(id) as u32).collect();
    let truth = class_bigram_perplexity(&bigrams, &true_classes);
    let perplexity = |method| {
        let classes = found(method, &tokens, 2);
        let new_ids = classes.new_ids();
        let class_of: Vec<u32> = new_ids.iter().map(|new| classes.class_of(*new) as u32).collect();
        class_bigram_perplexity(&bigrams, &class_of)
    };
    // Fitted to the text, exchange does about as well as the truth; random classes learn nothing.
    assert!(perplexity(ClassMethod::Exchange) <= 1.01 * truth);
    assert!(perplexity(ClassMethod::Random) >= 1.5 * truth);
}

#[test]
fn threads_change_nothing_and_seeds_do() {
    let tokens = text(30_000, 3);
    for method in ClassMethod::ALL {
        let one = found(method, &tokens, 1);
        one.check().unwrap();
        for threads in [2, 3] {
            assert!(found(method, &tokens, threads) == one, "{method} on {threads} threads");
        }
    }
    let mut other = options(ClassMethod::Random, N_CLASSES);
    other.seed = 2;
    assert_ne!(classes(&tokens, VOCAB_SIZE, &other, 1), found(ClassMethod::Random, &tokens, 1));
}

#[test]
fn caps_hold_against_the_likelihood() {
    let tokens = text(30_000, 4);
    for method in ClassMethod::ALL {
        // Exactly as many slots as words, and a few more.
        for size_cap in [40, 44] {
            let mut options = options(method, N_CLASSES);
            options.size_cap = Some(size_cap);
            let classes = classes(&tokens, VOCAB_SIZE, &options, 2);
            assert!(classes.largest() <= size_cap, "{method}: {}", classes.largest());
            assert!(classes.n_classes() >= N_CLASSES);
        }
    }
}
