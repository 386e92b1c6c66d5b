//! Type names: rule that no two types of the workspace have the same one.

use crate::tidy::repo::{Repo, assert_caught, assert_none};
use crate::tidy::rust_text::{code_of, has_word, line_of, test_items};
use std::collections::BTreeMap;

/// Conventional names that several files may define.
const EVERYWHERE: [&str; 5] = ["Args", "Command", "Error", "Options", "Report"];

const KINDS: [&str; 4] = ["struct", "enum", "trait", "union"];

fn doubled_names(repo: &Repo) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in repo.program_files() {
        if !path.contains("/src/") {
            continue;
        }
        let code = code_of(text);
        let tests = test_items(&code);
        for (name, at) in public_types(&code) {
            if !tests.iter().any(|span| span.contains(&at)) {
                places.entry(name).or_default().push(format!("{path}:{}", line_of(&code, at)));
            }
        }
    }
    places
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !EVERYWHERE.contains(&name.as_str()))
        .map(|(name, places)| {
            format!("`{name}` is defined {} times: {}", places.len(), places.join(", "))
        })
        .collect()
}

/// (name, byte) of the types in `code` that are visible outside their module.
fn public_types(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let item = line.trim_start();
        if item.starts_with("pub")
            && let Some(kind) = KINDS.iter().find(|kind| has_word(item, kind))
        {
            let after = item.split_once(&format!("{kind} ")).map_or("", |(_, after)| after);
            let name: String = after.chars().take_while(|c| c.is_alphanumeric()).collect();
            let is_type = name.starts_with(char::is_uppercase);
            let is_item = item.split_whitespace().take(3).any(|word| word == *kind);
            if is_type && is_item {
                found.push((name, start));
            }
        }
        start += line.len();
    }
    found
}

#[test]
fn a_type_name_means_one_type() {
    assert_none(doubled_names(&Repo::here()));
}

#[test]
fn catches_a_name_of_two_types() {
    let check = |a: &str, b: &str| {
        doubled_names(&Repo::of(&[("crates/a/src/x.rs", a), ("crates/b/src/y.rs", b)]))
    };
    assert_none(check("pub struct Lane;\n", "struct Lane;\npub enum Lanes {}\n"));
    assert_none(check("pub struct Args;\n", "pub struct Args;\n"));
    assert_none(check("pub struct Lane;\n", "#[cfg(test)]\nmod t {\n    pub struct Lane;\n}\n"));
    assert_none(check("pub struct Lane;\n", "// pub struct Lane;\npub fn f(x: Lane) {}\n"));
    assert_caught(&check("pub struct Lane;\n", "\npub(crate) enum Lane<'a> {}\n"), "y.rs:2");
}
