//! Test vocabularies with known boundaries: an artificial language, English-like words on
//! artificial stems, and the words of the stories.

use crate::stories::inflect;
use crate::stories::lexicon::StoryLexicon;
use kernels::rng::{Draws, Purpose, Rng};
use std::collections::BTreeMap;

/// A vocabulary: each word with its count and its cuts.
#[derive(Default)]
pub(super) struct Language {
    words: BTreeMap<String, (u64, Vec<usize>)>,
}

impl Language {
    /// Adds a word; a known one keeps its cuts.
    fn add(&mut self, word: String, count: u64, cuts: Vec<usize>) {
        self.words.entry(word).or_insert((0, cuts)).0 += count.max(1);
    }

    /// `form`, which ends in a suffix of `n_suffix` characters.
    fn add_suffixed(&mut self, form: String, n_suffix: usize, count: u64, base_cuts: &[usize]) {
        let cut = form.chars().count() - n_suffix;
        let cuts = base_cuts.iter().copied().filter(|&at| at < cut).chain([cut]).collect();
        self.add(form, count, cuts);
    }

    pub(super) fn counted(&self) -> Vec<(&str, u64)> {
        self.words.iter().map(|(word, (count, _))| (word.as_str(), *count)).collect()
    }

    pub(super) fn gold(&self) -> Vec<&[usize]> {
        self.words.values().map(|(_, cuts)| cuts.as_slice()).collect()
    }
}

/// A stem of one to three syllables.
fn stem(draws: &mut Draws, onsets: &[&str], vowels: &[&str], codas: &[&str]) -> String {
    let mut stem = String::new();
    let pick = |draws: &mut Draws, from: &[&str]| -> String {
        from[draws.below(from.len() as u64) as usize].to_owned()
    };
    for _ in 0..1 + draws.below(3) {
        stem += &pick(draws, onsets);
        stem += &pick(draws, vowels);
    }
    stem + &pick(draws, codas)
}

/// The count of the word of a rank, by Zipf's law.
fn zipf(rank: usize) -> u64 {
    20_000 / (rank as u64 + 1) + 1
}

/// Words whose suffixes are not English: two classes of stems, one of which never stands alone;
/// a final `a` falls before a suffix with a vowel.
pub(super) fn artificial(seed: u64, n_stems: usize) -> Language {
    const NOUNS: [&str; 6] = ["ok", "ura", "im", "osta", "uvon", "le"];
    const VERBS: [&str; 6] = ["anko", "eth", "ulm", "iva", "sho", "ekti"];
    let mut draws = Rng::new(seed, Purpose::Test, 0).draws();
    let mut language = Language::default();
    for rank in 0..n_stems {
        let stem = stem(
            &mut draws,
            &["b", "d", "g", "k", "kr", "l", "m", "n", "p", "r", "t", "v", "z", "j", "dr", "h"],
            &["a", "e", "i", "o", "u", "ai"],
            &["", "n", "r", "k", "s", "l", "d", "p", "a"],
        );
        let count = zipf(rank);
        let is_noun = draws.chance(1, 2);
        let stem_len = stem.chars().count();
        if stem_len < 3 {
            continue;
        }
        if is_noun {
            language.add(stem.clone(), count, vec![]);
        }
        for suffix in if is_noun { NOUNS } else { VERBS } {
            if draws.chance(1, 2) {
                let falls = stem.ends_with('a') && suffix.starts_with(['o', 'u', 'i', 'a', 'e']);
                let kept = if falls { &stem[..stem.len() - 1] } else { &stem };
                let n_suffix = suffix.chars().count();
                let form_count = count / (2 + draws.below(6));
                language.add_suffixed(format!("{kept}{suffix}"), n_suffix, form_count, &[]);
            }
        }
        if draws.chance(1, 4) {
            language.add(format!("gro{stem}"), count / 8, vec![3]);
        }
    }
    language
}

/// "walks", "foxes" and so on: the forms that share the spelling rules of the stories.
fn add_plural(language: &mut Language, base: &str, form: String, count: u64, cuts: &[usize]) {
    let n_suffix = if form == format!("{base}s") { 1 } else { 2 };
    language.add_suffixed(form, n_suffix, count, cuts);
}

/// Verbs, nouns and adjectives on artificial stems, inflected and derived by English rules.
pub(super) fn english_like(seed: u64, n_stems: usize) -> Language {
    let mut draws = Rng::new(seed, Purpose::Test, 1).draws();
    let mut language = Language::default();
    for rank in 0..n_stems {
        let base = stem(
            &mut draws,
            &["b", "bl", "ch", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "st", "t", "w"],
            &["a", "e", "i", "o", "u", "ea", "oo"],
            &["ck", "d", "g", "ke", "l", "m", "n", "nd", "p", "r", "rt", "sh", "t", "ve", "y", "x"],
        );
        let count = zipf(rank);
        if base.chars().count() < 3 {
            continue;
        }
        language.add(base.clone(), count, vec![]);
        let doubles = base.len() == 3 && base.ends_with(['d', 'g', 'm', 'n', 'p', 't']);
        let gerund = |base: &str| inflect::gerund(base, doubles);
        let past = |base: &str| inflect::past(base, doubles);
        let agent = |base: &str| format!("{}r", past(base).trim_end_matches('d'));
        match draws.below(3) {
            0 => {
                if draws.chance(3, 4) {
                    add_plural(&mut language, &base, inflect::third_person(&base), count / 3, &[]);
                }
                if draws.chance(3, 4) {
                    language.add_suffixed(past(&base), 2, count / 2, &[]);
                }
                if draws.chance(3, 4) {
                    language.add_suffixed(gerund(&base), 3, count / 4, &[]);
                }
                if draws.chance(1, 3) {
                    let (agent, agents) = (agent(&base), inflect::plural(&agent(&base)));
                    let cut = agent.chars().count() - 2;
                    language.add_suffixed(agent, 2, count / 8, &[]);
                    language.add_suffixed(agents, 1, count / 16, &[cut]);
                }
                if draws.chance(1, 6) {
                    language.add(format!("re{base}"), count / 10, vec![2]);
                }
            }
            1 => add_plural(&mut language, &base, inflect::plural(&base), count / 3, &[]),
            _ => {
                let soft = past(&base).trim_end_matches("ed").to_owned();
                let stem = if base.ends_with('y') { &soft } else { &base };
                for (suffix, n, of) in [("ly", 1, 2), ("ness", 1, 3)] {
                    if draws.chance(n, of) {
                        let form = format!("{stem}{suffix}");
                        language.add_suffixed(form, suffix.len(), count / 5, &[]);
                    }
                }
                for (suffix, n, of) in [("er", 1, 2), ("est", 1, 3)] {
                    if draws.chance(n, of) {
                        let form = format!("{soft}{suffix}");
                        language.add_suffixed(form, suffix.len(), count / 6, &[]);
                    }
                }
                if draws.chance(1, 4) {
                    language.add(format!("un{base}"), count / 10, vec![2]);
                }
            }
        }
    }
    language
}

/// The nouns and verbs of the stories with their regular forms, and all other words uncut. Words
/// that the list has as separate entries (*baker*, *careful*) count as uncut.
pub(super) fn stories() -> Language {
    let lexicon = StoryLexicon::read(include_str!("../../stories/words.txt"));
    let mut language = Language::default();
    for class in &lexicon.classes {
        for word in 0..class.n_words() {
            let spelling = |form: &str| {
                let spelt = class.form(form).map(|form| class.spelling(word, form));
                spelt.filter(|spelt| spelt.chars().all(char::is_alphabetic)).map(str::to_lowercase)
            };
            let Some(base) = spelling("s").or(spelling("base")) else { continue };
            language.add(base.clone(), 8, vec![]);
            let third = spelling("3sg").filter(|form| *form == inflect::third_person(&base));
            let plural = spelling("p").filter(|form| *form == inflect::plural(&base));
            for form in [third, plural].into_iter().flatten() {
                add_plural(&mut language, &base, form, 4, &[]);
            }
            let is_regular = |form: &String| {
                [true, false].into_iter().any(|doubles| *form == inflect::past(&base, doubles))
            };
            if let Some(past) = spelling("past").filter(is_regular) {
                language.add_suffixed(past, 2, 4, &[]);
            }
            if let Some(gerund) = spelling("ing") {
                language.add_suffixed(gerund, 3, 2, &[]);
            }
        }
    }
    language
}
