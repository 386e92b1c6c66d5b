//! Opened files: rule that files are opened where devices, pipes and folders are refused first.

use crate::tidy::repo::{Repo, assert_caught, assert_none};
use crate::tidy::rust_text::{code_of, line_of, test_items};

/// Ways to open or read a file by its path.
const WAYS: [&str; 4] = ["fs::read(", "fs::read_to_string(", "File::open(", "Mmap"];

/// Files that may, each with the reason.
const MAY_OPEN: [(&str, &str); 8] = [
    ("crates/text/src/corpus/input.rs", "it is the door"),
    ("crates/engine/src/disk/fs.rs", "folders, to sync them"),
    ("crates/engine/src/disk/lock.rs", "the system's own file"),
    ("crates/text/src/corpus/token_file_writer.rs", "folders, to sync them"),
    ("crates/app/src/bench/training.rs", "the system's own file"),
    ("crates/app/src/cli/signals.rs", "the system's own file"),
    ("crates/engine/src/memory.rs", "the system's own files"),
    ("crates/engine/src/disk/reading.rs", "folders, to lock them"),
];

fn opened_elsewhere(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    // Of users, only the program opens files.
    for (path, text) in repo.program_files().filter(|(path, _)| path.starts_with("crates/")) {
        if MAY_OPEN.iter().any(|(may, _)| *may == path) {
            continue;
        }
        let code = code_of(text);
        let tests = test_items(&code);
        for (at, way) in WAYS.iter().flat_map(|way| code.match_indices(way)) {
            // Types of this project have functions of that name, too.
            let is_own = code[..at].ends_with(|c: char| c.is_alphanumeric());
            if !is_own && !tests.iter().any(|span| span.contains(&at)) {
                let line = line_of(&code, at);
                complaints.push(format!("{path}:{line}: `{way}`; open it by `corpus::Input`"));
            }
        }
    }
    complaints
}

#[test]
fn files_are_opened_by_one_door() {
    assert_none(opened_elsewhere(&Repo::here()));
    for (path, _) in MAY_OPEN {
        let text = Repo::here().get(path).map(code_of).unwrap_or_default();
        assert!(WAYS.iter().any(|way| text.contains(way)), "{path} opens nothing: take it off");
    }
}

#[test]
fn catches_other_doors() {
    let check = |path: &str, text: &str| opened_elsewhere(&Repo::of(&[(path, text)]));
    let path = "crates/app/src/cli/a.rs";
    for way in
        ["std::fs::read(p)", "fs::read_to_string(p)", "std::fs::File::open(p)", "File::open(p)"]
    {
        assert_caught(&check(path, &format!("fn f() {{\n{way}; }}\n")), "a.rs:2");
    }
    assert_none(check(path, "fn f() { TokenFile::open(p); fs::read_dir(p); }\n"));
    assert_none(check(path, "#[cfg(test)]\nmod tests { fn f() { fs::read(p); } }\n"));
    assert_none(check("crates/app/tests/it/a.rs", "fn f() { fs::read(p); }\n"));
    assert_none(check(MAY_OPEN[0].0, "fn f() { File::open(p); }\n"));
}
