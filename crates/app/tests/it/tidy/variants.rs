//! Variants of an option: rule that they are named in its own folder and one settings file only.

use crate::tidy::repo::{Repo, assert_caught, assert_none};
use crate::tidy::rust_text::{code_of, line_of, test_items};

/// An option: its enums, the folder that knows its variants, and the file that resolves settings.
struct Choice {
    enums: &'static [&'static str],
    folder: &'static str,
    settings: &'static str,
}

const CHOICES: [Choice; 4] = [
    Choice {
        enums: &["HeadConfig", "HeadName"],
        folder: "crates/engine/src/head/",
        settings: "crates/engine/src/train/run/vocabulary.rs",
    },
    Choice {
        enums: &["RowUpdates"],
        folder: "crates/engine/src/train/optim/adamw/",
        settings: "crates/engine/src/train/run/check.rs",
    },
    Choice {
        enums: &["ClassMethod"],
        folder: "crates/text/src/vocab/classes/",
        settings: "crates/engine/src/train/run/vocabulary.rs",
    },
    Choice {
        enums: &["TokenOrder"],
        folder: "crates/text/src/vocab/order/",
        settings: "crates/engine/src/train/run/vocabulary.rs",
    },
];

/// Code outside tests that names a variant (`Enum::Variant`) outside the permitted files.
fn named_elsewhere(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in repo.program_files() {
        let code = code_of(text);
        let tests = test_items(&code);
        for choice in &CHOICES {
            if path.starts_with(choice.folder) || path == choice.settings {
                continue;
            }
            for name in choice.enums {
                for at in variants_of(&code, name) {
                    if !tests.iter().any(|span| span.contains(&at)) {
                        let (line, folder) = (line_of(&code, at), choice.folder);
                        complaints.push(format!(
                            "{path}:{line}: names a variant of `{name}`; ask {folder} instead"
                        ));
                    }
                }
            }
        }
    }
    complaints
}

/// Positions of `name::` before a variant: a capital and a small letter, unlike a constant.
fn variants_of<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let is_whole = !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let mut rest = code[*at + name.len()..].chars();
        let is_path = rest.next() == Some(':') && rest.next() == Some(':');
        let is_variant = rest.next().is_some_and(char::is_uppercase)
            && rest.next().is_some_and(char::is_lowercase);
        is_whole && is_path && is_variant
    })
}

/// Modes that types should distinguish, instead of an `expect` that excludes them.
const MODES: [&str; 9] = [
    "factored",
    "adaptive",
    "sampled",
    "output layer",
    "composer",
    "composed",
    "n-gram",
    "lazy",
    "dense",
];

/// Lines with an `expect` or `unreachable!` whose text names a mode.
fn modes_expected(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in repo.program_files() {
        let code = code_of(text);
        let tests = test_items(&code);
        let mut start = 0;
        for (line, code_line) in text.split_inclusive('\n').zip(code.split_inclusive('\n')) {
            let calls = [".expect(", "unreachable!(", "panic!("];
            let is_call = calls.iter().any(|call| code_line.contains(call));
            let said = line.to_lowercase();
            let mode = MODES.iter().find(|mode| said.contains(*mode));
            if let (true, Some(mode)) = (is_call, mode)
                && !tests.iter().any(|span| span.contains(&start))
            {
                let n = line_of(&code, start);
                complaints.push(format!("{path}:{n}: \"{mode}\" in a panic: make it a type"));
            }
            start += code_line.len();
        }
    }
    complaints
}

#[test]
fn options_live_in_one_folder() {
    assert_none(named_elsewhere(&Repo::here()));
    assert_none(modes_expected(&Repo::here()));
}

#[test]
fn catches_a_variant_elsewhere() {
    let check = |path: &str, text: &str| named_elsewhere(&Repo::of(&[(path, text)]));
    let text = "fn f() { g(HeadConfig::Full) }\n";
    for path in [CHOICES[0].settings, "crates/engine/src/head/full.rs", "crates/a/tests/x.rs"] {
        assert_none(check(path, text));
    }
    assert_caught(&check("crates/app/src/a.rs", text), "a.rs:1: names a variant of `HeadConfig`");
    assert_caught(&check("crates/engine/src/a.rs", "\nx == RowUpdates::Lazy\n"), "a.rs:2");
    assert_none(check(
        "crates/app/src/a.rs",
        "HeadName::ALL; HeadConfig::default(); // HeadName::Full",
    ));
    assert_none(check(
        "crates/app/src/a.rs",
        "#[cfg(test)]\nmod tests { fn f() { HeadName::Full } }\n",
    ));
    assert_none(check("crates/app/src/a.rs", "MyHeadName::Full; ThreadName::Other"));
}

#[test]
fn catches_a_mode_in_a_panic() {
    let check = |text: &str| modes_expected(&Repo::of(&[("crates/engine/src/a.rs", text)]));
    assert_none(check("x.expect(\"the table gives every tensor a place\");\n"));
    assert_none(check("// unreachable!(\"the layer is factored\")\n"));
    assert_caught(&check("\nx.expect(\"the layer is factored\");\n"), "a.rs:2");
    assert_caught(&check("unreachable!(\"an adaptive layer\")\n"), "adaptive");
}
