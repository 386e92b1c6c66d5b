//! Times and perplexities, printed but not tested: `cargo test --release -p
//! crystalline-text --test it word_classes -- --ignored --nocapture`.
//!
//! `CRYSTALLINE_TEST_DATA` names a folder with `wikitext-2/{train,valid}.txt`.

use super::options;
use kernels::Pool;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;
use text::corpus::TokenSource;
use text::vocab::classes::{
    Bigrams, ClassMethod, build, class_bigram_perplexity, count_tokens, default_n_classes,
};

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split_whitespace().chain(["<eos>"]))
}

/// The ids of all words, by descending count.
fn ids_of(text: &str) -> HashMap<&str, u32> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    words_of(text).for_each(|word| *counts.entry(word).or_default() += 1);
    let mut by_count: Vec<(&str, u64)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    by_count.iter().enumerate().map(|(i, (word, _))| (*word, i as u32)).collect()
}

/// Perplexity of the class bigram of `train` on other text, with successors of a class smoothed by
/// the method of Witten and Bell. Memorised pairs do not help here.
fn held_out_perplexity(train: &[u32], other: &[u32], class_of: &[u32]) -> f64 {
    let n_classes = class_of.iter().max().unwrap() + 1;
    let class = |id: &u32| class_of[*id as usize];
    let (mut words, mut classes) = (HashMap::new(), vec![0.0; n_classes as usize]);
    let (mut pairs, mut n_follow) = (HashMap::new(), vec![0.0; n_classes as usize]);
    for id in train {
        *words.entry(id).or_insert(0.0) += 1.0;
        classes[class(id) as usize] += 1.0;
    }
    for pair in train.windows(2) {
        let count = pairs.entry((class(&pair[0]), class(&pair[1]))).or_insert(0.0);
        n_follow[class(&pair[0]) as usize] += f64::from(u8::from(*count == 0.0));
        *count += 1.0;
    }
    let nats = other.windows(2).map(|pair| {
        let (from, to) = (class(&pair[0]), class(&pair[1]));
        let (n, n_follow) = (classes[from as usize], n_follow[from as usize]);
        let count = pairs.get(&(from, to)).copied().unwrap_or(0.0);
        let of_class = classes[to as usize] / train.len() as f64;
        let transition: f64 = (count + n_follow * of_class) / (n + n_follow);
        -(transition * words[&pair[1]] / classes[to as usize]).ln()
    });
    (nats.sum::<f64>() / (other.len() - 1) as f64).exp()
}

#[test]
#[ignore = "measures"]
fn methods_on_a_corpus() {
    let Some(folder) = std::env::var_os("CRYSTALLINE_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: set CRYSTALLINE_TEST_DATA");
        return;
    };
    let read = |name| std::fs::read_to_string(folder.join("wikitext-2").join(name)).unwrap();
    let (train, valid) = (read("train.txt"), read("valid.txt"));
    let ids = ids_of(&train);
    let encode = |text| words_of(text).map(|word| ids[word]).collect::<Vec<u32>>();
    let (tokens, other, vocab_size) = (encode(&train), encode(&valid), ids.len());
    let counts = count_tokens(&tokens[..], vocab_size).unwrap();
    let start = Instant::now();
    let bigrams = Bigrams::count(&tokens[..], vocab_size).unwrap();
    println!(
        "{} tokens, {vocab_size} words, {} bigrams counted in {:.3} s",
        TokenSource::len(&tokens[..]),
        bigrams.n_different(),
        start.elapsed().as_secs_f64()
    );
    let mut pool = Pool::new(2);
    for n_classes in [128, 182, default_n_classes(vocab_size), 384, 512] {
        for method in ClassMethod::ALL {
            let options = options(method, n_classes);
            let start = Instant::now();
            let classes =
                build(&tokens[..], vocab_size, &options, &mut pool, &mut |_, _| true).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let new_ids = classes.new_ids();
            let class_of: Vec<u32> =
                new_ids.iter().map(|new| classes.class_of(*new) as u32).collect();
            println!(
                "{:>4} classes, {:<9} {seconds:6.2} s, class bigram perplexity {:6.1}, \
                 on other text {:6.1}, {:6.1} rows a token, largest class {}",
                classes.n_classes(),
                method.name(),
                class_bigram_perplexity(&bigrams, &class_of),
                held_out_perplexity(&tokens, &other, &class_of),
                classes.expected_rows(&counts),
                classes.largest(),
            );
        }
    }
}
