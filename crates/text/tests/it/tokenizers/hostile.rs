//! Hostile text: linear time, a small stack, and lossless decoding.

use std::time::Instant;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

/// Patterns that the text repeats. No rule finds a boundary in most of them.
pub(super) const PATTERNS: [&str; 30] = [
    "a",
    "^",
    " ",
    "\n",
    "\t",
    "7",
    "é",
    "語",
    "\u{301}",
    "\u{3000}",
    "\u{a0}",
    "'",
    "’",
    "'s",
    "'l",
    "\r\n",
    " \n",
    "ab",
    "aA1",
    "a\u{301}",
    "👩\u{200d}",
    "🇩🇪",
    "\0",
    "\u{10ffff}",
    "<",
    "<|",
    "<|endoftext",
    "<|endoftext|>",
    "½",
    "日本語テキスト",
];

/// Stack size of these tests, in bytes.
const STACK_LEN: usize = 256 << 10;

/// Trains on repetitions of the patterns, longest first, so that merges for them are learnt.
pub(super) fn trained_on_patterns(kind: TokenizerKind) -> Tokenizer {
    let runs: Vec<String> = PATTERNS.iter().map(|p| format!("{} ", p.repeat(50))).collect();
    let text = runs.concat().repeat(2);
    let options = TrainOptions { vocab_size: 2048, ..TrainOptions::new(kind) };
    Tokenizer::train(&options, &[&text], &mut Control::threads(1)).unwrap()
}

fn seconds_of(tokenizer: &Tokenizer, text: &str) -> f64 {
    let start = Instant::now();
    std::hint::black_box(tokenizer.encode(text));
    start.elapsed().as_secs_f64()
}

/// Whether twice the text takes at most 2.3 times as long. Other programs can slow down a
/// measurement but not speed it up, so a bad ratio is measured again; with quadratic time it would
/// be 4 each time.
fn is_linear(tokenizer: &Tokenizer, pattern: &str, len: usize) -> bool {
    let half = pattern.repeat(len / 2 / pattern.len());
    let whole = pattern.repeat(len / pattern.len());
    let is_good = |_| {
        let ratio = seconds_of(tokenizer, &whole) / seconds_of(tokenizer, &half);
        if ratio > 2.3 {
            println!("{} on {pattern:?}: {ratio:.2}, again", tokenizer.kind());
        }
        ratio <= 2.3
    };
    (0..20).any(is_good)
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_LEN).spawn(work).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn time_is_linear_in_the_length_of_hostile_text() {
    for kind in TokenizerKind::ALL {
        let tokenizer = trained_on_patterns(kind);
        on_a_small_stack(move || {
            for pattern in PATTERNS {
                assert!(is_linear(&tokenizer, pattern, 1 << 20), "{kind} on {pattern:?}");
            }
        });
    }
}

#[test]
fn hostile_text_is_decoded_losslessly_on_a_small_stack() {
    for kind in [TokenizerKind::Word, TokenizerKind::Bpe, TokenizerKind::Char] {
        let tokenizer = trained_on_patterns(kind);
        on_a_small_stack(move || {
            for pattern in PATTERNS {
                let text = pattern.repeat((1 << 20) / pattern.len());
                let ids = tokenizer.encode(&text);
                assert!(tokenizer.decode(&ids) == text, "{kind} on {pattern:?}");
                let mut control = Control::threads(2);
                let ordinary = tokenizer.encode_ordinary(&text);
                assert!(tokenizer.encode_parallel(&text, &mut control).unwrap() == ordinary);
            }
        });
    }
}

/// Training on hostile text takes bounded time and gives tokens of bounded length.
#[test]
fn hostile_text_can_be_trained_on() {
    for kind in TokenizerKind::ALL {
        for pattern in ["a", "ab", "語", " ", "\u{301}"] {
            let text = pattern.repeat((1 << 20) / pattern.len());
            let options = TrainOptions::new(kind);
            match Tokenizer::train(&options, &[&text], &mut Control::threads(2)) {
                Err(error) => assert!(kind == TokenizerKind::Split && pattern == " ", "{error}"),
                Ok(_) if kind == TokenizerKind::Split => {}
                Ok(tokenizer) => {
                    let ids = tokenizer.encode(&text);
                    assert!(tokenizer.decode(&ids) == text);
                    assert!(ids.iter().all(|&id| tokenizer.token_bytes(id) <= 256));
                    Tokenizer::from_json(&tokenizer.to_json()).unwrap();
                }
            }
        }
    }
}
