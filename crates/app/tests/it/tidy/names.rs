//! File names: rule that no file or folder has a meaningless name such as `util`, and that the root
//! holds three pages only.

use crate::tidy::repo::{Repo, assert_caught, assert_none};

const EMPTY_NAMES: [&str; 11] =
    ["util", "utils", "common", "helper", "helpers", "misc", "old", "new", "v2", "final", "stuff"];
const ROOT_PAGES: [&str; 3] = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md"];

fn empty_names(repo: &Repo) -> Vec<String> {
    let says_nothing = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part).to_lowercase();
        EMPTY_NAMES.contains(&stem.as_str())
    };
    repo.paths()
        .filter(|path| path.split('/').any(says_nothing))
        .map(|path| format!("{path}: name it after what is in it"))
        .collect()
}

fn pages_in_root(repo: &Repo) -> Vec<String> {
    repo.paths()
        .filter(|path| !path.contains('/') && path.to_lowercase().ends_with(".md"))
        .filter(|path| !ROOT_PAGES.contains(path))
        .map(|path| format!("{path}: pages other than {ROOT_PAGES:?} belong into docs/"))
        .collect()
}

#[test]
fn names_describe_contents() {
    assert_none(empty_names(&Repo::here()));
    assert_none(pages_in_root(&Repo::here()));
}

#[test]
fn catches_meaningless_names() {
    let check = |path| empty_names(&Repo::of(&[(path, "")]));
    assert_none(check("crates/kernels/src/newton.rs"));
    for path in ["crates/a/src/utils.rs", "crates/a/src/misc/x.rs", "docs/final.md", "bench/V2/x"] {
        assert_caught(&check(path), "name it after");
    }
}

#[test]
fn catches_a_page_in_the_root() {
    assert_none(pages_in_root(&Repo::of(&[("README.md", ""), ("docs/notes.md", "")])));
    assert_caught(&pages_in_root(&Repo::of(&[("NOTES.md", "")])), "NOTES.md");
    assert_caught(&pages_in_root(&Repo::of(&[("plan.MD", "")])), "plan.MD");
}
