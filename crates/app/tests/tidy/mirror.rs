//! Mirror: rule that each step `// F7` of the forward pass has its `// B7`, and backward runs in
//! reverse order.

use crate::repo::{Repo, assert_caught, assert_none};

const FORWARD: &str = "crates/engine/src/model/forward.rs";
const BACKWARD: &str = "crates/engine/src/model/backward.rs";
/// Once there is a step that trains, there are two passes.
const STEP: &str = "crates/engine/src/train/step.rs";

fn broken_mirror(repo: &Repo) -> Vec<String> {
    let (forward, backward) = match (repo.get(FORWARD), repo.get(BACKWARD)) {
        (Some(forward), Some(backward)) => (labels(forward, 'F'), labels(backward, 'B')),
        (None, None) if repo.get(STEP).is_none() => return Vec::new(),
        _ => return vec![format!("{FORWARD} and {BACKWARD} must both be there")],
    };
    if forward.is_empty() {
        return vec![format!("{FORWARD}: no line is labelled `// F1 ...`")];
    }
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|label| !b.contains(label)).cloned().collect()
    };
    let mut complaints = Vec::new();
    for label in only(&forward, &backward) {
        complaints.push(format!("{FORWARD}: F{label} has no B{label} in backward.rs"));
    }
    for label in only(&backward, &forward) {
        complaints.push(format!("{BACKWARD}: B{label} has no F{label} in forward.rs"));
    }
    for (path, labels) in [(FORWARD, &forward), (BACKWARD, &backward)] {
        for (_, label) in labels.iter().enumerate().filter(|(i, l)| labels[..*i].contains(l)) {
            complaints.push(format!("{path}: label {label} was used before"));
        }
    }
    if complaints.is_empty() && !backward.iter().eq(forward.iter().rev()) {
        complaints.push(format!(
            "{BACKWARD}: the order B{} is not the reverse of F{}",
            backward.join(" B"),
            forward.join(" F")
        ));
    }
    complaints
}

/// What follows the letter in comments like `// F7 gated mlp`, in the order of lines.
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
fn backward_mirrors_forward() {
    assert_none(broken_mirror(&Repo::here()));
}

#[test]
fn catches_a_broken_mirror() {
    let check =
        |forward, backward| broken_mirror(&Repo::of(&[(FORWARD, forward), (BACKWARD, backward)]));
    let forward =
        "//! F0 is prose.\n// F1 embed\n/// F9 too\nf(); // F2a norm\n// Fine\n// F3 mlp\n";
    assert_eq!(labels(forward, 'F'), ["1", "2a", "3"]);
    assert_none(check(forward, "// B3 mlp\n// B2a norm\n// B1 embed\n"));
    assert_caught(&check(forward, "// B3\n// B1\n"), "F2a has no B2a");
    assert_caught(&check(forward, "// B4\n// B3\n// B2a\n// B1\n"), "B4 has no F4");
    assert_caught(&check(forward, "// B3\n// B2a\n// B1\n// B1\n"), "label 1 was used before");
    assert_caught(&check(forward, "// B1\n// B2a\n// B3\n"), "is not the reverse");
    assert_caught(&check("//! Nothing labelled.\n", "// B1\n"), "no line is labelled");
}

#[test]
fn catches_a_missing_pass() {
    assert_none(broken_mirror(&Repo::of(&[])));
    assert_caught(&broken_mirror(&Repo::of(&[(FORWARD, "// F1\n")])), "must both be there");
    assert_caught(&broken_mirror(&Repo::of(&[(STEP, "")])), "must both be there");
}
