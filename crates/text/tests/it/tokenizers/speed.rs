//! Speeds, printed but not tested: `cargo test --release -p crystalline-text --test
//! tokenizers -- --ignored --nocapture speeds`.

use super::corpus;
use super::hostile::{PATTERNS, trained_on_patterns};
use std::time::Instant;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

#[test]
#[ignore = "measures"]
fn speeds() {
    for name in ["tinyshakespeare.txt", "wikitext-2/train.txt"] {
        let Some(text) = corpus("speeds", name) else { return };
        for kind in TokenizerKind::ALL {
            for threads in [1, 2] {
                print_speeds(name, kind, &text, threads);
            }
        }
    }
}

#[test]
#[ignore = "measures"]
fn speeds_on_hostile_text() {
    for kind in TokenizerKind::ALL {
        let tokenizer = trained_on_patterns(kind);
        let speed = |&pattern: &&'static str| {
            let text = pattern.repeat((16 << 20) / pattern.len());
            let start = Instant::now();
            std::hint::black_box(tokenizer.encode(&text));
            (text.len() as f64 / 1e6 / start.elapsed().as_secs_f64(), pattern)
        };
        let slowest = PATTERNS.iter().map(speed).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{kind}: {:.1} MB/s at least, on {:?}", slowest.0, slowest.1);
    }
}

/// Prints the best of five, in millions of bytes of text a second.
fn print_speeds(name: &str, kind: TokenizerKind, text: &str, threads: usize) {
    let best = |work: &mut dyn FnMut()| {
        let mut measure = |_| {
            let start = Instant::now();
            work();
            text.len() as f64 / 1e6 / start.elapsed().as_secs_f64()
        };
        (0..5).map(&mut measure).fold(0.0, f64::max)
    };
    let train = || {
        let options = TrainOptions::new(kind);
        Tokenizer::train(&options, &[text], &mut Control::threads(threads)).unwrap()
    };
    let tokenizer = train();
    let ids = tokenizer.encode(text);
    let training = best(&mut || drop(train()));
    let encoding = best(&mut || {
        tokenizer.encode_parallel(text, &mut Control::threads(threads)).unwrap();
    });
    let decoding = best(&mut || drop(tokenizer.decode(&ids)));
    println!(
        "{name} {kind} {threads} threads: training {training:.1}, encoding {encoding:.1}, \
         decoding {decoding:.1} MB/s; {} tokens of {}",
        ids.len(),
        tokenizer.vocab_size(),
    );
}
