//! Spelling tests: the forms of every word of the stories, by the rules of a dictionary.

use super::*;
use crate::stories::GRAMMAR;
use crate::stories::lexicon::Class;

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

/// The forms of every word in a class of verbs (true) or nouns.
fn words(are_verbs: bool) -> Vec<Vec<String>> {
    let wanted = if are_verbs { "past" } else { "p" };
    let classes = GRAMMAR.lexicon.classes.iter().filter(|class| class.form(wanted).is_some());
    let forms = |class: &'static Class, word| {
        (0..class.n_forms()).map(|form| class.spelling(word, form).to_owned()).collect()
    };
    classes.flat_map(|class| (0..class.n_words()).map(move |word| forms(class, word))).collect()
}

/// The forms of a word of the stories.
#[track_caller]
fn forms_of(base: &str, are_verbs: bool) -> Vec<String> {
    let found = words(are_verbs).into_iter().find(|forms| forms[0] == base);
    found.unwrap_or_else(|| panic!("no {base} among the words"))
}

#[test]
fn tricky_words_are_right() {
    for (verb, expected) in [
        ("admit", "admits admitted admitted admitting"),
        ("skip", "skips skipped skipped skipping"),
        ("visit", "visits visited visited visiting"),
        ("travel", "travels travelled travelled travelling"),
        ("gallop", "gallops galloped galloped galloping"),
        ("whisper", "whispers whispered whispered whispering"),
        ("deliver", "delivers delivered delivered delivering"),
        ("agree", "agrees agreed agreed agreeing"),
        ("tiptoe", "tiptoes tiptoed tiptoed tiptoeing"),
        ("curtsy", "curtsies curtsied curtsied curtsying"),
        ("enjoy", "enjoys enjoyed enjoyed enjoying"),
        ("guess", "guesses guessed guessed guessing"),
        ("fix", "fixes fixed fixed fixing"),
        ("go", "goes went gone going"),
        ("dig", "digs dug dug digging"),
        ("split", "splits split split splitting"),
        ("write", "writes wrote written writing"),
        ("coo", "coos cooed cooed cooing"),
    ] {
        assert_eq!(forms_of(verb, true)[1..].join(" "), expected, "{verb}");
    }
    for (noun, expected) in [
        ("crossroads", "crossroads"),
        ("headscarf", "headscarves"),
        ("handkerchief", "handkerchiefs"),
        ("werewolf", "werewolves"),
        ("trout", "trout"),
        ("potato", "potatoes"),
        ("piano", "pianos"),
        ("mouse", "mice"),
        ("postman", "postmen"),
        ("monkey", "monkeys"),
        ("monastery", "monasteries"),
        ("compass", "compasses"),
        ("atlas", "atlases"),
        ("ostrich", "ostriches"),
    ] {
        assert_eq!(forms_of(noun, false)[1], expected, "{noun}");
    }
}

/// Verbs of several syllables that end in a vowel and a consonant and do not double it, since the last
/// syllable is not stressed. One that is in neither list is to be looked up.
const UNSTRESSED: &str = "answer chatter deliver flutter gallop gather glimmer glisten glitter hasten \
    meander murmur mutter offer patter pocket remember saunter scamper season shatter shelter shiver \
    shudder snigger titter twitter visit wander water whimper whisper wonder";
/// Those that double it.
const STRESSED: &str = "admit travel";

/// What is wrong with the doubling of a verb's last letter, if anything.
fn doubling_fault(forms: &[String]) -> Option<String> {
    let (base, ing) = (&forms[0], &forms[4]);
    let is_vowel = |c: char| "aeiou".contains(c);
    let mut back = base.chars().rev();
    let [last, vowel, before] = [(); 3].map(|()| back.next().unwrap_or('-'));
    let is_short = !is_vowel(last) && !"wxy".contains(last) && is_vowel(vowel) && !is_vowel(before);
    let n_syllables =
        base.split(|c: char| !is_vowel(c) && c != 'y').filter(|group| !group.is_empty()).count();
    let is_in = |list: &str| list.split_whitespace().any(|word| word == base);
    let doubles = match (is_short, n_syllables) {
        (true, 1) => true,
        (true, _) if is_in(STRESSED) => true,
        (true, _) if is_in(UNSTRESSED) => false,
        (true, _) => return Some(format!("{base}: in neither list")),
        _ => false,
    };
    let is_doubled = *ing == format!("{base}{last}ing");
    (is_doubled != doubles).then(|| format!("{base}: {ing}"))
}

#[test]
fn last_letters_are_doubled_by_rule() {
    let verbs = words(true);
    assert!(verbs.len() > 300, "{}", verbs.len());
    assert_eq!(verbs.iter().find_map(|forms| doubling_fault(forms)), None);
    let fault = |forms: &str| {
        doubling_fault(&forms.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_some()
    };
    assert!(fault("admit admits admited admited admiting"));
    assert!(fault("stop stops stoped stoped stoping"));
    assert!(fault("visit visits visitted visitted visitting"));
    assert!(fault("commit commits committed committed committing"), "is in neither list");
    assert!(!fault("stop stops stopped stopped stopping"));
    assert!(!fault("enjoy enjoys enjoyed enjoyed enjoying"));
}

/// Endings that no form of a word has, but for a few words.
#[test]
fn no_form_ends_as_no_word_does() {
    let right = ["agreed", "handkerchiefs", "kerchiefs", "roofs"];
    for form in words(true).into_iter().chain(words(false)).flat_map(|forms| forms[1..].to_vec()) {
        let ends = |ends: &[&str]| ends.iter().any(|end| form.ends_with(end));
        let before_y = form.strip_suffix("yed").and_then(|stem| stem.chars().next_back());
        let is_bad = ends(&["sss", "chs", "shs", "xs", "zs", "eed"])
            || (ends(&["eing"]) && !ends(&["eeing", "oeing"]))
            || (ends(&["fs"]) && !ends(&["ffs"]))
            || before_y.is_some_and(|c| !"aeiou".contains(c));
        assert!(!is_bad || right.contains(&&*form), "{form}");
    }
}

#[test]
fn an_stands_before_the_sound_of_a_vowel() {
    use crate::stories::surface::Printer;
    for (word, expected) in [
        ("umbrella", "An umbrella"),
        ("ukulele", "A ukulele"),
        ("eucalyptus", "A eucalyptus"),
        ("ewe", "A ewe"),
        ("owl", "An owl"),
        ("hour", "An hour"),
        ("honest", "An honest"),
        ("house", "A house"),
        ("useful", "A useful"),
        ("unhappy", "An unhappy"),
        ("yellow", "A yellow"),
        ("oboe", "An oboe"),
    ] {
        let mut printer = Printer::default();
        printer.begin_sentence();
        ["a", word].iter().for_each(|token| printer.token(token));
        assert_eq!(printer.text, expected);
    }
    // Letters that often begin another sound: a new word of these is to be looked up.
    let known = "ewe eucalyptus one umbrella uncle ugly unhappy upset uneasy untroubled unwell \
        unfinished unkind up upon us until under useful upstairs underground usually used";
    let all = GRAMMAR.lexicon.classes.iter().flat_map(|class| class.spellings(0));
    for word in all.filter(|word| word.starts_with(char::is_lowercase)) {
        let is_doubtful = ["eu", "ew", "u", "one", "ho", "he"].iter().any(|s| word.starts_with(s));
        let is_h = word.starts_with('h');
        let is_known = known.split_whitespace().any(|other| other == word);
        let silent_h = ["hour", "honest", "heir", "honour"].iter().any(|s| word.starts_with(s));
        if is_h {
            assert!(
                !silent_h || ["hour", "honest", "honestly", "honesty"].contains(&word),
                "{word}"
            );
        } else {
            assert!(!is_doubtful || is_known, "{word}: a or an?");
        }
    }
}
