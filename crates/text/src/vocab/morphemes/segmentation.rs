//! Segmentation of a vocabulary: parts and cuts of each word from its derivation.

use super::error::MorphemeError;
use super::learn::{LearntParts, learn};
use super::lexicon::PartLexicon;
use super::ways::Way;
use super::words::Words;
use crate::tokenizer::Control;
use serde::{Deserialize, Serialize};

/// Kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// The stem. A compound has two.
    Stem,
    /// Before a stem.
    Prefix,
    /// After a stem.
    Suffix,
    /// A stretch of a new word that is not a known part.
    Piece,
}

/// One part of a word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WordPart {
    /// The kind.
    pub kind: PartKind,
    /// The unchanged form: *run* in *running*, *city* in *cities*.
    pub text: String,
}

impl WordPart {
    pub(super) fn new(kind: PartKind, text: &str) -> WordPart {
        WordPart { kind, text: text.to_owned() }
    }
}

/// A word split into parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordParts {
    /// The parts in order.
    pub parts: Vec<WordPart>,
    /// Cuts of the word, as numbers of characters before each boundary, ascending.
    pub cuts: Vec<usize>,
}

impl WordParts {
    pub(super) fn whole(kind: PartKind, text: &str) -> WordParts {
        WordParts { parts: vec![WordPart::new(kind, text)], cuts: Vec::new() }
    }

    /// These parts, plus a suffix after the first `cut` characters.
    fn suffixed(&self, suffix: &str, cut: usize) -> WordParts {
        let mut parts = self.parts.clone();
        parts.push(WordPart::new(PartKind::Suffix, suffix));
        // A part of one character may have been dropped entirely.
        let mut cuts: Vec<usize> = self.cuts.iter().copied().filter(|&at| at < cut).collect();
        cuts.push(cut);
        WordParts { parts, cuts }
    }

    /// The parts `parts` of `n_before` characters, followed by these.
    fn after(&self, mut parts: Vec<WordPart>, mut cuts: Vec<usize>, n_before: usize) -> WordParts {
        parts.extend(self.parts.iter().cloned());
        cuts.push(n_before);
        cuts.extend(self.cuts.iter().map(|at| at + n_before));
        WordParts { parts, cuts }
    }
}

/// The parts of a vocabulary and its lexicon.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The parts of each word, in the order given.
    pub parts: Vec<WordParts>,
    /// The segmenter for other words.
    pub lexicon: PartLexicon,
}

/// Learns the parts of `words`: distinct words in lower case with their counts (all 1 if unknown).
/// Deterministic.
///
/// Under half a second for 33,000 words on one core. `control` receives the number of rounds done
/// and the total; its cancellation flag is checked after each round.
///
/// # Errors
/// [`MorphemeError::Cancelled`].
pub fn segment_vocabulary(
    words: &[(&str, u64)],
    control: &mut Control,
) -> Result<Segmentation, MorphemeError> {
    let words = Words::new(words);
    let learnt = learn(&words, control)?;
    let parts = parts_of(&words, &learnt);
    let lexicon = PartLexicon::new(&learnt, &parts);
    Ok(Segmentation { parts, lexicon })
}

/// The parts of all words, shorter words first, since a word has the parts of its base.
fn parts_of(words: &Words, learnt: &LearntParts) -> Vec<WordParts> {
    let mut by_len: Vec<usize> = (0..words.len()).collect();
    by_len.sort_by_key(|&id| words.n_chars[id]);
    let mut parts: Vec<Option<WordParts>> = vec![None; words.len()];
    let n_chars = |text: &str| text.chars().count();
    for id in by_len {
        let made = |base: u32| parts[base as usize].as_ref().expect("a base is shorter");
        let text = words.texts[id];
        let found = match learnt.chosen[id] {
            None => WordParts::whole(PartKind::Stem, text),
            Some(Way::Suffix { base, suffix, .. }) => {
                let suffix = learnt.suffixes.get(suffix);
                made(base).suffixed(suffix, n_chars(text) - n_chars(suffix))
            }
            Some(Way::Latent { stem, suffix }) => {
                let stem = &learnt.stems[stem as usize];
                let suffix = learnt.suffixes.get(suffix);
                WordParts::whole(PartKind::Stem, stem).suffixed(suffix, n_chars(stem))
            }
            Some(Way::Prefix { base, prefix }) => {
                let prefix = learnt.prefixes.get(prefix);
                let before = vec![WordPart::new(PartKind::Prefix, prefix)];
                made(base).after(before, Vec::new(), n_chars(prefix))
            }
            Some(Way::Joined { left, right }) => {
                let first = made(left);
                let n_before = words.n_chars[left as usize] as usize;
                made(right).after(first.parts.clone(), first.cuts.clone(), n_before)
            }
        };
        parts[id] = Some(found);
    }
    parts.into_iter().map(|parts| parts.expect("every word was visited")).collect()
}
