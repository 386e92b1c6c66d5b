//! Word spans in a token sequence: the start of the word that each token belongs to.
//!
//! A word without a token of its own is spelt by several, the first with its blank: ` flo`, `cc`,
//! `ule`. Spans are found from the ids alone: a token that begins with a letter continues the word
//! before it if that ends with a letter. There is no look-ahead, so results for a position stay
//! valid while text is being generated. Positions whose word may have begun before the first token
//! have no known word.

use crate::tokenizer::unicode::{CharClasses, LETTER, MARK};
use crate::tokenizer::{Tokenizer, TokenizerKind};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Largest number of tokens of a word: a longer run of letters is no word.
pub const WORD_SPAN_MAX: usize = 32;

/// Whether a token can continue a word, and be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edges {
    /// Whether it begins with a letter or mark, and so continues a word before it.
    begins_inside: bool,
    /// What it ends with.
    after: After,
}

/// The end of the previous token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Nothing that a word could continue from.
    Gap,
    /// A letter.
    Letter,
    /// Part of a character: the start of the word is no longer known.
    Fragment,
}

/// Word spans in sequences of the ids of one tokeniser.
#[derive(Clone, Debug)]
pub struct WordSpans {
    tokens: Vec<Box<[u8]>>,
    edges: Vec<Edges>,
}

impl WordSpans {
    /// For the ids of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> WordSpans {
        let ids = 0..tokenizer.vocab_size() as u32;
        // In pre-tokenised text, tokens do not contain the blanks between words.
        let has_gaps = tokenizer.kind() == TokenizerKind::Split;
        WordSpans::of_tokens(
            ids.map(|id| (tokenizer.token(id), has_gaps || tokenizer.is_special(id))),
        )
    }

    /// For tokens in the order of their ids: the bytes, and whether the token always stands alone.
    pub fn of_tokens<'a>(tokens: impl Iterator<Item = (&'a [u8], bool)>) -> WordSpans {
        let apart = Edges { begins_inside: false, after: After::Gap };
        let (tokens, edges) = tokens
            .map(|(token, is_apart)| (token.into(), if is_apart { apart } else { edges_of(token) }))
            .unzip();
        WordSpans { tokens, edges }
    }

    /// Number of tokens of the tokeniser.
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The text that the tokens of a word spell.
    pub fn spell(&self, ids: &[u32]) -> String {
        let bytes = ids.iter().flat_map(|id| self.tokens[*id as usize].iter());
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    }

    /// Calls `found(t, start)` for every position `t` of `ids`, in order. `start` is the position
    /// where the word of `t` begins: `t` itself for a first or only token, `None` if no word is
    /// known.
    ///
    /// # Panics
    /// If an id is not of the tokeniser.
    pub fn find(&self, ids: &[u32], mut found: impl FnMut(usize, Option<usize>)) {
        // Start of the previous word, if it can continue.
        let mut before = After::Fragment;
        let mut word = None;
        for (t, id) in ids.iter().enumerate() {
            let edges = self.edges[*id as usize];
            let start = match before {
                _ if !edges.begins_inside => Some(t),
                After::Gap => Some(t),
                After::Letter => word.filter(|start| t - start < WORD_SPAN_MAX),
                After::Fragment => None,
            };
            found(t, start);
            (before, word) = (edges.after, start);
        }
    }

    /// The positions of each word, in order. A position without a known word is a range by itself.
    fn words(&self, ids: &[u32]) -> Vec<Range<usize>> {
        let mut words: Vec<Range<usize>> = Vec::new();
        self.find(ids, |t, start| match (start, words.last_mut()) {
            (Some(start), Some(word)) if start < t => word.end = t + 1,
            _ => words.push(t..t + 1),
        });
        words
    }
}

fn edges_of(token: &[u8]) -> Edges {
    let Ok(text) = std::str::from_utf8(token) else {
        return Edges { begins_inside: false, after: After::Fragment };
    };
    let is_letter = |c: char| CharClasses::get().of(c) & (LETTER | MARK) != 0;
    let ends = text.chars().next_back().is_some_and(is_letter);
    Edges {
        begins_inside: text.chars().next().is_some_and(is_letter),
        after: if ends { After::Letter } else { After::Gap },
    }
}

/// Number of occurrences of each word of a text, by the tokens that spell it.
#[derive(Clone, Debug)]
pub struct WordCounts {
    runs: WordSpans,
    counts: FxHashMap<Box<[u32]>, u64>,
}

impl WordCounts {
    /// Counts the words of `ids`, including numbers and punctuation.
    pub fn new(runs: WordSpans, ids: &[u32]) -> WordCounts {
        let mut counts: FxHashMap<Box<[u32]>, u64> = FxHashMap::default();
        for word in runs.words(ids) {
            match counts.get_mut(&ids[word.clone()]) {
                Some(count) => *count += 1,
                None => drop(counts.insert(ids[word].into(), 1)),
            }
        }
        WordCounts { runs, counts }
    }

    /// For each position of another text, whether it is in a word counted fewer than `n` times.
    pub fn is_below(&self, n: u64, ids: &[u32]) -> Vec<bool> {
        let mut is_below = vec![false; ids.len()];
        for word in self.runs.words(ids) {
            let count = self.counts.get(&ids[word.clone()]).copied().unwrap_or(0);
            is_below[word].fill(count < n);
        }
        is_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Control, TrainOptions};

    fn tokenizer(kind: TokenizerKind, text: &str) -> Tokenizer {
        let n_pieces = Some(0).filter(|_| kind == TokenizerKind::Word);
        let options = TrainOptions { vocab_size: 300, n_pieces, ..TrainOptions::new(kind) };
        Tokenizer::train(&options, &[text], &mut Control::threads(1)).unwrap()
    }

    /// The words of a text by its tokens: tokens of a word joined by `+`, of no known word by `?`.
    fn words(tokenizer: &Tokenizer, text: &str) -> String {
        let ids = tokenizer.encode(text);
        let mut out = String::new();
        WordSpans::new(tokenizer).find(&ids, |t, start| {
            out += match start {
                Some(start) if start == t => "|",
                Some(_) => "+",
                None => "?",
            };
            out += &tokenizer.token_text(ids[t]);
        });
        out
    }

    #[test]
    fn tokens_of_a_word_are_found() {
        let word = tokenizer(TokenizerKind::Word, "the the the cat cat's cat's");
        assert_eq!(words(&word, " the cat, as"), "| the| cat|,| |a+s");
        assert_eq!(words(&word, " cat's Ab\n\nab-cd 12"), "| cat|'s| |A+b|\\n|\\n|a+b|-|c+d| |1|2");
    }

    /// The first token of a sequence may be inside a word, and after part of a character the word
    /// is unknown, until the next gap.
    #[test]
    fn words_with_an_unknown_beginning_have_no_span() {
        let word = tokenizer(TokenizerKind::Word, "the cat the cat");
        assert_eq!(words(&word, "ab cat"), "?a?b| cat");
        assert_eq!(words(&word, ",aéb,c"), "|,|a|\\xC3|\\xA9?b|,|c");
    }

    #[test]
    fn a_very_long_run_of_letters_is_no_word() {
        let word = tokenizer(TokenizerKind::Word, "the cat the cat");
        let found = words(&word, &format!(",{}", "a".repeat(40)));
        assert_eq!(found, format!("|,|a{}{}", "+a".repeat(WORD_SPAN_MAX - 1), "?a".repeat(8)));
    }

    #[test]
    fn words_of_pretokenised_text_are_separate() {
        let split = tokenizer(TokenizerKind::Split, "the cat\nthe cat\n");
        assert_eq!(words(&split, "the cat\n"), "|the|cat|<eos>");
    }

    #[test]
    fn words_are_counted_however_they_are_spelt() {
        let word = tokenizer(TokenizerKind::Word, "the the the cat cat's cat's");
        let counts = WordCounts::new(
            WordSpans::new(&word),
            &word.encode(" cat,ab,ab,ab cat,abc, cat, the,a"),
        );
        let ids = word.encode(" cat,ab,abc,zz");
        let below = |n| counts.is_below(n, &ids);
        let at = |found: Vec<bool>| -> String {
            found.iter().map(|b| if *b { 'x' } else { '.' }).collect()
        };
        // Tokens: cat , a b , a b c , z z
        assert_eq!(at(below(4)), "x.xx.xxx.xx");
        assert_eq!(at(below(3)), ".....xxx.xx");
        assert_eq!(at(below(1)), ".........xx");
    }

    /// Spans found from any position on equal those found from the beginning, or are unknown.
    #[test]
    fn a_window_agrees_with_the_whole() {
        let word = tokenizer(TokenizerKind::Word, "the cat the cat");
        let runs = WordSpans::new(&word);
        let ids = word.encode(&format!(" the abc cat,ab é cat{} de", "xyz".repeat(15)));
        let starts = |ids: &[u32]| {
            let mut starts = Vec::new();
            runs.find(ids, |_, start| starts.push(start));
            starts
        };
        let whole = starts(&ids);
        for from in 1..ids.len() {
            for (found, of_whole) in starts(&ids[from..]).iter().zip(&whole[from..]) {
                let found = found.map(|start| start + from);
                assert!(found == *of_whole || found.is_none(), "{from}: {found:?}, {of_whole:?}");
            }
        }
    }
}
