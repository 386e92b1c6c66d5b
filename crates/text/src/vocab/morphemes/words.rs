//! Vocabulary look-ups for morpheme learning.

use rustc_hash::FxHashMap;

/// Longest analysed word, in characters; longer ones are roots without derivations.
pub(super) const WORD_CHARS_MAX: usize = 48;

/// Distinct words with their counts.
#[derive(Debug)]
pub(super) struct Words<'a> {
    /// The words as given.
    pub(super) texts: Vec<&'a str>,
    /// Number of characters of each, at most 255.
    pub(super) n_chars: Vec<u8>,
    /// The integer part of the binary logarithm of each count.
    pub(super) bins: Vec<u8>,
    ids: FxHashMap<&'a str, u32>,
    by_head: FxHashMap<&'a str, Vec<u32>>,
}

impl<'a> Words<'a> {
    /// The look-ups of `words`; a count of 0 is read as 1.
    pub(super) fn new(words: &[(&'a str, u64)]) -> Words<'a> {
        let texts: Vec<&str> = words.iter().map(|&(text, _)| text).collect();
        let n_chars: Vec<u8> =
            texts.iter().map(|text| text.chars().count().min(255) as u8).collect();
        let bins = words.iter().map(|&(_, count)| count.max(1).ilog2() as u8).collect();
        let (mut ids, mut by_head) = (FxHashMap::default(), FxHashMap::<_, Vec<u32>>::default());
        for (id, &text) in (0..).zip(&texts) {
            if n_chars[id as usize] as usize > WORD_CHARS_MAX {
                continue;
            }
            ids.entry(text).or_insert(id);
            if let Some((last, _)) = text.char_indices().next_back() {
                by_head.entry(&text[..last]).or_default().push(id);
            }
        }
        Words { texts, n_chars, bins, ids, by_head }
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The number of the word `text`.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// The words that are `head` plus one character.
    pub(super) fn with_head(&self, head: &str) -> &[u32] {
        self.by_head.get(head).map_or(&[], Vec::as_slice)
    }

    /// Each cut of word `id` in two: number of characters before the cut, and both sides.
    pub(super) fn splits(
        &self,
        id: usize,
    ) -> impl Iterator<Item = (usize, &'a str, &'a str)> + use<'a> {
        let word = if self.n_chars[id] as usize > WORD_CHARS_MAX { "" } else { self.texts[id] };
        word.char_indices().enumerate().skip(1).map(move |(n, (at, _))| {
            let (head, tail) = word.split_at(at);
            (n, head, tail)
        })
    }
}

/// The last character of `text` and what is before it.
pub(super) fn split_last(text: &str) -> Option<(&str, char)> {
    text.char_indices().next_back().map(|(at, last)| (&text[..at], last))
}
