//! Mirror: rule that each step `// F7` of the forward pass has its `// B7`, in reverse order, and
//! that decoding has the same steps in the same order as forward.

use crate::tidy::repo::{Repo, assert_caught, assert_none};

const FORWARD: &str = "crates/engine/src/model/forward.rs";
const BACKWARD: &str = "crates/engine/src/model/backward.rs";
const DECODE: &str = "crates/engine/src/model/decode.rs";
/// The passes must exist if this file does.
const STEP: &str = "crates/engine/src/train/step.rs";

fn broken_mirror(repo: &Repo) -> Vec<String> {
    let passes = [(FORWARD, 'F'), (BACKWARD, 'B'), (DECODE, 'F')];
    let lists = passes.map(|(path, letter)| repo.get(path).map(|source| labels(source, letter)));
    let [forward, backward, decode] = match lists {
        [Some(forward), Some(backward), Some(decode)] => [forward, backward, decode],
        [None, None, None] if repo.get(STEP).is_none() => return Vec::new(),
        _ => return vec![format!("{FORWARD}, {BACKWARD} and {DECODE} must all be there")],
    };
    if forward.is_empty() {
        return vec![format!("{FORWARD}: no line is labelled `// F1 ...`")];
    }
    let mut complaints = Vec::new();
    for (path, labels) in [(FORWARD, &forward), (BACKWARD, &backward), (DECODE, &decode)] {
        for (_, label) in labels.iter().enumerate().filter(|(i, l)| labels[..*i].contains(l)) {
            complaints.push(format!("{path}: label {label} was used before"));
        }
    }
    if !complaints.is_empty() {
        return complaints;
    }
    let reversed: Vec<String> = forward.iter().rev().cloned().collect();
    complaints.extend(differences(&forward, BACKWARD, 'B', &backward, &reversed));
    complaints.extend(differences(&forward, DECODE, 'F', &decode, &forward));
    complaints
}

/// Differences of the labels of `path` from those of the forward pass, or else from the expected
/// order.
fn differences(
    forward: &[String],
    path: &str,
    letter: char,
    found: &[String],
    expected: &[String],
) -> Vec<String> {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|label| !b.contains(label)).cloned().collect()
    };
    let missing = only(forward, found);
    let missing = missing.iter().map(|l| format!("{FORWARD}: F{l} has no {letter}{l} in {path}"));
    let extra = only(found, forward);
    let extra = extra.iter().map(|l| format!("{path}: {letter}{l} has no F{l} in forward.rs"));
    let complaints: Vec<String> = missing.chain(extra).collect();
    if !complaints.is_empty() || found == expected {
        return complaints;
    }
    let list = |labels: &[String]| labels.join(&format!(" {letter}"));
    let (found, expected) = (list(found), list(expected));
    vec![format!("{path}: the order is {letter}{found}, not {letter}{expected}")]
}

/// Labels after the letter in comments like `// F7 gated mlp`, in the order of lines.
fn labels(source: &str, letter: char) -> Vec<String> {
    let mark = format!("// {letter}");
    let mut labels = Vec::new();
    for line in source.lines() {
        let Some(at) = line.find(&mark).filter(|at| !line[..*at].ends_with('/')) else { continue };
        let after = &line[at + mark.len()..];
        let label: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
        if label.starts_with(|c: char| c.is_ascii_digit()) {
            labels.push(label);
        }
    }
    labels
}

#[test]
fn the_passes_mirror_each_other() {
    assert_none(broken_mirror(&Repo::here()));
}

#[test]
fn catches_a_broken_mirror() {
    let check_all = |forward, backward, decode| {
        broken_mirror(&Repo::of(&[(FORWARD, forward), (BACKWARD, backward), (DECODE, decode)]))
    };
    let forward =
        "//! F0 is prose.\n// F1 embed\n/// F9 too\nf(); // F2a norm\n// Fine\n// F3 mlp\n";
    let check = |backward| check_all(forward, backward, "// F1\n// F2a\n// F3\n");
    assert_eq!(labels(forward, 'F'), ["1", "2a", "3"]);
    assert_none(check("// B3 mlp\n// B2a norm\n// B1 embed\n"));
    assert_caught(&check("// B3\n// B1\n"), "F2a has no B2a");
    assert_caught(&check("// B4\n// B3\n// B2a\n// B1\n"), "B4 has no F4");
    assert_caught(&check("// B3\n// B2a\n// B1\n// B1\n"), "label 1 was used before");
    assert_caught(&check("// B1\n// B2a\n// B3\n"), "the order is B1 B2a B3, not B3 B2a B1");
    let nothing = "//! Nothing labelled.\n";
    assert_caught(&check_all(nothing, "// B1\n", "// F1\n"), "no line is labelled");

    let check = |decode| check_all(forward, "// B3\n// B2a\n// B1\n", decode);
    assert_caught(&check("// F1\n// F3\n"), "F2a has no F2a in crates/engine/src/model/decode.rs");
    assert_caught(&check("// F1\n// F2a\n// F3\n// F4\n"), "F4 has no F4");
    assert_caught(&check("// F1\n// F2a\n// F2a\n// F3\n"), "label 2a was used before");
    assert_caught(&check("// F2a\n// F1\n// F3\n"), "the order is F2a F1 F3, not F1 F2a F3");
}

#[test]
fn catches_a_missing_pass() {
    assert_none(broken_mirror(&Repo::of(&[])));
    assert_caught(&broken_mirror(&Repo::of(&[(FORWARD, "// F1\n")])), "must all be there");
    let two = Repo::of(&[(FORWARD, "// F1\n"), (BACKWARD, "// B1\n")]);
    assert_caught(&broken_mirror(&two), "must all be there");
    assert_caught(&broken_mirror(&Repo::of(&[(STEP, "")])), "must all be there");
}
