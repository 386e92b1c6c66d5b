//! Sizes: rule that a file has at most 500 lines, a function 70; tests and the two passes may take
//! 120.

use crate::tidy::repo::{Repo, assert_caught, assert_none, is_test_file};
use crate::tidy::rust_text::{code_of, functions};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const LONG_FUNCTION_LINES: usize = 120;

/// The passes are lists of calls, meant to be read in one piece.
const PASSES: [&str; 2] =
    ["crates/engine/src/model/forward.rs", "crates/engine/src/model/backward.rs"];

fn long_files(repo: &Repo) -> Vec<String> {
    repo.rust_files()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, n)| *n > FILE_LINES)
        .map(|(path, n)| format!("{path}: {n} lines, {FILE_LINES} at most: split it by idea"))
        .collect()
}

fn long_functions(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in repo.rust_files() {
        for f in functions(&code_of(text)) {
            let is_long_allowed = f.is_test || is_test_file(path) || PASSES.contains(&path);
            let limit = if is_long_allowed { LONG_FUNCTION_LINES } else { FUNCTION_LINES };
            if f.n_lines > limit {
                let (line, name, n) = (f.line, f.name, f.n_lines);
                complaints.push(format!("{path}:{line}: `{name}` has {n} lines, {limit} at most"));
            }
        }
    }
    complaints
}

#[test]
fn files_and_functions_are_short() {
    let repo = Repo::here();
    assert_none(long_files(&repo));
    assert_none(long_functions(&repo));
}

#[test]
fn catches_a_file_of_501_lines() {
    let lines = |n| "//! x\n".repeat(n);
    assert_none(long_files(&Repo::of(&[("crates/a/src/x.rs", &lines(500))])));
    assert_caught(&long_files(&Repo::of(&[("crates/a/src/x.rs", &lines(501))])), "501 lines");
}

#[test]
fn catches_functions_over_their_limit() {
    let function = |n: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(n - 2));
    let tests = |n| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(n));
    let check = |path, text: String| long_functions(&Repo::of(&[(path, &text)]));
    assert_none(check("crates/a/src/x.rs", function(70)));
    assert_caught(&check("crates/a/src/x.rs", function(71)), "`f` has 71 lines, 70");
    for path in ["crates/a/tests/x.rs", PASSES[0], PASSES[1]] {
        assert_none(check(path, function(120)));
        assert_caught(&check(path, function(121)), "121 lines, 120");
    }
    assert_none(check("crates/a/src/x.rs", tests(120)));
    assert_caught(&check("crates/a/src/x.rs", tests(121)), "121 lines, 120");
}
