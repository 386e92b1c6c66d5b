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

/// "goes", "hurries", "walks".
pub fn third_person(verb: &str) -> String {
    if verb.ends_with('o') { format!("{verb}es") } else { plural(verb) }
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
mod tests {
    use super::*;

    #[test]
    fn forms_are_spelled_as_in_a_dictionary() {
        for (noun, expected) in [
            ("dog", "dogs"),
            ("fox", "foxes"),
            ("bush", "bushes"),
            ("berry", "berries"),
            ("monkey", "monkeys"),
            ("finch", "finches"),
        ] {
            assert_eq!(plural(noun), expected);
        }
        for (verb, doubles, third, past_form, ing) in [
            ("walk", false, "walks", "walked", "walking"),
            ("hop", true, "hops", "hopped", "hopping"),
            ("hurry", false, "hurries", "hurried", "hurrying"),
            ("play", false, "plays", "played", "playing"),
            ("dance", false, "dances", "danced", "dancing"),
            ("go", false, "goes", "goed", "going"),
            ("see", false, "sees", "seed", "seeing"),
            ("tiptoe", false, "tiptoes", "tiptoed", "tiptoeing"),
            ("wash", false, "washes", "washed", "washing"),
        ] {
            let forms = (third_person(verb), past(verb, doubles), gerund(verb, doubles));
            assert_eq!(forms, (third.into(), past_form.into(), ing.into()));
        }
        assert_eq!(genitive("Mia"), "Mia's");
    }
}
