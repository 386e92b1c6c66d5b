//! First lines: rule that a file begins with `//!` and a noun that one would search for.

use crate::tidy::repo::{Repo, assert_caught, assert_none};

fn without_sentence(repo: &Repo) -> Vec<String> {
    repo.rust_files()
        .filter_map(|(path, text)| Some(format!("{path}:1: {}", fault(text)?)))
        .collect()
}

/// First words that are not the name of a thing.
const NO_NAMES: [&str; 22] = [
    "a", "an", "the", "what", "how", "which", "whether", "why", "where", "when", "who", "whose",
    "this", "these", "here", "from", "to", "one", "in", "on", "it", "rule:",
];

/// The fault of a file's first line, if any. A sentence may continue in the next `//!` line; it
/// needs at least three words.
fn fault(text: &str) -> Option<&'static str> {
    let first = text.lines().next().unwrap_or_default();
    let Some(said) = first.strip_prefix("//! ").filter(|said| said.split_whitespace().count() >= 3)
    else {
        return Some("the first line is not `//!` and a sentence");
    };
    let word = said.split_whitespace().next().unwrap_or_default().to_lowercase();
    NO_NAMES.contains(&word.as_str()).then_some("the first line does not begin with a name")
}

#[test]
fn every_file_has_a_description() {
    assert_none(without_sentence(&Repo::here()));
}

#[test]
fn catches_files_without_a_description() {
    assert_none(without_sentence(&Repo::of(&[("crates/a/src/x.rs", "//! Loops of it.\n")])));
    for text in ["", "use std::fs;\n", "// Loops of it.\n", "//!\n//! Loops of it.\n", "//! x\n"] {
        assert_caught(&without_sentence(&Repo::of(&[("crates/a/src/x.rs", text)])), "x.rs:1");
    }
    for text in ["//! What is here.\n", "//! The loops of it.\n", "//! From text to ids.\n"] {
        let caught = without_sentence(&Repo::of(&[("crates/a/src/x.rs", text)]));
        assert_caught(&caught, "does not begin with a name");
    }
}
