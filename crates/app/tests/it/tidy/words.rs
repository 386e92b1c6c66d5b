//! Misplaced words: rule that `unsafe` stays in `kernels`, printing and sockets in `app`, and that
//! no unfinished work is marked.

use crate::tidy::repo::{Repo, assert_caught, assert_none, crate_of, is_test_file};
use crate::tidy::rust_text::{code_of, has_word, line_of, test_items};

/// Counting allocations needs a custom allocator, which needs `unsafe`.
const MAY_BE_UNSAFE: &str = "no_alloc.rs";

/// The macros that write to a standard stream.
const PRINTING: [&str; 4] = ["print", "println", "eprint", "eprintln"];

fn misplaced_words(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in repo.rust_files() {
        let code = code_of(text);
        let tests = test_items(&code);
        let mut start = 0;
        for line in code.split_inclusive('\n') {
            let is_test = is_test_file(path) || tests.iter().any(|span| span.contains(&start));
            if let Some(what) = misplaced(path, line, is_test) {
                complaints.push(format!("{path}:{}: {what}", line_of(&code, start)));
            }
            start += line.len();
        }
    }
    complaints
}

fn misplaced(path: &str, line: &str, is_test: bool) -> Option<String> {
    let owner = crate_of(path).unwrap_or_default();
    let calls = |name: &str| line.contains(&format!("{name}!")) && has_word(line, name);
    let is_counting = is_test && path.ends_with(MAY_BE_UNSAFE);
    if has_word(line, "unsafe") && owner != "kernels" && !is_counting {
        return Some("`unsafe` belongs into crate `kernels`".to_string());
    }
    if calls("dbg") || calls("todo") || calls("unimplemented") {
        return Some("`dbg`, `todo` and `unimplemented` do not stay".to_string());
    }
    if owner == "app" {
        let is_door = path.ends_with("cli/say.rs") || path.ends_with("cli/columns.rs");
        let streams = ["stdout()", "stderr()"].iter().any(|stream| line.contains(stream));
        let prints = PRINTING.iter().any(|name| calls(name));
        let is_writing = prints || (streams && !line.contains("is_terminal()"));
        return (is_writing && !is_test && !is_door)
            .then(|| "only `cli/say.rs` writes to a standard stream, escaped".to_string());
    }
    if !is_test && PRINTING.iter().any(|name| calls(name)) {
        return Some(format!("only `app` prints; `{owner}` returns what there is to say"));
    }
    line.contains("std::net").then(|| format!("only `app` may know the network, not `{owner}`"))
}

/// The root of every library but `kernels` must forbid `unsafe`, which cannot be undone below it.
fn roots_without_forbid(repo: &Repo) -> Vec<String> {
    repo.rust_files()
        .filter(|(path, _)| path.ends_with("/src/lib.rs") && crate_of(path) != Some("kernels"))
        .filter(|(_, text)| !code_of(text).contains("#![forbid(unsafe_code)]"))
        .map(|(path, _)| format!("{path}: lacks `#![forbid(unsafe_code)]`"))
        .collect()
}

/// Marks of unfinished work in comments; assembled here so that this file does not contain them.
fn unfinished(repo: &Repo) -> Vec<String> {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut complaints = Vec::new();
    for (path, text) in repo.rust_files() {
        for (i, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| has_word(line, mark)) {
                complaints.push(format!("{path}:{}: {mark} in the text", i + 1));
            }
        }
    }
    complaints
}

#[test]
fn words_are_where_they_belong() {
    let repo = Repo::here();
    assert_none(misplaced_words(&repo));
    assert_none(roots_without_forbid(&repo));
    assert_none(unfinished(&repo));
}

#[test]
fn catches_unsafe_outside_kernels() {
    let check = |path, text| misplaced_words(&Repo::of(&[(path, text)]));
    let text = "// unsafe is a word here\nfn f() { unsafe { g() } }\n";
    assert_none(check("crates/kernels/src/a.rs", text));
    assert_none(check("crates/engine/tests/no_alloc.rs", text));
    for path in ["crates/engine/src/a.rs", "crates/engine/src/no_alloc.rs", "crates/app/src/a.rs"] {
        assert_caught(&check(path, text), ".rs:2: `unsafe` belongs");
    }
    let root = |text| roots_without_forbid(&Repo::of(&[("crates/engine/src/lib.rs", text)]));
    assert_none(root("#![forbid(unsafe_code)]\n"));
    assert_caught(&root("// #![forbid(unsafe_code)]\n"), "lacks");
}

#[test]
fn catches_printing_and_sockets_below_app() {
    let check = |path, text| misplaced_words(&Repo::of(&[(path, text)]));
    let printing = "fn f() { println!(\"x\") }\n";
    assert_none(check("crates/app/src/cli/say.rs", printing));
    assert_none(check("crates/app/tests/a.rs", printing));
    assert_none(check("crates/app/src/a.rs", "fn f() { stdout().is_terminal(); }\n"));
    for unescaped in [printing, "fn f() { eprint!() }\n", "fn f() { g(std::io::stdout()) }\n"] {
        assert_caught(&check("crates/app/src/cli/a.rs", unescaped), "only `cli/say.rs` writes");
    }
    assert_none(check("crates/engine/tests/a.rs", printing));
    assert_none(check("crates/engine/src/a.rs", "#[cfg(test)]\nmod t { fn f() { print!() } }\n"));
    assert_caught(&check("crates/engine/src/a.rs", printing), "only `app` prints");
    assert_caught(&check("crates/kernels/src/a.rs", "fn f() { eprint!(\"x\") }\n"), "only `app`");
    assert_caught(&check("crates/engine/src/a.rs", "use std::net::TcpStream;\n"), "the network");
    assert_caught(&check("crates/app/src/a.rs", "fn f() { dbg!(1) }\n"), "do not stay");
}

#[test]
fn catches_unfinished_work() {
    let mark = ["TO", "DO"].concat();
    let check = |text: &str| unfinished(&Repo::of(&[("crates/app/src/a.rs", text)]));
    assert_none(check("// toDO lists\n"));
    assert_caught(&check(&format!("fn f() {{}} // {mark}: more\n")), "a.rs:1");
}
