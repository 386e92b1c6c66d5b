//! Times and perplexities, to be read rather than tested: `cargo test --release -p
//! crystalline-engine --test word_classes -- --ignored --nocapture`.
//!
//! `CRYSTALLINE_TEST_DATA` names a folder with `wikitext-2/train.txt`.

use super::options;
use engine::data::TokenSource;
use engine::vocab::classes::{
    Bigrams, ClassMethod, build, class_bigram_perplexity, count_tokens, default_n_classes,
};
use kernels::Pool;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

/// Words between blanks and an end of line, ids by falling count; and how many there are.
fn ids_of(text: &str) -> (Vec<u32>, usize) {
    let words = || text.lines().flat_map(|line| line.split_whitespace().chain(["<eos>"]));
    let mut counts: HashMap<&str, u64> = HashMap::new();
    words().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut by_count: Vec<(&str, u64)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let ids: HashMap<&str, u32> =
        by_count.iter().enumerate().map(|(i, (word, _))| (*word, i as u32)).collect();
    (words().map(|word| ids[word]).collect(), ids.len())
}

#[test]
#[ignore = "measures"]
fn methods_on_a_corpus() {
    let Some(folder) = std::env::var_os("CRYSTALLINE_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: set CRYSTALLINE_TEST_DATA");
        return;
    };
    let text = std::fs::read_to_string(folder.join("wikitext-2/train.txt")).unwrap();
    let (tokens, vocab_size) = ids_of(&text);
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
    for n_classes in [128, default_n_classes(vocab_size), 256, 384, 512] {
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
                "{:>4} classes, {:<9} {seconds:6.2} s, class bigram perplexity {:7.1}, \
                 {:6.1} rows a token, largest class {}",
                classes.n_classes(),
                method.name(),
                class_bigram_perplexity(&bigrams, &class_of),
                classes.expected_rows(&counts),
                classes.largest(),
            );
        }
    }
}
