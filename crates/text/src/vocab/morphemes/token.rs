//! What a token is: a word with a case and perhaps a blank, or something else of some class.

use crate::tokenizer::unicode::{Classes, LETTER, MARK, NUMBER, OTHER, SPACE};

/// A token of a vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Its bytes; a blank before a word belongs to it.
    pub bytes: &'a [u8],
    /// How often it occurs in the text that the vocabulary was made from. Tokens of count 0, such
    /// as fallback pieces, get parts but teach nothing.
    pub count: u64,
    /// Whether it stands for no text.
    pub is_special: bool,
}

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Capitalised,
    Upper,
    Mixed,
}

impl Case {
    /// Its name as a feature; lower case is none.
    pub(super) fn feature(self) -> Option<&'static str> {
        match self {
            Case::Lower => None,
            Case::Capitalised => Some("capitalised"),
            Case::Upper => Some("upper"),
            Case::Mixed => Some("mixed"),
        }
    }
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Letters and marks, with apostrophes and hyphens inside: the text in lower case.
    Word { text: String, case: Case, has_blank: bool },
    /// Anything else: its class, and its text without the blank before it.
    Other { class: &'static str, text: String, has_blank: bool },
}

impl Shape {
    /// What `token` is.
    pub(super) fn of(token: &Token) -> Shape {
        let other =
            |class, text: &str, has_blank| Shape::Other { class, text: text.to_owned(), has_blank };
        let Ok(text) = std::str::from_utf8(token.bytes) else {
            let hex: String = token.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            return other("bytes", &hex, false);
        };
        if token.is_special {
            return other("special", text, false);
        }
        let (bare, has_blank) = match text.strip_prefix(' ') {
            Some(rest) if !rest.is_empty() => (rest, true),
            _ => (text, false),
        };
        if is_word(bare) {
            return Shape::Word { text: bare.to_lowercase(), case: case_of(bare), has_blank };
        }
        let seen = bare.chars().fold(0, |seen, c| seen | Classes::get().of(c));
        let class = match seen {
            NUMBER => "number",
            SPACE => "space",
            OTHER => "mark",
            _ if seen & NUMBER != 0 => "with number",
            _ => "mixture",
        };
        other(class, bare, has_blank)
    }
}

/// Whether `text` is letters and marks, with single apostrophes and hyphens between them.
fn is_word(text: &str) -> bool {
    let is_letter = |c: char| Classes::get().of(c) & (LETTER | MARK) != 0;
    let mut was_letter = false;
    for c in text.chars() {
        let may_join = was_letter && matches!(c, '\'' | '’' | '-');
        was_letter = is_letter(c);
        if !was_letter && !may_join {
            return false;
        }
    }
    was_letter
}

fn case_of(word: &str) -> Case {
    let mut letters = word.chars().filter(|c| c.is_lowercase() || c.is_uppercase());
    let first_is_upper = letters.next().is_some_and(char::is_uppercase);
    let (mut n_upper, mut n_lower) = (0, 0);
    for c in letters {
        if c.is_uppercase() { n_upper += 1 } else { n_lower += 1 }
    }
    match (first_is_upper, n_upper, n_lower) {
        (false, 0, _) => Case::Lower,
        (true, 0, _) => Case::Capitalised,
        (true, _, 0) => Case::Upper,
        _ => Case::Mixed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: &[u8]) -> Shape {
        Shape::of(&Token { bytes, count: 1, is_special: false })
    }

    #[test]
    fn words_are_known_by_their_letters() {
        for (token, expected, case, has_blank) in [
            (" house", "house", Case::Lower, true),
            ("House", "house", Case::Capitalised, false),
            (" A", "a", Case::Capitalised, true),
            ("NASA", "nasa", Case::Upper, false),
            ("McDonald", "mcdonald", Case::Mixed, false),
            ("o'clock", "o'clock", Case::Lower, false),
            ("self-made", "self-made", Case::Lower, false),
            ("Élan", "élan", Case::Capitalised, false),
            ("cafe\u{301}", "cafe\u{301}", Case::Lower, false),
            ("語", "語", Case::Lower, false),
        ] {
            let text = expected.to_owned();
            assert_eq!(shape(token.as_bytes()), Shape::Word { text, case, has_blank }, "{token}");
        }
    }

    #[test]
    fn everything_else_has_a_class() {
        for (token, expected) in [
            (&b" 1984"[..], "number"),
            (b"1980s", "with number"),
            (b"...", "mark"),
            (b"\n\n", "space"),
            (b" ", "space"),
            (b"'s", "mixture"),
            (b"-", "mark"),
            (b"rock'", "mixture"),
            (b"\xE2\x82", "bytes"),
        ] {
            let Shape::Other { class, .. } = shape(token) else { panic!("{token:?} is no word") };
            assert_eq!(class, expected, "{token:?}");
        }
        let special = Token { bytes: b"<eos>", count: 1, is_special: true };
        let Shape::Other { class, .. } = Shape::of(&special) else { panic!("no word") };
        assert_eq!(class, "special");
    }
}
