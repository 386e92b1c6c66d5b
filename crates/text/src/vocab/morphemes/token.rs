//! Token shape: a word with case and blank, or the class of any other token.

use crate::tokenizer::unicode::{CharClasses, LETTER, MARK, NUMBER, OTHER, SPACE};

/// A token of a vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Its bytes; a blank before a word belongs to it.
    pub bytes: &'a [u8],
    /// Count in the text that the vocabulary was made from. Tokens of count 0, such as fallback
    /// pieces, get parts but are not learnt from.
    pub count: u64,
    /// Whether it is a special token, without text.
    pub is_special: bool,
}

/// Case of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Capitalised,
    Upper,
    Mixed,
}

impl Case {
    /// Its name as a feature; `None` for lower case.
    pub(super) fn feature(self) -> Option<&'static str> {
        match self {
            Case::Lower => None,
            Case::Capitalised => Some("capitalised"),
            Case::Upper => Some("upper"),
            Case::Mixed => Some("mixed"),
        }
    }
}

/// Shape of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenShape {
    /// Letters and marks, with apostrophes and hyphens inside: the text in lower case.
    Word { text: String, case: Case, has_blank: bool },
    /// Anything else: its class, and its text without the blank before it.
    Other { class: &'static str, text: String, has_blank: bool },
}

impl TokenShape {
    /// The shape of `token`.
    pub(super) fn of(token: &Token) -> TokenShape {
        let other = |class, text: &str, has_blank| TokenShape::Other {
            class,
            text: text.to_owned(),
            has_blank,
        };
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
            return TokenShape::Word { text: bare.to_lowercase(), case: case_of(bare), has_blank };
        }
        let seen = bare.chars().fold(0, |seen, c| seen | CharClasses::get().of(c));
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
    let is_letter = |c: char| CharClasses::get().of(c) & (LETTER | MARK) != 0;
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

    fn shape(bytes: &[u8]) -> TokenShape {
        TokenShape::of(&Token { bytes, count: 1, is_special: false })
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
            assert_eq!(
                shape(token.as_bytes()),
                TokenShape::Word { text, case, has_blank },
                "{token}"
            );
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
            let TokenShape::Other { class, .. } = shape(token) else {
                panic!("{token:?} is no word")
            };
            assert_eq!(class, expected, "{token:?}");
        }
        let special = Token { bytes: b"<eos>", count: 1, is_special: true };
        let TokenShape::Other { class, .. } = TokenShape::of(&special) else { panic!("no word") };
        assert_eq!(class, "special");
    }
}
