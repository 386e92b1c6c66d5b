//! Regular English inflection of nouns, names and verbs.

/// Whether `word` ends in a consonant and "y", which turns into "i" before most endings.
fn ends_in_consonant_y(word: &str) -> bool {
    let mut back = word.chars().rev();
    back.next() == Some('y') && back.next().is_some_and(|c| !"aeiou".contains(c))
}

fn ends_in_any(word: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| word.ends_with(ending))
}

/// "foxes", "berries", "dogs".
pub fn plural(noun: &str) -> String {
    if ends_in_consonant_y(noun) {
        format!("{}ies", &noun[..noun.len() - 1])
    } else if ends_in_any(noun, &["s", "x", "z", "ch", "sh"]) {
        format!("{noun}es")
    } else {
        format!("{noun}s")
    }
}

/// "the fox's".
pub fn genitive(noun: &str) -> String {
    format!("{noun}'s")
}

/// "goes", "hurries", "walks", "coos".
pub fn third_person(verb: &str) -> String {
    if verb.ends_with('o') && !verb.ends_with("oo") { format!("{verb}es") } else { plural(verb) }
}

/// "hopped" (where `doubles`), "hurried", "danced", "walked".
pub fn past(verb: &str, doubles: bool) -> String {
    if doubles {
        format!("{}ed", doubled(verb))
    } else if ends_in_consonant_y(verb) {
        format!("{}ied", &verb[..verb.len() - 1])
    } else if verb.ends_with('e') {
        format!("{verb}d")
    } else {
        format!("{verb}ed")
    }
}

/// "hopping" (where `doubles`), "dancing", "seeing", "walking".
pub fn gerund(verb: &str, doubles: bool) -> String {
    if doubles {
        format!("{}ing", doubled(verb))
    } else if verb.ends_with('e') && !ends_in_any(verb, &["ee", "oe", "ye"]) {
        format!("{}ing", &verb[..verb.len() - 1])
    } else {
        format!("{verb}ing")
    }
}

fn doubled(verb: &str) -> String {
    let last = verb.chars().next_back().map(String::from).unwrap_or_default();
    format!("{verb}{last}")
}

#[cfg(test)]
#[path = "inflect_tests.rs"]
mod tests;
