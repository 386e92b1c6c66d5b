//! Errors: rule that the libraries name no flag and no command, and that `docs/errors.md` lists
//! the codes of their errors.

use crate::tidy::repo::{Repo, assert_caught, assert_none};
use crate::tidy::rust_text::without_comments;
use std::collections::BTreeSet;

/// Crates that any front end may use.
const FOLDERS: [&str; 2] = ["crates/engine/src/", "crates/text/src/"];
const PAGE: &str = "docs/errors.md";

fn sources(repo: &Repo) -> impl Iterator<Item = (&str, String)> {
    let files = repo.rust_files();
    let files = files.filter(|(path, _)| FOLDERS.iter().any(|folder| path.starts_with(folder)));
    files.map(|(path, text)| (path, without_comments(text)))
}

/// Whether the line has `--` before a letter and not after one, as in flags.
fn names_flag(line: &str) -> bool {
    line.match_indices("--").any(|(at, _)| {
        let after = line[at + 2..].chars().next();
        let before = line[..at].chars().next_back();
        after.is_some_and(|c| c.is_ascii_lowercase())
            && !before.is_some_and(|c| c.is_alphanumeric() || c == '-')
    })
}

fn words_of_the_command_line(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in sources(repo) {
        for (i, line) in text.lines().enumerate() {
            if names_flag(line) || line.contains("`crystalline ") {
                complaints.push(format!("{path}:{}: say it in `cli/remedies.rs`", i + 1));
            }
        }
    }
    complaints
}

/// The codes in the bodies of `fn code`.
fn codes(repo: &Repo) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (_, text) in sources(repo) {
        for body in text.split("pub fn code(&self) -> &'static str {").skip(1) {
            let end = body.find("\n    }\n").unwrap_or(body.len());
            codes.extend(body[..end].split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    codes
}

fn differences(repo: &Repo) -> Vec<String> {
    let page = repo.get(PAGE).unwrap_or_default();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<String> = rows.map(str::to_owned).collect();
    let codes = codes(repo);
    let missing = codes.difference(&listed).map(|code| format!("{PAGE}: lacks `{code}`"));
    let gone = listed.difference(&codes).map(|code| format!("{PAGE}: no error has `{code}`"));
    missing.chain(gone).collect()
}

#[test]
fn libraries_name_no_flag_and_no_command() {
    assert_none(words_of_the_command_line(&Repo::here()));
}

#[test]
fn the_page_lists_the_codes_of_all_errors() {
    assert!(codes(&Repo::here()).len() > 40);
    assert_none(differences(&Repo::here()));
}

#[test]
fn catches_flags_and_commands() {
    let check = |path, text| words_of_the_command_line(&Repo::of(&[(path, text)]));
    let path = "crates/engine/src/a.rs";
    assert_none(check(path, "// try --lr, or `crystalline resume`\nlet a = 1 - -1; // --x\n"));
    assert_none(check(path, "/// `crystalline train --head full`\nconst A: &str = \"a -- b\";\n"));
    assert_none(check("crates/app/src/a.rs", "const A: &str = \"--lr\";\n"));
    assert_caught(&check(path, "\n#[error(\"try a lower --lr\")]\n"), "a.rs:2: say it in");
    let command = "const A: &str = \"see `crystalline resume`\";\n";
    assert_caught(&check("crates/text/src/a.rs", command), "a.rs:1: say it in");
}

#[test]
fn catches_codes_without_a_row_and_rows_without_a_code() {
    let source = "    pub fn code(&self) -> &'static str {\n        \"run-exists\"\n    }\n";
    let check = |page| differences(&Repo::of(&[(PAGE, page), ("crates/text/src/a.rs", source)]));
    assert_none(check("| `run-exists` | 2 | x |\n"));
    assert_caught(&check(""), "lacks `run-exists`");
    assert_caught(&check("| `run-exists` | 2 | x |\n| `no-run` | 1 | x |\n"), "no error has");
}
