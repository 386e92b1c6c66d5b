//! Derivations of words (ways): every one that the vocabulary allows.

use super::change::{Change, ChangeRates};
use super::interned::Interned;
use super::words::{Words, split_last};
use rustc_hash::FxHashMap;

/// Longest affix, in characters; longer endings are chains of affixes.
const AFFIX_CHARS_MAX: usize = 7;
/// Shortest base of a suffix, in characters.
const BASE_CHARS_MIN: usize = 2;
/// Shortest bound stem, shortest base of a prefix, and shortest half of a compound, in characters:
/// anything shorter begins or ends too many words by chance.
const STEM_CHARS_MIN: usize = 3;
/// Smallest number of words in which an affix must be possible to be tried.
const AFFIX_WORDS_MIN: u32 = 3;
/// Largest number of affixes tried of each sort: several times the number in a language.
const N_AFFIXES_MAX: usize = 250;

/// A derivation of a word, other than as a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the word `base`, changed according to the site.
    Suffix { base: u32, suffix: u32, site: u32 },
    /// From a stem that is not a word.
    Latent { stem: u32, suffix: u32 },
    /// From the word `base`.
    Prefix { base: u32, prefix: u32 },
    /// From two words.
    Joined { left: u32, right: u32 },
}

/// A derivation and its share of the word, in [0, 1].
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) way: Way,
    pub(super) share: f64,
}

/// All derivations of all words, with their affixes, stems and sites.
#[derive(Debug)]
pub(super) struct CandidateWays {
    pub(super) suffixes: Interned<Box<str>>,
    pub(super) prefixes: Interned<Box<str>>,
    /// Stems that are no words.
    pub(super) stems: Vec<Box<str>>,
    pub(super) changes: ChangeRates,
    /// The ways of each word.
    pub(super) choices: Vec<Vec<Choice>>,
}

impl CandidateWays {
    /// All derivations by affixes and stems; compounds are added later.
    pub(super) fn new(words: &Words) -> CandidateWays {
        let mut found = CandidateWays {
            suffixes: frequent_suffixes(words),
            prefixes: frequent_prefixes(words),
            stems: Vec::new(),
            changes: ChangeRates::default(),
            choices: vec![Vec::new(); words.len()],
        };
        for id in 0..words.len() {
            for (n_before, head, tail) in words.splits(id) {
                if let Some(suffix) = found.suffixes.find(tail) {
                    found.add_suffixed(words, id, n_before, head, suffix);
                }
                let n_after = words.n_chars[id] as usize - n_before;
                if n_after >= STEM_CHARS_MIN
                    && let Some(prefix) = found.prefixes.find(head)
                    && let Some(base) = words.id(tail)
                {
                    found.add(id, Way::Prefix { base, prefix });
                }
            }
        }
        found.add_latent(words);
        found
    }

    fn add(&mut self, id: usize, way: Way) {
        self.choices[id].push(Choice { way, share: 0.0 });
    }

    /// The derivations of word `id` as `head` and `suffix`, where `head` is a word or a changed
    /// word.
    fn add_suffixed(&mut self, words: &Words, id: usize, n_before: usize, head: &str, suffix: u32) {
        let Some((shorter, last)) = split_last(head) else { return };
        let mut add = |base: u32, from: char, change: Change| {
            let site = self.changes.site(suffix, (from, change));
            self.add(id, Way::Suffix { base, suffix, site });
        };
        if n_before >= BASE_CHARS_MIN
            && let Some(base) = words.id(head)
        {
            add(base, last, Change::Keep);
        }
        // A word is derived from a shorter one, so no two derive from each other.
        let is_short = n_before + 1 == words.n_chars[id] as usize;
        if n_before >= BASE_CHARS_MIN && !is_short {
            for &base in words.with_head(head) {
                if let Some((_, from)) = split_last(words.texts[base as usize]) {
                    add(base, from, Change::Drop);
                }
            }
        }
        if n_before > BASE_CHARS_MIN {
            if shorter.ends_with(last)
                && let Some(base) = words.id(shorter)
            {
                add(base, last, Change::Double);
            }
            // A character that replaces another before a suffix of one character could also belong
            // to the suffix.
            let bases = if is_short { &[] } else { words.with_head(shorter) };
            for &base in bases {
                let from = split_last(words.texts[base as usize]).map_or(last, |(_, from)| from);
                if from != last {
                    add(base, from, Change::Replace(last));
                }
            }
        }
    }

    /// Stems that are not words but occur with at least two suffixes.
    fn add_latent(&mut self, words: &Words) {
        let mut heads: Interned<&str> = Interned::default();
        let mut uses: Vec<Vec<(usize, u32)>> = Vec::new();
        for id in 0..words.len() {
            for (n_before, head, tail) in words.splits(id) {
                if n_before >= STEM_CHARS_MIN
                    && words.id(head).is_none()
                    && let Some(suffix) = self.suffixes.find(tail)
                {
                    let head = heads.id(head) as usize;
                    uses.resize(uses.len().max(head + 1), Vec::new());
                    uses[head].push((id, suffix));
                }
            }
        }
        for (head, uses) in heads.values().iter().zip(&uses).filter(|(_, uses)| uses.len() > 1) {
            let stem = self.stems.len() as u32;
            self.stems.push((*head).into());
            for &(id, suffix) in uses {
                self.add(id, Way::Latent { stem, suffix });
            }
        }
    }

    /// Adds every derivation of a word as a compound of two words.
    pub(super) fn add_joined(&mut self, words: &Words) {
        for id in 0..words.len() {
            for (n_before, head, tail) in words.splits(id) {
                let n_after = words.n_chars[id] as usize - n_before;
                if n_before.min(n_after) >= STEM_CHARS_MIN
                    && let (Some(left), Some(right)) = (words.id(head), words.id(tail))
                {
                    self.add(id, Way::Joined { left, right });
                }
            }
        }
    }
}

/// The most frequent endings after another word, and those after a beginning that also continues in
/// another way, for languages with bound stems.
fn frequent_suffixes(words: &Words) -> Interned<Box<str>> {
    let mut n_going_on: FxHashMap<&str, u32> = FxHashMap::default();
    for id in 0..words.len() {
        for (n_before, head, _) in words.splits(id) {
            if n_before >= STEM_CHARS_MIN {
                *n_going_on.entry(head).or_default() += 1;
            }
        }
    }
    let (mut after_words, mut after_stems) = (FxHashMap::default(), FxHashMap::default());
    for id in 0..words.len() {
        for (n_before, head, tail) in words.splits(id) {
            if words.n_chars[id] as usize - n_before > AFFIX_CHARS_MAX {
                continue;
            }
            if words.id(head).is_some() {
                *after_words.entry(tail).or_default() += (n_before >= BASE_CHARS_MIN) as u32;
            } else if n_going_on.get(head).is_some_and(|&n| n > 1) {
                *after_stems.entry(tail).or_default() += 1;
            }
        }
    }
    // Short endings are frequent by chance, hence the weight of the length.
    let mut chosen = most_frequent(after_words, |_, n| n as usize);
    chosen.extend(most_frequent(after_stems, |tail, n| n as usize * tail.chars().count()));
    chosen.into_iter().map(Box::from).collect()
}

fn frequent_prefixes(words: &Words) -> Interned<Box<str>> {
    let mut counts = FxHashMap::default();
    for id in 0..words.len() {
        for (n_before, head, tail) in words.splits(id) {
            let n_after = words.n_chars[id] as usize - n_before;
            if n_before <= AFFIX_CHARS_MAX && n_after >= STEM_CHARS_MIN && words.id(tail).is_some()
            {
                *counts.entry(head).or_default() += 1;
            }
        }
    }
    most_frequent(counts, |_, n| n as usize).into_iter().map(Box::from).collect()
}

/// The affixes of the highest rank among those with enough words.
fn most_frequent(counts: FxHashMap<&str, u32>, rank: impl Fn(&str, u32) -> usize) -> Vec<&str> {
    let enough = counts.into_iter().filter(|&(_, n)| n >= AFFIX_WORDS_MIN);
    let mut ranked: Vec<(usize, &str)> = enough.map(|(text, n)| (rank(text, n), text)).collect();
    ranked.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    ranked.truncate(N_AFFIXES_MAX);
    ranked.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways_of(texts: &[&str], word: &str) -> Vec<String> {
        let words: Vec<(&str, u64)> = texts.iter().map(|&text| (text, 1)).collect();
        let words = Words::new(&words);
        let found = CandidateWays::new(&words);
        let say = |choice: &Choice| match choice.way {
            Way::Suffix { base, suffix, site } => {
                let (from, change) = found.changes.rule(found.changes.rule_of(site));
                let (base, suffix) = (words.texts[base as usize], found.suffixes.get(suffix));
                format!("{base} {from} {change:?} {suffix}")
            }
            Way::Latent { stem, suffix } => {
                format!("({}) {}", found.stems[stem as usize], found.suffixes.get(suffix))
            }
            Way::Prefix { base, prefix } => {
                format!("{} {}", found.prefixes.get(prefix), words.texts[base as usize])
            }
            Way::Joined { .. } => unreachable!("not added yet"),
        };
        let id = words.id(word).unwrap() as usize;
        let mut said: Vec<String> = found.choices[id].iter().map(say).collect();
        said.sort();
        said
    }

    #[test]
    fn every_change_is_tried() {
        let texts = [
            "walk", "talk", "ask", "walking", "talking", "asking", "run", "running", "make",
            "making", "jumps", "jumping", "looks", "looking", "kicks", "kicking",
        ];
        assert!(ways_of(&texts, "walking").contains(&"walk k Keep ing".into()));
        assert_eq!(ways_of(&texts, "running"), ["run n Double ing"]);
        assert_eq!(ways_of(&texts, "making"), ["make e Drop ing"]);
        assert_eq!(ways_of(&texts, "jumping"), ["(jump) ing", "jumps s Drop ing"]);
        let texts = ["city", "cities", "foxes", "fox", "boxes", "box", "taxes", "tax"];
        assert_eq!(ways_of(&texts, "cities"), ["city y Replace('i') es"]);
        let texts = ["do", "redo", "make", "remake", "run", "rerun", "see", "resee"];
        assert_eq!(ways_of(&texts, "remake"), ["re make"]);
    }
}
