//! Story tests: stories are grammatical, coherent, varied and reproducible.

use super::*;
use rustc_hash::{FxHashMap, FxHashSet};

/// Sentences of the first `n` stories of a seed.
fn sentences(seed: u64, n: usize) -> Vec<String> {
    let stories: Vec<String> = generate(seed).take(n).collect();
    stories.iter().flat_map(|story| split_sentences(story)).map(str::to_owned).collect()
}

#[test]
fn ten_thousand_stories_parse_and_hardly_repeat_a_sentence() {
    let sentences = sentences(1, 10_000);
    let mut words: FxHashMap<String, usize> = FxHashMap::default();
    let mut n_tokens = 0;
    for sentence in &sentences {
        assert_eq!(parse_sentence(sentence), Ok(()), "{sentence}");
        for (token, _) in surface::tokens(sentence) {
            n_tokens += 1;
            if token.starts_with(char::is_alphabetic) {
                *words.entry(token.to_lowercase()).or_default() += 1;
            }
        }
    }
    let distinct = sentences.iter().collect::<FxHashSet<_>>().len();
    let (share, length) =
        (distinct as f64 / sentences.len() as f64, n_tokens as f64 / sentences.len() as f64);
    assert!(share >= 0.95, "{share} of the sentences are distinct");
    assert!(words.len() >= 3000, "{} distinct words", words.len());
    assert!((8.0..=15.0).contains(&length), "{length} tokens a sentence");
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let mut text = Vec::new();
    write_corpus(1_000_000, 42, 1, &mut text, &mut |_| true).unwrap();
    let hash = blake3::hash(&text).to_hex();
    assert_eq!(&hash[..32], "639745683c0f9e15274a1f816110e30e");
    assert_ne!(story(42, 0), story(43, 0));
    assert_eq!(generate(42).nth(17), Some(story(42, 17)));
}

#[test]
fn a_corpus_is_whole_stories_with_a_blank_line_between() {
    for size in [0, 1, 1000, 20_000] {
        let mut text = Vec::new();
        let n_written = write_corpus(size, 5, 3, &mut text, &mut |_| true).unwrap();
        assert_eq!(n_written, text.len() as u64);
        assert!(n_written >= size);
        let text = String::from_utf8(text).unwrap();
        let stories: Vec<&str> = text.split("\n\n").map(|s| s.trim_end_matches('\n')).collect();
        if size > 0 {
            let expected: Vec<String> = generate(5).take(stories.len()).collect();
            assert_eq!(stories, expected);
            assert!(n_written < size + 10_000, "stops after the story that fills it");
        }
    }
}

#[test]
fn stories_are_paragraphs_of_plain_text() {
    for story in generate(2).take(500) {
        assert!(story.lines().count() >= 3 && story.len() > 300, "{story}");
        for paragraph in story.lines() {
            assert_eq!(paragraph.trim(), paragraph);
            assert!(!paragraph.is_empty() && !paragraph.contains("  "), "{paragraph:?}");
            assert_eq!(paragraph.matches('"').count() % 2, 0, "{paragraph}");
            assert!(paragraph.ends_with(['.', '!', '?', '"']), "{paragraph}");
        }
    }
}

/// "He" and "she" refer only to somebody mentioned before.
#[test]
fn pronouns_refer_to_somebody_mentioned_before() {
    let class = |name: &str| {
        let class = &GRAMMAR.lexicon.classes[GRAMMAR.lexicon.class(name).unwrap()];
        class.spellings(0).map(str::to_owned).collect::<FxHashSet<String>>()
    };
    let (boys, girls, jobs) = (class("boy"), class("girl"), class("job"));
    let mut n_pronouns = 0;
    for story in generate(3).take(1000) {
        let (mut is_he_known, mut is_she_known) = (false, false);
        for (token, _) in split_sentences(&story).iter().flat_map(|s| surface::tokens(s)) {
            is_he_known |= boys.contains(token) || jobs.contains(token);
            is_she_known |= girls.contains(token) || jobs.contains(token);
            match token {
                "he" | "He" => assert!(is_he_known, "{story}"),
                "she" | "She" => assert!(is_she_known, "{story}"),
                _ => continue,
            }
            n_pronouns += 1;
        }
    }
    assert!(n_pronouns > 1000, "{n_pronouns}");
}

/// A story finds exactly the thing that it says was lost.
#[test]
fn what_was_lost_is_found() {
    let mut n_found = 0;
    for (story, who) in generate(4).take(4000).flat_map(|s| [(s.clone(), "he"), (s, "she")]) {
        let owner = if who == "he" { "his" } else { "her" };
        let thing_after = |verb: &str| {
            let rest = story.split(&format!(" because {who} had {verb} {owner} ")).nth(1)?;
            Some(rest.split([' ', '.', ',']).find(|word| !word.is_empty())?.to_owned())
        };
        if let (Some(lost), Some(found)) = (thing_after("lost"), thing_after("found")) {
            // The first word may be the look on one side and the noun on the other.
            let is_same = story.contains(&format!("{lost} {found}"))
                || story.contains(&format!("{found} {lost}"))
                || lost == found;
            assert!(is_same, "lost {lost}, found {found}:\n{story}");
            n_found += 1;
        }
    }
    assert!(n_found > 5, "{n_found}");
}

/// Replaces every occurrence of `from` in the token sequences of real sentences. Returns the number
/// of such sentences, and the number that still parsed.
fn replace_everywhere(sentences: &[String], from: &[&str], to: &[&str]) -> (usize, usize) {
    let (from, to) = (from.join(" "), to.join(" "));
    let broken: Vec<String> = sentences
        .iter()
        .filter(|sentence| sentence.contains(&from))
        .map(|sentence| sentence.replacen(&from, &to, 1))
        .collect();
    let n_parsed = broken.iter().filter(|sentence| parse_sentence(sentence).is_ok()).count();
    (broken.len(), n_parsed)
}

#[test]
fn planted_mistakes_are_refused() {
    let sentences = sentences(6, 20_000);
    let mistakes: [(&[&str], &[&str]); 14] = [
        (&["She", "was"], &["She", "were"]),
        (&["He", "was"], &["He", "were"]),
        (&["They", "were"], &["They", "was"]),
        (&["because", "he", "had"], &["because", "him", "had"]),
        (&["because", "she", "had"], &["because", "her", "had"]),
        (&[" I am "], &[" I are "]),
        (&[" a "], &[" an "]),
        (&[" an "], &[" a "]),
        (&[" the "], &[" the the "]),
        (&[" and "], &[" of "]),
        (&["boy", "named"], &["girl", "named"]),
        (&["girl", "named"], &["boy", "named"]),
        (&["you", "are"], &["you", "is"]),
        (&["named"], &["name"]),
    ];
    for (from, to) in mistakes {
        let (n, n_parsed) = replace_everywhere(&sentences, from, to);
        assert!(n >= 20, "{from:?} stands in {n} sentences");
        assert_eq!(n_parsed, 0, "{to:?} in the place of {from:?} parsed {n_parsed} of {n} times");
    }
}

#[test]
fn words_in_any_order_and_wrong_marks_are_refused() {
    let rng = kernels::rng::Rng::new(1, kernels::rng::Purpose::Test, 0);
    let mut draws = rng.draws();
    let sentences = sentences(7, 200);
    let mut n_parsed = 0;
    for sentence in &sentences {
        let mut words: Vec<&str> = sentence.split(' ').collect();
        for i in (1..words.len()).rev() {
            words.swap(i, draws.below(i as u64 + 1) as usize);
        }
        let shuffled = words.join(" ");
        n_parsed += usize::from(shuffled != *sentence && parse_sentence(&shuffled).is_ok());

        let bare = sentence.trim_end_matches(['.', '"', '!', '?']);
        assert!(parse_sentence(bare).is_err(), "{bare}");
        assert!(parse_sentence(&sentence.to_lowercase()).is_err());
        assert!(parse_sentence(&sentence.replacen(' ', "  ", 1)).is_err());
        assert!(parse_sentence(&format!("{sentence} {sentence}")).is_err());
    }
    assert!(n_parsed * 100 <= sentences.len(), "{n_parsed} of {}", sentences.len());
}

#[test]
fn refusals_say_why() {
    let refusal = |text: &str| parse_sentence(text).unwrap_err();
    assert_eq!(refusal(""), NotASentence::Empty);
    assert_eq!(refusal(" \n"), NotASentence::Empty);
    assert_eq!(refusal(&"the ".repeat(64)), NotASentence::TooLong(64));
    assert_eq!(refusal("The qwerty was old."), NotASentence::UnknownWord("qwerty".into()));
    assert!(matches!(refusal("\u{1f600} \"\" ."), NotASentence::UnknownWord(_)));
    let known = "Everyone in Oakford talked about it until the next May.";
    assert_eq!(parse_sentence(known), Ok(()));
    let small = known.replacen('E', "e", 1);
    assert_eq!(refusal(&small), NotASentence::Spelling(known.into()));
    let cut = known.replace("the next", "of next");
    let NotASentence::Unexpected { before, word } = refusal(&cut) else { panic!("{cut}") };
    assert_eq!(
        (before.as_str(), word.as_str()),
        ("Everyone in Oakford talked about it until", "of")
    );
}
