//! Pre-tokenisation by split rules, without regular expressions.
//!
//! Merges never cross the boundary of a pre-token: a word with the blank before it, a number, a run
//! of punctuation, a run of blanks. Each rule has a regular expression for tokenizer.json, and a
//! scanner that finds the same boundaries in one pass without allocation. No rule looks behind, and
//! no match depends on the text after a position where a blank follows a non-blank; `parallel` cuts
//! text there.

use super::unicode::{CharClasses, LETTER, MARK, NUMBER, OTHER, SPACE};

/// Rule for splitting text into pre-tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitRule {
    /// GPT-2's rule, which `ByteLevel` with `use_regex` applies.
    Gpt2,
    /// The rule of word-level tokenisers; see `word`.
    Words,
    /// Every character is a pre-token.
    Characters,
}

/// GPT-2's rule as a regular expression.
#[cfg(test)]
pub(super) const GPT2_PATTERN: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The rule of words as a regular expression: clitics; words with their marks; numbers;
/// punctuation; line ends; blanks, the last of which is left to the word that follows.
pub(super) const WORDS_PATTERN: &str = concat!(
    r"['’](?:[sS]|[tT]|[mM]|[dD]|[rR][eE]|[vV][eE]|[lL][lL])(?![\p{L}\p{M}])",
    r"| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|[\r\n]+|[^\S\r\n]+(?!\S)|\s",
);

/// The rule of characters as a regular expression.
pub(super) const CHARACTERS_PATTERN: &str = r"[\s\S]";

impl SplitRule {
    /// The pre-tokens of `text`, in order and without gaps.
    pub(super) fn split(self, text: &str) -> Pretokens<'_> {
        Pretokens { rule: self, scanner: Scanner { text, classes: CharClasses::get() }, start: 0 }
    }
}

/// Iterator over pre-tokens.
pub(super) struct Pretokens<'t> {
    rule: SplitRule,
    scanner: Scanner<'t>,
    start: usize,
}

impl<'t> Iterator for Pretokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let (start, text) = (self.start, self.scanner.text);
        if start == text.len() {
            return None;
        }
        self.start = match self.rule {
            SplitRule::Gpt2 => self.scanner.gpt2_end(start),
            SplitRule::Words => self.scanner.words_end(start),
            SplitRule::Characters => start + self.scanner.char_at(start).len_utf8(),
        };
        Some(&text[start..self.start])
    }
}

/// Text and the classes of its characters. Positions are bytes, always between characters.
struct Scanner<'t> {
    text: &'t str,
    classes: &'static CharClasses,
}

impl Scanner<'_> {
    /// The end of the pre-token of [`GPT2_PATTERN`] that starts at `start`.
    fn gpt2_end(&self, start: usize) -> usize {
        if let Some(end) = self.gpt2_contraction_end(start) {
            return end;
        }
        let first = self.after_blank(start);
        match self.class_at(first) {
            class @ (LETTER | NUMBER) => return self.run_end(first, class),
            MARK | OTHER => return self.run_end(first, MARK | OTHER),
            _ => {}
        }
        let end = self.run_end(start, SPACE);
        if end == self.text.len() { end } else { self.leave_last(start, end) }
    }

    /// The end of the pre-token of [`WORDS_PATTERN`] that starts at `start`.
    fn words_end(&self, start: usize) -> usize {
        if let Some(end) = self.clitic_end(start) {
            return end;
        }
        let first = self.after_blank(start);
        match self.class_at(first) {
            LETTER | MARK => return self.run_end(first, LETTER | MARK),
            class @ (NUMBER | OTHER) => return self.run_end(first, class),
            _ => {}
        }
        let rest = &self.text[start..];
        let is_line_end = |c: char| c == '\r' || c == '\n';
        if rest.starts_with(is_line_end) {
            return start + rest.find(|c| !is_line_end(c)).unwrap_or(rest.len());
        }
        let is_blank = |c| self.classes.of(c) == SPACE && !is_line_end(c);
        let end = start + rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        // The run is ended by a line end, the end of the text, or the start of a word.
        let stops_at_word = end < self.text.len() && self.class_at(end) != SPACE;
        if stops_at_word { self.leave_last(start, end) } else { end }
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `start`.
    fn gpt2_contraction_end(&self, start: usize) -> Option<usize> {
        let rest = self.text.as_bytes()[start..].strip_prefix(b"'")?;
        match rest {
            [b's' | b't' | b'm' | b'd', ..] => Some(start + 2),
            [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => Some(start + 3),
            _ => None,
        }
    }

    /// The end of an apostrophe of either form and `s`, `t`, `m`, `d`, `re`, `ve` or `ll` of
    /// either case at `start`, if no letter or mark follows.
    fn clitic_end(&self, start: usize) -> Option<usize> {
        let rest = &self.text[start..];
        let letters = rest.strip_prefix('\'').or_else(|| rest.strip_prefix('’'))?.as_bytes();
        let n_letters = match letters {
            [b's' | b't' | b'm' | b'd' | b'S' | b'T' | b'M' | b'D', ..] => 1,
            [b'r' | b'v' | b'R' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] => 2,
            _ => return None,
        };
        let end = self.text.len() - letters.len() + n_letters;
        let goes_on = end < self.text.len() && self.class_at(end) & (LETTER | MARK) != 0;
        (!goes_on).then_some(end)
    }

    /// `start`, or the position after it if there is a blank that is not the last character.
    fn after_blank(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        start + (bytes[start] == b' ' && start + 1 < bytes.len()) as usize
    }

    /// The start of the last character of `start..end`, unless it is the only one.
    fn leave_last(&self, start: usize, end: usize) -> usize {
        let last = self.text[..end].char_indices().next_back().map_or(start, |(at, _)| at);
        if last > start { last } else { end }
    }

    /// The end of the run of characters of the given classes at `start`.
    fn run_end(&self, start: usize, classes: u8) -> usize {
        let bytes = self.text.as_bytes();
        let mut end = start;
        while end < bytes.len() {
            if bytes[end].is_ascii() {
                if self.classes.of_ascii(bytes[end]) & classes == 0 {
                    break;
                }
                end += 1;
            } else {
                let c = self.char_at(end);
                if self.classes.of(c) & classes == 0 {
                    break;
                }
                end += c.len_utf8();
            }
        }
        end
    }

    fn class_at(&self, at: usize) -> u8 {
        self.classes.of(self.char_at(at))
    }

    fn char_at(&self, at: usize) -> char {
        self.text[at..].chars().next().expect("the position is before the end of the text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
    use tokenizers::{SplitDelimiterBehavior, pre_tokenizers::byte_level::ByteLevel};

    /// The rules as the `tokenizers` crate applies their patterns.
    static PATTERNS: LazyLock<[(SplitRule, Split); 3]> = LazyLock::new(|| {
        [
            (SplitRule::Gpt2, GPT2_PATTERN),
            (SplitRule::Words, WORDS_PATTERN),
            (SplitRule::Characters, CHARACTERS_PATTERN),
        ]
        .map(|(rule, pattern)| {
            let pattern = SplitPattern::Regex(pattern.into());
            (rule, Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap())
        })
    });

    fn assert_rules_match_their_patterns(text: &str) {
        for (rule, split) in &*PATTERNS {
            let mut pretokenized = PreTokenizedString::from(text);
            split.pre_tokenize(&mut pretokenized).unwrap();
            let theirs = pretokenized.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let theirs = theirs.into_iter().map(|(piece, _, _)| piece).filter(|p| !p.is_empty());
            assert!(rule.split(text).eq(theirs), "{rule:?} on {text:?}");
        }
    }

    #[test]
    fn the_rule_of_words_by_example() {
        let pieces: Vec<&str> = SplitRule::Words
            .split("It's  \"fine\",\n\n\tthey'LL say… don’t 'sing' 12.5%")
            .collect();
        let expected = [
            "It", "'s", " ", " \"", "fine", "\",", "\n\n", "\t", "they", "'LL", " say", "…",
            " don", "’t", " '", "sing", "'", " 12", ".", "5", "%",
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn the_pattern_of_gpt2_is_the_one_inside_byte_level() {
        let text = "I'm  sure\n\n they'll've gone 12½ times… naïve cafe\u{301}s\t\tx ";
        let mut pretokenized = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut pretokenized).unwrap();
        let theirs: Vec<(usize, usize)> = pretokenized
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(_, range, _)| range)
            .collect();
        let ours: Vec<(usize, usize)> = SplitRule::Gpt2
            .split(text)
            .map(|piece| {
                let start = piece.as_ptr() as usize - text.as_ptr() as usize;
                (start, start + piece.len())
            })
            .collect();
        assert_eq!(ours, theirs);
    }

    /// Every code point of the planes in use, next to letters, digits, blanks and apostrophes.
    #[test]
    fn rules_match_their_patterns_on_every_character() {
        let all: Vec<char> = ('\0'..'\u{34000}').chain('\u{e0000}'..'\u{e0200}').collect();
        for some in all.chunks(1 << 10) {
            let text: String =
                some.iter().map(|c| format!("a{c}1{c} {c}  {c}\n{c}'s{c}")).collect();
            assert_rules_match_their_patterns(&text);
        }
    }

    /// Text in which the alternatives of the patterns are often adjacent.
    fn tricky_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("'"),
            Just("’"),
            Just("s"),
            Just("S"),
            Just("re"),
            Just("LL"),
            Just("ve"),
            Just(" "),
            Just("  "),
            Just("\n"),
            Just("\r\n"),
            Just("\t"),
            Just("\u{a0}"),
            Just("word"),
            Just("é"),
            Just("e\u{301}"),
            Just("語"),
            Just("42"),
            Just("½"),
            Just("."),
            Just("\"("),
            Just("😀"),
            Just("\u{200d}"),
            Just("\u{85}"),
            Just("\0"),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn rules_match_their_patterns_on_tricky_text(text in tricky_text()) {
            assert_rules_match_their_patterns(&text);
        }

        #[test]
        fn rules_match_their_patterns_on_any_text(text in "\\PC{0,40}|(?s:.{0,40})") {
            assert_rules_match_their_patterns(&text);
        }

        /// The property that `parallel` relies on.
        #[test]
        fn a_cut_before_a_blank_changes_nothing(text in tricky_text()) {
            for (at, c) in text.char_indices().skip(1) {
                let before = text[..at].chars().next_back().unwrap();
                if !c.is_whitespace() || before.is_whitespace() {
                    continue;
                }
                for rule in [SplitRule::Gpt2, SplitRule::Words, SplitRule::Characters] {
                    let (left, right) = text.split_at(at);
                    let cut = rule.split(left).chain(rule.split(right));
                    prop_assert!(cut.eq(rule.split(&text)), "{:?} at {}", rule, at);
                }
            }
        }
    }
}
