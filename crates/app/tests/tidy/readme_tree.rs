//! Rule: the tree in the README lists every file under `crates/*/src`, and no other.
//!
//! The tree is the fenced block that names `crates/`. Indentation makes the folders (the drawn
//! kind of line is fine), a name ending in `/` is one, and a line may list several files with
//! commas between them before it says what they are:
//!
//! ```text
//! crates/kernels/src/
//!     rmsnorm.rs, rope.rs     norms and positions
//!     matmul/
//!         naive.rs            the definition
//! ```

use std::collections::BTreeSet;

use crate::repo::{Repo, assert_caught, assert_none};

fn tree_errors(repo: &Repo) -> Vec<String> {
    let Some(readme) = repo.get("README.md") else { return Vec::new() };
    let there: BTreeSet<String> =
        repo.paths().filter(|path| is_source(path)).map(str::to_string).collect();
    let listed: BTreeSet<String> =
        listed_files(readme).into_iter().filter(|path| is_source(path)).collect();
    let missing = there.difference(&listed).map(|path| {
        format!(
            "README.md: the tree lacks {path}{}",
            said_first(repo.get(path).unwrap_or_default())
        )
    });
    let gone = listed
        .difference(&there)
        .map(|path| format!("README.md: the tree lists {path}: no such file"));
    missing.chain(gone).collect()
}

/// Whether a path lies under `crates/*/src/`.
fn is_source(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("crates") && parts.nth(1) == Some("src") && parts.next().is_some()
}

/// What a file says of itself, to put into the tree.
fn said_first(text: &str) -> String {
    match text.lines().next().and_then(|line| line.strip_prefix("//! ")) {
        Some(sentence) => format!("    ({sentence})"),
        None => String::new(),
    }
}

fn listed_files(readme: &str) -> Vec<String> {
    let blocks = readme.split("```").skip(1).step_by(2);
    let Some(tree) = blocks.into_iter().find(|block| block.contains("crates/")) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    let mut folders: Vec<(usize, String)> = Vec::new(); // (indentation, path), outermost first
    for line in tree.lines().skip(1) {
        let line = line.replace(['│', '├', '└', '─', '|'], " ");
        let indent = line.chars().take_while(|c| *c == ' ').count();
        folders.retain(|(outer, _)| *outer < indent);
        for name in leading_names(&line) {
            let parent = folders.last().map_or("", |(_, path)| path.as_str());
            let path = format!("{parent}{name}");
            if name.ends_with('/') {
                folders.push((indent, path));
            } else {
                files.push(path);
            }
        }
    }
    files
}

/// The names that a line begins with: one, or several with commas between them.
fn leading_names(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for word in line.split_whitespace() {
        let name = word.trim_end_matches(',');
        if !name.contains(['.', '/']) {
            break;
        }
        names.push(name);
        if !word.ends_with(',') {
            break;
        }
    }
    names
}

#[test]
fn readme_lists_every_source_file() {
    assert_none(tree_errors(&Repo::here()));
}

#[test]
fn reads_both_ways_to_draw_a_tree() {
    let plain = "Text.\n```sh\nls\n```\n```text\ncrates/a/src/\n  x.rs, y.rs   two, e.g.\n  m/\n    z.rs  deep\n\
        docs/   prose.md\n```\n";
    let drawn = "```text\ncrates/\n├── a/src/\n│   ├── x.rs\n│   ├── y.rs  two\n│   └── m/\n│       └── z.rs\n\
        └── docs/\n```\n";
    for readme in [plain, drawn] {
        assert_eq!(
            listed_files(readme),
            ["crates/a/src/x.rs", "crates/a/src/y.rs", "crates/a/src/m/z.rs"]
        );
    }
}

#[test]
fn catches_a_tree_that_differs_from_the_files() {
    let check = |tree| {
        tree_errors(&Repo::of(&[
            ("README.md", tree),
            ("crates/a/src/x.rs", "//! The unknown.\n"),
            ("crates/a/tests/t.rs", ""),
        ]))
    };
    assert_none(check("```text\ncrates/a/src/\n    x.rs  the unknown\n```"));
    assert_caught(&check("No tree at all."), "lacks crates/a/src/x.rs    (The unknown.)");
    assert_caught(&check("```text\ncrates/a/\n```"), "lacks crates/a/src/x.rs");
    assert_caught(
        &check("```text\ncrates/a/src/\n  x.rs\n  y.rs\n```"),
        "a/src/y.rs: no such file",
    );
}
