//! Corpora: same ids as the `tokenizers` crate, lossless decoding, and WikiText-2's words.

use super::{corpus, reference};
use std::collections::HashMap;
use text::tokenizer::{Control, Document, TextError, Tokenizer, TokenizerKind, TrainOptions};

/// Encodes with the `tokenizers` crate in parts cut before blanks, which it can do in parallel.
fn reference_ids_in_parts(reference: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let is_cut = |&at: &usize| bytes[at] == b' ' && !bytes[at - 1].is_ascii_whitespace();
        let end = (16_384..rest.len()).find(is_cut).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    let encodings = reference.encode_batch_fast(parts, false).unwrap();
    encodings.iter().flat_map(|encoding| encoding.get_ids()).copied().collect()
}

fn check_corpus(kind: TokenizerKind, train: &str, others: &[&str]) {
    let options = TrainOptions::new(kind);
    let tokenizer = Tokenizer::train(&options, &[train], &mut Control::threads(2)).unwrap();
    let reference = reference(&tokenizer);
    for text in std::iter::once(&train).chain(others) {
        let ids = tokenizer.encode_parallel(text, &mut Control::threads(2)).unwrap();
        assert!(ids == reference_ids_in_parts(&reference, text), "{kind}: other ids");
        if kind != TokenizerKind::Split {
            assert!(tokenizer.decode(&ids) == *text, "{kind}: another text");
            let n_bytes: usize = ids.iter().map(|&id| tokenizer.token_bytes(id)).sum();
            assert_eq!(n_bytes, text.len());
        }
    }
}

#[test]
fn ids_of_plays_are_those_of_the_tokenizers_crate() {
    let Some(text) = corpus("plays", "tinyshakespeare.txt") else { return };
    for kind in TokenizerKind::ALL {
        check_corpus(kind, &text, &[]);
    }
}

#[test]
fn ids_of_wikipedia_are_those_of_the_tokenizers_crate() {
    let Some(train) = corpus("wikipedia", "wikitext-2/train.txt") else { return };
    let Some(valid) = corpus("wikipedia", "wikitext-2/valid.txt") else { return };
    for kind in [TokenizerKind::Word, TokenizerKind::Bpe, TokenizerKind::Split] {
        check_corpus(kind, &train, &[&valid]);
    }
}

#[test]
fn wikitext_words_are_decoded_as_in_the_file() {
    let Some(train) = corpus("wikitext words", "wikitext-2/train.txt") else { return };
    let options = TrainOptions::new(TokenizerKind::Split);
    let tokenizer = Tokenizer::train(&options, &[&train], &mut Control::threads(2)).unwrap();
    assert_eq!(tokenizer.vocab_size(), 33_278);

    let lines = train.split_inclusive('\n');
    let words = lines.flat_map(|line| {
        let words = line.trim_end_matches('\n').split(' ').filter(|word| !word.is_empty());
        words.chain(line.ends_with('\n').then_some("<eos>"))
    });
    let ids = tokenizer.encode(&train);
    let mut counts: HashMap<u32, u64> = HashMap::new();
    let mut n_words = 0;
    for (word, &id) in words.zip(&ids) {
        assert_eq!(tokenizer.token_text(id), word);
        *counts.entry(id).or_default() += 1;
        n_words += 1;
    }
    assert_eq!(n_words, ids.len());
    let counts: Vec<u64> = (0..33_278).map(|id| counts[&id]).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "ids fall with counts");
}

#[test]
fn training_does_not_depend_on_threads_or_on_the_division_into_texts() {
    let Some(text) = corpus("threads", "tinyshakespeare.txt") else { return };
    for kind in TokenizerKind::ALL {
        let options = TrainOptions::new(kind);
        let train = |texts: &[&str], threads| {
            Tokenizer::train(&options, texts, &mut Control::threads(threads)).unwrap().hash()
        };
        let expected = train(&[&text], 1);
        let cut = text.find(" and").unwrap();
        for threads in [1, 2, 3, 4] {
            assert_eq!(train(&[&text[..cut], "", &text[cut..]], threads), expected, "{kind}");
        }
    }
}

#[test]
fn chunks_arrive_in_order_and_can_be_stopped() {
    let text = "The boats left, and 'the wind' turned 180°.\n\t".repeat(100_000);
    for kind in TokenizerKind::ALL {
        let tokenizer = super::small(kind);
        let whole = tokenizer.encode(&text);
        for threads in [1, 2, 5] {
            let mut control = Control::threads(threads);
            assert!(tokenizer.encode_parallel(&text, &mut control).unwrap() == whole);
        }
        let mut n_chunks = 0;
        let documents = [Document { text: &text, ends: true }];
        let mut control = Control::threads(2);
        let stopped = tokenizer.encode_documents(&documents, false, &mut control, |_| {
            n_chunks += 1;
            if n_chunks == 2 { Err(TextError::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(TextError::Cancelled)));
        assert_eq!(n_chunks, 2);
    }
}
