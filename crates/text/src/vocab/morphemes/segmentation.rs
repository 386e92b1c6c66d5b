//! From the way of each word to its parts, and to where it is cut.

use super::error::MorphemeError;
use super::learn::{Learnt, learn};
use super::lexicon::Lexicon;
use super::ways::Way;
use super::words::Words;
use crate::tokenizer::Control;
use serde::{Deserialize, Serialize};

/// What a part is in its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// What the word is about. A joined word has two.
    Stem,
    /// Before a stem.
    Prefix,
    /// After a stem.
    Suffix,
    /// A stretch of a new word that is no known part.
    Piece,
}

/// One part of a word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// As it is when nothing changes it: *run* in *running*, *city* in *cities*.
    pub text: String,
}

impl Part {
    pub(super) fn new(kind: PartKind, text: &str) -> Part {
        Part { kind, text: text.to_owned() }
    }
}

/// A word in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The parts in order.
    pub parts: Vec<Part>,
    /// Where the word is cut: characters before each boundary, ascending.
    pub cuts: Vec<usize>,
}

impl Parts {
    pub(super) fn whole(kind: PartKind, text: &str) -> Parts {
        Parts { parts: vec![Part::new(kind, text)], cuts: Vec::new() }
    }

    /// These parts and a suffix that stands after the first `cut` characters.
    fn suffixed(&self, suffix: &str, cut: usize) -> Parts {
        let mut parts = self.parts.clone();
        parts.push(Part::new(PartKind::Suffix, suffix));
        // A part of one character may have been dropped whole.
        let mut cuts: Vec<usize> = self.cuts.iter().copied().filter(|&at| at < cut).collect();
        cuts.push(cut);
        Parts { parts, cuts }
    }

    /// Parts of `n_before` characters and then these.
    fn after(&self, mut parts: Vec<Part>, mut cuts: Vec<usize>, n_before: usize) -> Parts {
        parts.extend(self.parts.iter().cloned());
        cuts.push(n_before);
        cuts.extend(self.cuts.iter().map(|at| at + n_before));
        Parts { parts, cuts }
    }
}

/// The parts of a vocabulary and what was learnt from it.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// Of each word, in the order in which they were given.
    pub parts: Vec<Parts>,
    /// Cuts words that were not among them.
    pub lexicon: Lexicon,
}

/// Learns the parts of `words`: distinct words, in lower case where a language has cases, and how
/// often each occurs (all 1 if that is not known). The same words give the same parts.
///
/// Under half a second for 33,000 words on one core. `control` is told the rounds done and the rounds in all, and
/// its cancellation flag looked at after each.
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
    let lexicon = Lexicon::new(&learnt, &parts);
    Ok(Segmentation { parts, lexicon })
}

/// The parts of all words, shorter words first, since a word has those of what it is made from.
fn parts_of(words: &Words, learnt: &Learnt) -> Vec<Parts> {
    let mut by_len: Vec<usize> = (0..words.len()).collect();
    by_len.sort_by_key(|&id| words.n_chars[id]);
    let mut parts: Vec<Option<Parts>> = vec![None; words.len()];
    let n_chars = |text: &str| text.chars().count();
    for id in by_len {
        let made = |base: u32| parts[base as usize].as_ref().expect("a base is shorter");
        let text = words.texts[id];
        let found = match learnt.chosen[id] {
            None => Parts::whole(PartKind::Stem, text),
            Some(Way::Suffix { base, suffix, .. }) => {
                let suffix = learnt.suffixes.get(suffix);
                made(base).suffixed(suffix, n_chars(text) - n_chars(suffix))
            }
            Some(Way::Latent { stem, suffix }) => {
                let stem = &learnt.stems[stem as usize];
                let suffix = learnt.suffixes.get(suffix);
                Parts::whole(PartKind::Stem, stem).suffixed(suffix, n_chars(stem))
            }
            Some(Way::Prefix { base, prefix }) => {
                let prefix = learnt.prefixes.get(prefix);
                let before = vec![Part::new(PartKind::Prefix, prefix)];
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
