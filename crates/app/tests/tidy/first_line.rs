//! Rule: a Rust file begins with `//!` and one sentence that says what is in it.

use crate::repo::{Repo, assert_caught, assert_none};

fn without_sentence(repo: &Repo) -> Vec<String> {
    repo.rust_files()
        .filter(|(_, text)| !begins_with_sentence(text))
        .map(|(path, _)| format!("{path}:1: the first line is not `//!` and a sentence"))
        .collect()
}

/// A sentence may run on in the next `//!` line; three words are the least that says something.
fn begins_with_sentence(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("//! ").is_some_and(|said| said.split_whitespace().count() >= 3)
}

#[test]
fn every_file_says_what_it_is() {
    assert_none(without_sentence(&Repo::here()));
}

#[test]
fn catches_files_that_do_not() {
    assert_none(without_sentence(&Repo::of(&[("crates/a/src/x.rs", "//! What is here.\n")])));
    for text in ["", "use std::fs;\n", "// What is here.\n", "//!\n//! What is here.\n", "//! x\n"]
    {
        assert_caught(&without_sentence(&Repo::of(&[("crates/a/src/x.rs", text)])), "x.rs:1");
    }
}
