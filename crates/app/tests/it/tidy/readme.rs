//! Pages: rules that the README is short and lists every crate, and that links and paths exist.

use crate::tidy::repo::{Repo, assert_caught, assert_none, crate_of};
use std::collections::BTreeSet;

const README: &str = "README.md";
const LINES: usize = 150;

fn readme_errors(repo: &Repo) -> Vec<String> {
    let Some(readme) = repo.get(README) else { return vec![format!("{README} is missing")] };
    let mut complaints = Vec::new();
    let n = readme.lines().count();
    if n > LINES {
        complaints.push(format!("{README}: {n} lines, {LINES} at most"));
    }
    let listed = listed_paths(readme);
    for path in listed.iter().filter(|path| !exists(repo, path)) {
        complaints.push(format!("{README}: the tree lists {path}, which does not exist"));
    }
    let crates: BTreeSet<&str> = repo.paths().filter_map(crate_of).collect();
    for name in crates {
        let folder = format!("crates/{name}/");
        if !listed.iter().any(|path| path.starts_with(&folder)) {
            complaints.push(format!("{README}: the tree lacks {folder}"));
        }
    }
    complaints
}

fn exists(repo: &Repo, path: &str) -> bool {
    repo.paths().any(|known| known == path || path.ends_with('/') && known.starts_with(path))
}

/// The paths of the fenced block that names `crates/`: indentation makes the folders.
fn listed_paths(readme: &str) -> Vec<String> {
    let mut blocks = readme.split("```").skip(1).step_by(2);
    let Some(tree) = blocks.find(|block| block.contains("crates/")) else { return Vec::new() };
    let mut paths = Vec::new();
    let mut folders: Vec<(usize, String)> = Vec::new(); // (indentation, path), outermost first
    for line in tree.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        folders.retain(|(outer, _)| *outer < indent);
        let name = line.split_whitespace().next().unwrap_or_default();
        let parent = folders.last().map_or("", |(_, path)| path.as_str());
        let path = format!("{parent}{name}");
        if name.ends_with('/') {
            folders.push((indent, path.clone()));
        }
        paths.push(path);
    }
    paths
}

/// Links of the README and of `docs/` to files of the repository that do not exist.
fn broken_links(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_page =
        |path: &&str| path.ends_with(".md") && (!path.contains('/') || path.starts_with("docs/"));
    for page in repo.paths().filter(is_page) {
        let folder = page.rfind('/').map_or("", |at| &page[..=at]);
        for link in links(repo.get(page).unwrap_or_default()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !exists(repo, &normal(&format!("{folder}{target}"))) {
                complaints.push(format!("{page}: links to {link}, which does not exist"));
            }
        }
    }
    complaints
}

/// Paths in code type, in `docs/` and CONTRIBUTING.md, that match no path of the repository.
fn stale_paths(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_page = |path: &&str| {
        *path == "CONTRIBUTING.md" || path.starts_with("docs/") && path.ends_with(".md")
    };
    for page in repo.paths().filter(is_page) {
        let prose = repo.get(page).unwrap_or_default().split("```").step_by(2);
        for code in prose.flat_map(|part| part.split('`').skip(1).step_by(2)) {
            let is_path = [".rs", ".py", ".md", ".toml", "/"].iter().any(|end| code.ends_with(end));
            if is_path && !code.contains(char::is_whitespace) && !matches_a_path(repo, code) {
                complaints.push(format!("{page}: names {code}, which does not exist"));
            }
        }
    }
    complaints
}

/// Whether the last components of the path of a file (of a folder, if `path` ends with `/`) are
/// `path`.
fn matches_a_path(repo: &Repo, path: &str) -> bool {
    let end = format!("/{path}");
    repo.paths()
        .map(|known| format!("/{known}"))
        .any(|known| if path.ends_with('/') { known.contains(&end) } else { known.ends_with(&end) })
}

/// The targets of `[text](target)` outside code.
fn links(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    let after = prose.flat_map(|part| part.split("](").skip(1));
    after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

/// A path without `..` and `.`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn the_readme_is_short_and_correct() {
    assert_none(readme_errors(&Repo::here()));
    assert_none(broken_links(&Repo::here()));
    assert_none(stale_paths(&Repo::here()));
}

#[test]
fn catches_a_long_readme_and_a_wrong_tree() {
    let check = |readme: &str| {
        readme_errors(&Repo::of(&[
            (README, readme),
            ("crates/a/src/x.rs", ""),
            ("crates/b/src/y/z.rs", ""),
            ("docs/log.md", ""),
        ]))
    };
    let tree =
        "```text\ncrates/\n  a/   first\n  b/src/\n    y/\ndocs/\n  log.md  what was tried\n```\n";
    assert_none(check(tree));
    assert_caught(&check(&format!("{tree}{}", "line\n".repeat(LINES))), "150 at most");
    assert_caught(&check(&tree.replace("  a/   first\n", "")), "lacks crates/a/");
    assert_caught(&check(&tree.replace("    y/", "    w/")), "crates/b/src/w/, which does not");
    assert_caught(&readme_errors(&Repo::of(&[])), "README.md is missing");
}

#[test]
fn catches_a_broken_link() {
    let check =
        |page, text| broken_links(&Repo::of(&[(page, text), ("docs/a.md", ""), ("src/x.rs", "")]));
    assert_none(check("README.md", "[a](docs/a.md#part) [b](https://x.org) [c](#here) [d](docs/)"));
    assert_none(check("docs/b.md", "[a](a.md) [x](../src/x.rs)\n```text\n[no](nowhere.md)\n```\n"));
    assert_caught(&check("README.md", "[a](a.md)"), "links to a.md");
    assert_caught(&check("docs/b.md", "[x](src/x.rs#L1)"), "links to src/x.rs#L1");
}

#[test]
fn catches_a_stale_path() {
    let check = |page, text| stale_paths(&Repo::of(&[(page, text), ("crates/a/src/b/x.rs", "")]));
    assert_none(check("docs/a.md", "`b/x.rs`, `src/b/`, `c.json`, `a b/`\n```\n`no.rs`\n```\n"));
    assert_caught(&check("docs/a.md", "`c/x.rs`"), "docs/a.md: names c/x.rs");
    assert_caught(&check("CONTRIBUTING.md", "`rc/b/`"), "names rc/b/");
}
