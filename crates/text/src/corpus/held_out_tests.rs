//! Held-out text tests: blocks come from all over a corpus and never touch the training text.

use super::*;
use crate::corpus::{Piece, TextRules};
use std::ops::ControlFlow;
use std::path::PathBuf;

fn corpus(texts: &[impl AsRef<[u8]>]) -> (tempfile::TempDir, Corpus) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(i, text): (usize, &_)| {
        let path = folder.path().join(format!("{i:05}"));
        std::fs::write(&path, AsRef::<[u8]>::as_ref(text)).unwrap();
        path
    };
    let paths: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
    let corpus = Corpus::open(&paths, TextRules::default()).unwrap();
    (folder, corpus)
}

fn text(corpus: &Corpus, spans: &[TextSpan]) -> String {
    let mut text = String::new();
    for span in spans {
        let each = |piece: Piece<'_>| {
            if let Piece::Text(piece) = piece {
                text.push_str(piece);
            }
            ControlFlow::Continue(())
        };
        corpus.read(*span, each).unwrap();
    }
    text
}

/// Checks what holds of every split, and returns the training and the held-out text.
fn parts(corpus: &Corpus, fraction: f64, separator: Option<&str>) -> (String, String) {
    let split = hold_out(corpus, fraction, separator).unwrap();
    assert_eq!(hold_out(corpus, fraction, separator).unwrap(), split);
    let mut spans: Vec<TextSpan> = split.train.iter().chain(&split.held_out).copied().collect();
    spans.sort_by_key(|span| span.start);
    assert!(spans.iter().all(|span| span.start < span.end));
    assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "{spans:?}");
    (text(corpus, &split.train), text(corpus, &split.held_out))
}

#[test]
fn a_tail_of_another_kind_is_held_out_in_its_share_only() {
    let story = "A line of some words.\nAnd another line, of more words.\n\n".repeat(5_000);
    let numbers: String = (0..4_000).map(|i| format!("{i}\n")).collect();
    for (head, tail) in [(&story, &numbers), (&numbers, &story)] {
        let all = format!("{head}{tail}");
        let (_folder, corpus) = corpus(&[&all]);
        let (train, held_out) = parts(&corpus, 0.05, None);
        let share =
            |text: &str| text.bytes().filter(u8::is_ascii_digit).count() as f64 / text.len() as f64;
        assert!((0.5..2.0).contains(&(share(&held_out) / share(&all))), "{}", share(&held_out));
        assert!((0.9..1.1).contains(&(share(&train) / share(&all))));
    }
}

#[test]
fn sizes_are_about_those_requested_and_little_is_dropped() {
    let line = |i: usize| format!("Line {i} has some words, and then some more of them.\n");
    for n_lines in [30, 300, 3_000, 30_000] {
        let all: String = (0..n_lines).map(line).collect();
        let (_folder, corpus) = corpus(&[&all]);
        for fraction in [0.01, 0.05, 0.1, 0.5, 0.9] {
            if all.len() as f64 * fraction < 100.0 {
                continue;
            }
            let (train, held_out) = parts(&corpus, fraction, None);
            let share = held_out.len() as f64 / all.len() as f64;
            assert!((0.5..1.5).contains(&(share / fraction)), "{n_lines} {fraction}: {share}");
            let dropped = 1.0 - share - train.len() as f64 / all.len() as f64;
            assert!(
                dropped <= 2.5 * fraction.min(1.0 - fraction),
                "{n_lines} {fraction}: {dropped}"
            );
            if n_lines >= 300 && fraction <= 0.5 {
                assert!(held_out.lines().all(|line| line.starts_with("Line")), "cut at lines");
            }
        }
    }
}

#[test]
fn the_text_next_to_a_block_is_dropped_within_a_document_only() {
    let line = |i: usize| format!("Line {i} has some words, and then some more of them.\n");
    let all: String = (0..3_000).map(line).collect();
    let (_folder, one) = corpus(&[&all]);
    let split = hold_out(&one, 0.05, None).unwrap();
    assert!(split.held_out.len() >= 10);
    for block in &split.held_out {
        let before = split.train.iter().rfind(|span| span.end <= block.start);
        let after = split.train.iter().find(|span| span.start >= block.end);
        for (a, b) in
            [(before.map(|t| t.end), Some(block.start)), (Some(block.end), after.map(|t| t.start))]
        {
            let (Some(a), Some(b)) = (a, b) else { continue };
            assert!(b.byte - a.byte >= 100, "{a:?} {b:?}");
        }
    }
    let documents: Vec<String> = (0..3_000).map(line).collect();
    let (_folder, many) = corpus(&documents);
    let (train, held_out) = parts(&many, 0.05, None);
    assert_eq!(train.len() + held_out.len(), all.len(), "nothing is dropped between files");
    let (_folder, separated) = corpus(&[documents.join("<end>\n")]);
    let (train, held_out) = parts(&separated, 0.05, Some("<end>"));
    assert_eq!(train.len() + held_out.len(), all.len() + 2_999 * "<end>\n".len());
    assert!(held_out.starts_with("Line") && train.starts_with("Line"));
}

#[test]
fn any_script_and_line_end_is_cut_between_characters() {
    for unit in ["日本語の文章です。", "слово ", "a\r\n", "b\r", "é", "🙂", "word "]
    {
        let all = unit.repeat(4_000);
        let (_folder, corpus) = corpus(&[&all]);
        let (train, held_out) = parts(&corpus, 0.05, None);
        assert!(!train.is_empty() && !held_out.is_empty(), "{unit}");
        assert!(!held_out.contains('\u{fffd}'));
    }
}

#[test]
fn refuses_texts_and_fractions_that_cannot_be_split() {
    let (_folder, corpus) = corpus(&["x"]);
    assert!(matches!(hold_out(&corpus, 0.1, None), Err(Error::TooShortToSplit { found: 1 })));
    for found in [-0.1, 1.0, 2.0, f64::NAN] {
        assert!(matches!(hold_out(&corpus, found, None), Err(Error::BadFraction { .. })));
    }
    let nothing = hold_out(&corpus, 0.0, None).unwrap();
    assert_eq!((nothing.train, nothing.held_out), (vec![corpus.all()], vec![]));
}
