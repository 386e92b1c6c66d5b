//! Morpheme tests: known boundaries, well-known words, codes and code files.

use super::languages::{self, Language};
use super::*;
use crate::tokenizer::Control;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

fn learn(words: &[(&str, u64)]) -> Segmentation {
    segment_vocabulary(words, &mut Control::threads(1)).unwrap()
}

/// The scores of the learnt segmentation of a language, and of the suffix list.
fn scores(language: &Language) -> (BoundaryScore, BoundaryScore) {
    let words = language.counted();
    let learnt = learn(&words);
    let gold = language.gold();
    let found = learnt.parts.iter().map(|parts| parts.cuts.as_slice());
    let listed: Vec<Vec<usize>> = words.iter().map(|(word, _)| suffix_list_cuts(word)).collect();
    let listed = listed.iter().map(Vec::as_slice);
    (evaluate(found, gold.iter().copied()), evaluate(listed, gold.iter().copied()))
}

/// The page with a table of boundary scores.
const PAGE: &str = include_str!("../../../../../docs/codes.md");

/// Whether a page's row for a language has these figures, to a hundredth: different rounding on
/// another processor may decide a tie differently.
fn says(page: &str, language: &str, figures: [f64; 4]) -> bool {
    let start = format!("| {language} |");
    let line = page.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
    let said: Vec<f64> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    said.len() == 4 && said.iter().zip(figures).all(|(said, found)| (said - found).abs() <= 0.01)
}

#[test]
fn boundaries_of_generated_languages_are_found() {
    let mut untrue = Vec::new();
    for (name, language, f1_min) in [
        ("artificial", languages::artificial(1, 1500), 0.9),
        ("English-like", languages::english_like(1, 1500), 0.95),
        ("stories", languages::stories(), 0.85),
    ] {
        let (learnt, listed) = scores(&language);
        assert!(learnt.f1() > f1_min, "{name}: F1 {} ({learnt:?})", learnt.f1());
        assert!(learnt.f1() > listed.f1() + 0.05, "{name}: the list has {}", listed.f1());
        let figures = [learnt.precision(), learnt.recall(), listed.precision(), listed.recall()];
        if !says(PAGE, name, figures) {
            untrue.push(format!("{name} {figures:.3?}"));
        }
    }
    assert_eq!(untrue, [""; 0], "docs/codes.md should say this instead");
}

#[test]
fn a_wrong_figure_on_the_page_is_caught() {
    let page = "| language | a | b | c | d |\n| x | 0.951 | 1 | 0.5 | 0 |\n";
    assert!(says(page, "x", [0.95, 1.0, 0.5, 0.0]));
    for (language, figures) in [
        ("x", [0.93, 1.0, 0.5, 0.0]),
        ("x", [0.951, 1.0, 0.5, 0.02]),
        ("y", [0.951, 1.0, 0.5, 0.0]),
    ] {
        assert!(!says(page, language, figures), "{language} {figures:?}");
    }
}

fn said(parts: &WordParts) -> String {
    let say = |part: &WordPart| match part.kind {
        PartKind::Stem => part.text.clone(),
        PartKind::Prefix => format!("{}+", part.text),
        PartKind::Suffix => format!("+{}", part.text),
        PartKind::Piece => format!("?{}", part.text),
    };
    parts.parts.iter().map(say).collect::<Vec<_>>().join(" ")
}

/// Words of the stories: enough evidence for the rules of English.
fn story_words() -> Segmentation {
    learn(&languages::stories().counted())
}

#[test]
fn forms_of_a_word_share_its_stem() {
    let language = languages::stories();
    let learnt = story_words();
    let words = language.counted();
    let parts = |word: &str| {
        let id = words.iter().position(|(other, _)| *other == word);
        let id = id.unwrap_or_else(|| panic!("the stories have no {word}"));
        said(&learnt.parts[id])
    };
    for (word, expected) in [
        ("run", "run"),
        ("runs", "run +s"),
        ("running", "run +ing"),
        ("hopped", "hop +ed"),
        ("danced", "dance +ed"),
        ("dancing", "dance +ing"),
        ("hurried", "hurry +ed"),
        ("hurries", "hurry +es"),
        ("walking", "walk +ing"),
    ] {
        assert_eq!(parts(word), expected);
    }
    // Words that are not in the list.
    for (word, expected) in
        [("hoppings", "hop +ing +s"), ("zoorking", "?zoork +ing"), ("ing", "+ing"), ("", "?")]
    {
        assert_eq!(said(&learnt.lexicon.segment(word)), expected);
    }
    assert_eq!(learnt.lexicon.segment("hoppings").cuts, [4, 7]);
}

#[test]
fn the_order_of_words_does_not_matter_and_counts_may_be_missing() {
    let language = languages::stories();
    let mut words = language.counted();
    let forward = learn(&words);
    words.reverse();
    let backward = learn(&words);
    let same = forward.parts.iter().zip(backward.parts.iter().rev()).filter(|(a, b)| a == b);
    // Sums in another order round differently, which may decide a tie differently.
    assert!(same.count() * 100 >= 99 * words.len());
    let once: Vec<(&str, u64)> = words.iter().map(|&(word, _)| (word, 1)).collect();
    let found = learn(&once);
    assert!(found.parts.iter().filter(|parts| !parts.cuts.is_empty()).count() > words.len() / 4);
}

#[test]
fn any_words_can_be_segmented() {
    let long = "x".repeat(3000);
    let words: Vec<(&str, u64)> =
        [("", 3), ("a", 0), ("语", u64::MAX), (&long, 1), ("ab", 1), ("ab", 2), ("abс", 1)].into();
    let learnt = learn(&words);
    assert_eq!(learnt.parts.len(), words.len());
    for word in ["", "a", &long, "语语语", "xxxxx", "ab\u{301}"] {
        let parts = learnt.lexicon.segment(word);
        assert!(parts.cuts.windows(2).all(|pair| pair[0] < pair[1]), "{word}");
    }
    assert!(learn(&[]).parts.is_empty());
}

#[test]
fn learning_reports_and_stops() {
    let language = languages::artificial(2, 100);
    let words = language.counted();
    let (flag, mut seen) = (AtomicBool::new(false), Vec::new());
    let mut progress = |done, all| {
        seen.push((done, all));
        flag.store(done == 3, Ordering::Relaxed);
    };
    let mut control = Control { threads: 1, cancel: Some(&flag), progress: Some(&mut progress) };
    let stopped = segment_vocabulary(&words, &mut control).unwrap_err();
    assert_eq!(stopped, MorphemeError::Cancelled);
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|&(done, all)| done < all));
}

fn tokens<'a>(texts: &'a [(String, u64)]) -> Vec<Token<'a>> {
    let token = |(text, count): &'a (String, u64)| Token {
        bytes: text.as_bytes(),
        count: *count,
        is_special: text == "<eos>",
    };
    texts.iter().map(token).collect()
}

/// The words of the stories as tokens with a blank, and some others.
fn story_tokens() -> Vec<(String, u64)> {
    let language = languages::stories();
    let words = language.counted().into_iter().map(|(word, count)| (format!(" {word}"), count));
    let others = ["<eos>", " Run", "run", "RUNNING", ",", " ,", " 1984", "7", "ing", "zz"];
    words.chain(others.map(|text| (text.to_owned(), 0))).collect()
}

#[test]
fn tokens_share_the_primes_of_common_features() {
    let texts = story_tokens();
    let codes = Codes::learn(&tokens(&texts), &mut Control::threads(1)).unwrap();
    assert_eq!(codes.n_tokens(), texts.len());
    let code = |text: &str| {
        let id = texts.iter().position(|(other, _)| other == text).unwrap();
        codes.of(id as u32).to_vec()
    };
    let prime = |kind, text: &str| codes.prime_of(&Feature::new(kind, text)).unwrap();
    let run = prime(FeatureKind::Stem, "run");
    let ing = prime(FeatureKind::Suffix, "ing");
    for text in [" run", " runs", " running", " Run", "run", "RUNNING"] {
        assert!(code(text).contains(&run), "{text}");
    }
    assert!(code("RUNNING").contains(&ing) && code("ing").contains(&ing));
    assert!(code("RUNNING").contains(&prime(FeatureKind::Case, "upper")));
    assert!(code("run").contains(&prime(FeatureKind::Joint, "")));
    assert!(!code(" run").contains(&prime(FeatureKind::Joint, "")));
    assert!(code(",").contains(&prime(FeatureKind::Class, "mark")));
    assert!(code(",").contains(&prime(FeatureKind::Token, ",")));
    assert!(code("<eos>").contains(&prime(FeatureKind::Class, "special")));
    assert!(code(" 1984").contains(&prime(FeatureKind::Class, "number")));
    for id in 0..codes.n_tokens() as u32 {
        let code = codes.of(id);
        assert!(!code.is_empty() && code.windows(2).all(|pair| pair[0] < pair[1]));
    }
    // Frequent features have small primes.
    let n_tokens = |number: u32| {
        (0..codes.n_tokens() as u32).filter(|&id| codes.of(id).contains(&number)).count()
    };
    assert!((0..30).all(|number| n_tokens(number) >= n_tokens(number + 1)));
    // Any text has a code, with its unknown features listed.
    let (new, unknown) = codes.code_text(" Zoorking");
    assert!(new.contains(&ing) && new.contains(&prime(FeatureKind::Case, "capitalised")));
    assert_eq!(unknown, [Feature::new(FeatureKind::Piece, "zoork")]);
}

#[test]
fn codes_are_read_back_from_json() {
    let texts = story_tokens();
    let codes = Codes::learn(&tokens(&texts), &mut Control::threads(1)).unwrap();
    let json = codes.to_json();
    let text = serde_json::to_string(&json).unwrap();
    let read = Codes::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(read.to_json(), json);
    assert_eq!(read.lexicon(), codes.lexicon());
    for text in [" runs", "unhurriedly", "Zoorkings", "42", "\n"] {
        assert_eq!(read.code_text(text), codes.code_text(text));
    }
}

#[test]
fn hostile_files_are_refused_by_the_name_of_the_field() {
    let good = json!({
        "form": 1,
        "features": [["stem", "run"], ["suffix", "ing"], ["prefix", "re"]],
        "codes": [[0], [0, 1]],
        "affixes": [[1, 2.5], [2, 4.0]],
        "changes": [[1, "n", "double", 0.5], [1, "y", {"replace": "i"}, 0.5]],
        "nats_per_char": 2.0,
        "join_nats": 9.0,
        "has_blanks": true,
    });
    let codes = Codes::from_json(&good).unwrap();
    assert_eq!(said(&codes.lexicon().segment("rerunning")), "re+ run +ing");

    let long = "x".repeat(20_000);
    let many: Vec<u32> = (0..100).collect();
    for (field, bad, named) in [
        ("form", json!(2), "form"),
        ("form", Value::Null, "form"),
        ("features", json!([["stem", "run"], ["stem", "run"]]), "features[1]"),
        ("features", json!([["stem", long]]), "features[0]"),
        ("features", json!([["root", "run"]]), "features"),
        ("codes", json!([[0], [1, 3]]), "codes[1]"),
        ("codes", json!([[1, 0]]), "codes[0]"),
        ("codes", json!([[1, 1]]), "codes[0]"),
        ("codes", json!([[-1]]), "codes"),
        ("codes", json!([many]), "codes[0]"),
        ("codes", json!({}), "codes"),
        ("affixes", json!([[0, 1.0]]), "affixes[0]"),
        ("affixes", json!([[7, 1.0]]), "affixes[0]"),
        ("affixes", json!([[1, -1.0]]), "affixes[0]"),
        ("affixes", json!([[1, 1e300]]), "affixes[0]"),
        ("changes", json!([[2, "n", "double", 0.5]]), "changes[0]"),
        ("changes", json!([[1, "nn", "double", 0.5]]), "changes"),
        ("changes", json!([[1, "n", "treble", 0.5]]), "changes"),
        ("nats_per_char", json!("many"), "nats_per_char"),
        ("join_nats", json!(-3.0), "join_nats"),
        ("has_blanks", json!(1), "has_blanks"),
    ] {
        let mut file = good.clone();
        file[field] = bad.clone();
        match Codes::from_json(&file) {
            Err(MorphemeError::Format { field, .. }) => assert_eq!(field, named, "{bad}"),
            other => panic!("{field} = {bad}: {other:?}"),
        }
        file.as_object_mut().unwrap().remove(field);
        assert!(Codes::from_json(&file).is_err(), "without {field}");
    }
    assert!(Codes::from_json(&json!([1, 2])).is_err());
}
