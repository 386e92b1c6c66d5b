//! Segmenter of new words: the cheapest path through known parts.
//!
//! Prefixes, then a stem, then perhaps a second one, then suffixes. Costs are in nats: a suffix or
//! prefix costs the logarithm of its rate, a known stem costs nothing, an unknown one its spelling
//! beyond the cost of choosing a known stem. Before a suffix, a part may be changed.

use super::change::{Change, ChangeRule};
use super::learn::LearntParts;
use super::segmentation::{PartKind, WordPart, WordParts};
use super::ways::Way;
use super::words::{WORD_CHARS_MAX, split_last};
use rustc_hash::{FxHashMap, FxHashSet};

/// Known parts and their costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartLexicon {
    pub(super) stems: FxHashSet<Box<str>>,
    /// Costs in nats.
    pub(super) prefixes: FxHashMap<Box<str>, f64>,
    pub(super) suffixes: FxHashMap<Box<str>, f64>,
    /// Costs of the changes before each suffix, in nats.
    pub(super) changes: FxHashMap<Box<str>, FxHashMap<ChangeRule, f64>>,
    /// The change rules, except keeping.
    pub(super) rules: Vec<ChangeRule>,
    pub(super) nats_per_char: f64,
    /// Cost of a second stem.
    pub(super) join_nats: f64,
}

/// Smallest cost of an unknown stem, so that a known one is never more expensive.
const UNKNOWN_NATS_MIN: f64 = 1.0;
/// Cost of a change that was not seen before a suffix.
const UNSEEN_NATS: f64 = 7.0;

/// Phase of a path through a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeStem,
    AfterStem,
    AfterStems,
    AfterSuffix,
}

/// A state reached by a path.
#[derive(Clone, Debug)]
struct Reached {
    cost: f64,
    at: usize,
    phase: Phase,
    /// The last character of the part before it was changed, and the change.
    rule: ChangeRule,
    /// The previous state, and the part between.
    from: usize,
    part: Option<(PartKind, String)>,
}

impl PartLexicon {
    /// The lexicon of the learnt parts.
    pub(super) fn new(learnt: &LearntParts, parts: &[WordParts]) -> PartLexicon {
        let all = || parts.iter().flat_map(|parts| &parts.parts);
        let texts = |kind| -> FxHashSet<Box<str>> {
            all().filter(|part| part.kind == kind).map(|part| part.text.as_str().into()).collect()
        };
        let costs = |kind, affixes: &[Box<str>], rates: &[f64]| -> FxHashMap<Box<str>, f64> {
            let used = texts(kind);
            let used = affixes.iter().zip(rates).filter(|&(text, _)| used.contains(text));
            used.map(|(text, rate)| (text.clone(), -rate.clamp(1e-9, 1.0).ln())).collect()
        };
        let suffixes = costs(PartKind::Suffix, learnt.suffixes.values(), &learnt.suffix_rates);
        let mut changes: FxHashMap<Box<str>, FxHashMap<ChangeRule, f64>> = FxHashMap::default();
        for way in learnt.chosen.iter().flatten() {
            if let &Way::Suffix { suffix, site, .. } = way {
                let rules = changes.entry(learnt.suffixes.get(suffix).clone()).or_default();
                let rate = learnt.changes.rate(site, 0.0).clamp(1e-9, 1.0);
                rules.insert(learnt.changes.rule(learnt.changes.rule_of(site)), -rate.ln());
            }
        }
        let mut lexicon = PartLexicon {
            stems: texts(PartKind::Stem),
            prefixes: costs(PartKind::Prefix, learnt.prefixes.values(), &learnt.prefix_rates),
            suffixes,
            changes,
            rules: Vec::new(),
            nats_per_char: learnt.nats_per_char,
            join_nats: 0.0,
        };
        // One half of a compound is probably a frequent one, the other any stem.
        let n_stems = lexicon.stems.len().max(1) as f64;
        let n_words = parts.len().max(1) as f64;
        lexicon.join_nats = n_stems.ln() - (learnt.n_joined / n_words).clamp(1e-6, 1.0).ln();
        lexicon.index_rules();
        lexicon
    }

    /// Fills in [`PartLexicon::rules`] from the changes.
    pub(super) fn index_rules(&mut self) {
        let rules = self.changes.values().flat_map(|rules| rules.keys().copied());
        let mut rules: Vec<ChangeRule> = rules.filter(|rule| rule.1 != Change::Keep).collect();
        rules.sort_unstable();
        rules.dedup();
        self.rules = rules;
    }

    /// The parts of `word`, which must be in lower case. Unknown stretches are [`PartKind::Piece`].
    /// A word that is a single affix is that affix.
    pub fn segment(&self, word: &str) -> WordParts {
        let ends: Vec<usize> =
            word.char_indices().map(|(at, _)| at).skip(1).chain([word.len()]).collect();
        if self.stems.contains(word) {
            return WordParts::whole(PartKind::Stem, word);
        }
        if self.suffixes.contains_key(word) {
            return WordParts::whole(PartKind::Suffix, word);
        }
        if self.prefixes.contains_key(word) {
            return WordParts::whole(PartKind::Prefix, word);
        }
        if word.is_empty() || ends.len() > WORD_CHARS_MAX {
            return WordParts::whole(PartKind::Piece, word);
        }
        let reached = self.search(word, &ends);
        let is_end = |place: &&Reached| {
            place.at == ends.len()
                && place.phase != Phase::BeforeStem
                && place.rule.1 == Change::Keep
        };
        let cheaper = |a: &&Reached, b: &&Reached| a.cost.total_cmp(&b.cost);
        let Some(mut place) = reached.iter().filter(is_end).min_by(cheaper) else {
            return WordParts::whole(PartKind::Piece, word);
        };
        let mut parts = Vec::new();
        let mut cuts = Vec::new();
        while let Some((kind, text)) = &place.part {
            parts.push(WordPart::new(*kind, text));
            place = &reached[place.from];
            cuts.push(place.at);
        }
        cuts.pop();
        parts.reverse();
        cuts.reverse();
        WordParts { parts, cuts }
    }

    /// All states reached, with the cheapest path to each; `ends` are the ends of the characters.
    fn search(&self, word: &str, ends: &[usize]) -> Vec<Reached> {
        let start = Reached {
            cost: 0.0,
            at: 0,
            phase: Phase::BeforeStem,
            rule: ('\0', Change::Keep),
            from: 0,
            part: None,
        };
        let mut reached = vec![start];
        let mut at_char = vec![Vec::new(); ends.len() + 1];
        at_char[0].push(0);
        for at in 0..ends.len() {
            for from in std::mem::take(&mut at_char[at]) {
                let begin = if at == 0 { 0 } else { ends[at - 1] };
                for end in at + 1..=ends.len() {
                    let surface = &word[begin..ends[end - 1]];
                    let before = reached[from].clone();
                    self.step(&before, surface, |phase, cost, rule, kind, text| {
                        // The last part of a word is followed by nothing, so it is unchanged.
                        if end == ends.len() && rule.1 != Change::Keep {
                            return;
                        }
                        let cost = before.cost + cost;
                        let same = at_char[end].iter().copied().find(|&other: &usize| {
                            (reached[other].phase, reached[other].rule) == (phase, rule)
                        });
                        let part = Some((kind, text.to_owned()));
                        let place = Reached { cost, at: end, phase, rule, from, part };
                        match same {
                            Some(other) if reached[other].cost <= cost => {}
                            Some(other) => reached[other] = place,
                            None => {
                                at_char[end].push(reached.len());
                                reached.push(place);
                            }
                        }
                    });
                }
            }
        }
        reached
    }

    /// Every part that `surface` may be after `before`: phase after it, cost, rule, kind, text.
    fn step(
        &self,
        before: &Reached,
        surface: &str,
        mut found: impl FnMut(Phase, f64, ChangeRule, PartKind, &str),
    ) {
        let Some((_, last)) = split_last(surface) else { return };
        let keep = (last, Change::Keep);
        let is_changed = before.rule.1 != Change::Keep;
        if before.phase == Phase::BeforeStem {
            if let Some(&cost) = self.prefixes.get(surface) {
                found(Phase::BeforeStem, cost, keep, PartKind::Prefix, surface);
            }
            if !self.stems.contains(surface) {
                let cost = self.unknown_nats(surface);
                found(Phase::AfterStem, cost, keep, PartKind::Piece, surface);
            }
        }
        let stem_after = match before.phase {
            Phase::BeforeStem => Some((Phase::AfterStem, 0.0)),
            Phase::AfterStem if !is_changed => Some((Phase::AfterStems, self.join_nats)),
            _ => None,
        };
        if let Some((phase, cost)) = stem_after {
            self.unchanged(surface, |rule, text| {
                if self.stems.contains(text) {
                    found(phase, cost, rule, PartKind::Stem, text);
                }
            });
        }
        if before.phase != Phase::BeforeStem {
            self.unchanged(surface, |rule, text| {
                if let Some(&cost) = self.suffixes.get(text) {
                    let cost = cost + self.change_nats(text, before.rule);
                    found(Phase::AfterSuffix, cost, rule, PartKind::Suffix, text);
                }
            });
        }
    }

    /// The possible originals of `surface` before a rule's change.
    fn unchanged(&self, surface: &str, mut found: impl FnMut(ChangeRule, &str)) {
        let Some((head, last)) = split_last(surface) else { return };
        found((last, Change::Keep), surface);
        for &(from, change) in &self.rules {
            let text = match change {
                Change::Double if from == last && head.ends_with(last) => head.to_owned(),
                Change::Drop => format!("{surface}{from}"),
                Change::Replace(by) if by == last => format!("{head}{from}"),
                _ => continue,
            };
            found((from, change), &text);
        }
    }

    fn change_nats(&self, suffix: &str, rule: ChangeRule) -> f64 {
        let known = self.changes.get(suffix).and_then(|rules| rules.get(&rule));
        match (known, rule.1) {
            (Some(&cost), _) => cost,
            // After a character not seen there, a word most likely stays unchanged.
            (None, Change::Keep) => 0.5,
            (None, _) => UNSEEN_NATS,
        }
    }

    fn unknown_nats(&self, stem: &str) -> f64 {
        let spelt = (stem.chars().count() + 1) as f64 * self.nats_per_char;
        (spelt - (self.stems.len().max(1) as f64).ln()).max(UNKNOWN_NATS_MIN)
    }
}
