//! Special tokens, and the search for them in text.
//!
//! They are found before any splitting, like in the `tokenizers` crate: leftmost first, the longest
//! of those that start at the same position, without overlap.

use super::error::TextError;

/// Ends a document, in the kinds whose tokens are bytes. GPT-2's name for it.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Ends a line, in pre-tokenised text.
pub const END_OF_LINE: &str = "<eos>";
/// Replaces words outside the vocabulary, in pre-tokenised text.
pub const UNKNOWN: &str = "<unk>";

/// Largest number of special tokens of a tokeniser: each costs a pass over the text.
pub(super) const N_SPECIALS_MAX: usize = 256;

/// The special tokens of a tokeniser with their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Specials {
    tokens: Vec<(String, u32)>,
}

/// A part of a text: ordinary text, or a special token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextPart<'t> {
    Text(&'t str),
    Special(u32),
}

impl Specials {
    pub(super) fn new(tokens: Vec<(String, u32)>) -> Specials {
        Specials { tokens }
    }

    /// All special tokens, as name and id.
    pub(super) fn tokens(&self) -> &[(String, u32)] {
        &self.tokens
    }

    /// Their bytes, with which the list of all tokens begins.
    pub(super) fn bytes(&self) -> impl Iterator<Item = Box<[u8]>> {
        self.tokens.iter().map(|(name, _)| name.as_bytes().into())
    }

    pub(super) fn id_of(&self, content: &str) -> Option<u32> {
        self.tokens.iter().find(|(token, _)| token == content).map(|&(_, id)| id)
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.tokens.iter().any(|&(_, special)| special == id)
    }

    /// Cuts `text` at the special tokens in it.
    pub(super) fn split<'s, 't>(&'s self, text: &'t str) -> TextParts<'s, 't> {
        let next = self.tokens.iter().map(|(token, _)| find_from(text, 0, token)).collect();
        TextParts { specials: self, text, at: 0, next, pending: None }
    }
}

/// Refuses names that could be ordinary text. Parallel encoding could cut a name with blanks, and a
/// bare word or mark could also be a token of the vocabulary. A name in angle brackets with a
/// letter in it spans three pre-tokens under every rule.
pub(super) fn check_name(name: &str) -> Result<(), TextError> {
    let inner = name.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let is_fine = inner.is_some_and(|inner| {
        inner.contains(|c: char| c.is_ascii_alphabetic()) && !inner.contains(char::is_whitespace)
    });
    if is_fine && name.len() <= 256 {
        return Ok(());
    }
    Err(TextError::Option {
        field: "specials",
        found: format!("{:?}", super::error::shorten(name)),
        expected: "a name such as <|user|>: in angle brackets, with a letter and no blanks".into(),
    })
}

/// Iterator over the parts of a text.
pub(super) struct TextParts<'s, 't> {
    specials: &'s Specials,
    text: &'t str,
    at: usize,
    /// Next occurrence of each special token, at `at` or later.
    next: Vec<Option<usize>>,
    /// The special token after the text just returned.
    pending: Option<u32>,
}

impl<'t> Iterator for TextParts<'_, 't> {
    type Item = TextPart<'t>;

    fn next(&mut self) -> Option<TextPart<'t>> {
        if let Some(id) = self.pending.take() {
            return Some(TextPart::Special(id));
        }
        if self.at == self.text.len() {
            return None;
        }
        let start = self.at;
        let Some((found, length, id)) = self.nearest() else {
            self.at = self.text.len();
            return Some(TextPart::Text(&self.text[start..]));
        };
        self.at = found + length;
        if found == start {
            return Some(TextPart::Special(id));
        }
        self.pending = Some(id);
        Some(TextPart::Text(&self.text[start..found]))
    }
}

impl TextParts<'_, '_> {
    /// Position, length and id of the special token that comes next.
    fn nearest(&mut self) -> Option<(usize, usize, u32)> {
        let mut nearest: Option<(usize, usize, u32)> = None;
        for ((token, id), next) in self.specials.tokens.iter().zip(&mut self.next) {
            if next.is_some_and(|found| found < self.at) {
                *next = find_from(self.text, self.at, token);
            }
            let Some(found) = *next else { continue };
            let is_better = nearest
                .is_none_or(|(at, length, _)| found < at || (found == at && token.len() > length));
            if is_better {
                nearest = Some((found, token.len(), *id));
            }
        }
        nearest
    }
}

fn find_from(text: &str, start: usize, token: &str) -> Option<usize> {
    text[start..].find(token).map(|found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<TextPart<'_>> {
        let names = ["<a>", "<a>b>", "<c>"].into_iter().zip(0..);
        let specials = Specials::new(names.map(|(name, id)| (name.to_owned(), id)).collect());
        specials.split(text).collect()
    }

    #[test]
    fn leftmost_then_longest() {
        use TextPart::{Special, Text};
        assert_eq!(split(""), []);
        assert_eq!(split("plain"), [Text("plain")]);
        assert_eq!(split("<c><a>b>"), [Special(2), Special(1)]);
        assert_eq!(split("x<a>y<c"), [Text("x"), Special(0), Text("y<c")]);
        assert_eq!(split("<a<a>b<c>"), [Text("<a"), Special(0), Text("b"), Special(2)]);
    }

    #[test]
    fn names_that_could_be_words_are_refused() {
        for good in ["<pad>", "<|im_start|>", "<é|x>"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "<>", "pad", "<pad", "<a b>", "<|->", "<a\n>", &format!("<{}>", "a".repeat(300))]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
