//! Lines and templates of the grammar files: continued lines joined, templates expanded.

use super::grammar::{Grammar, Kind};
use super::reader::GrammarRule;

/// The files' lines without comments, each joined with the lines that continue it. A blank line,
/// which ends a template, stays as an empty one.
pub fn logical_lines(files: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in files.iter().flat_map(|file| file.lines().chain([""])) {
        let is_continued = line.starts_with(' ') && !line.trim().is_empty();
        match lines.last_mut() {
            _ if line.starts_with('#') => (),
            Some(last) if is_continued => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push(line.trim().to_owned()),
        }
    }
    lines
}

/// The rules among the lines, once for each type that a template is for.
pub fn rules(lines: &[String], grammar: &Grammar) -> Vec<GrammarRule> {
    let mut rules = Vec::new();
    let mut types = Vec::new();
    for line in lines {
        if line.is_empty() {
            types.clear();
        } else if let Some(names) = line.strip_prefix("forms ") {
            types = names.split_whitespace().collect();
        } else if types.is_empty() {
            rules.extend(rule(line, &[], grammar));
        } else {
            for type_name in &types {
                let kinds = kinds_of_type(type_name, grammar);
                rules.extend(rule(&line.replace("$T", type_name), &kinds, grammar));
            }
        }
    }
    rules
}

/// All kinds by which roles of the type may be filled.
fn kinds_of_type<'g>(type_name: &str, grammar: &'g Grammar) -> Vec<&'g Kind> {
    let roles = grammar.roles.iter().filter(|role| role.type_name == type_name);
    let mut kinds: Vec<u16> = roles.flat_map(|role| role.kinds.iter().copied()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().map(|kind| &grammar.kinds[usize::from(kind)]).collect()
}

/// The rule on a line, unless the line declares something else.
fn rule(line: &str, kinds: &[&Kind], grammar: &Grammar) -> Option<GrammarRule> {
    let (name, body) = line.split_once(" = ")?;
    let (name, is_sentence) =
        name.strip_prefix("sentence ").map_or((name, false), |name| (name, true));
    if name.contains(' ') {
        return None;
    }
    let class = |class: u16| grammar.lexicon.classes[usize::from(class)].name;
    let mut alternatives = Vec::new();
    for tokens in body.split_whitespace().collect::<Vec<_>>().split(|token| *token == "|") {
        let text = tokens.join(" ");
        let cut = |text: &str| text.split(' ').map(str::to_owned).collect();
        if text.contains("$k") {
            for kind in kinds {
                let text = text.replace("$look", kind.look.map_or("", class));
                alternatives.push(cut(&text.replace("$k", class(kind.class))));
            }
        } else {
            alternatives.push(cut(&text));
        }
    }
    Some(GrammarRule { name: name.into(), is_sentence, alternatives })
}
