//! Unicode character classes of the split rules, as a table over all code points.
//!
//! The ranges come from `regex-syntax`, which the regular expressions of the `tokenizers` crate use
//! too. Both therefore agree on every character, independent of the Unicode version.

use regex_syntax::hir::{Class, HirKind};
use std::sync::LazyLock;

/// `\p{L}`.
pub(crate) const LETTER: u8 = 1;
/// `\p{M}`.
pub(crate) const MARK: u8 = 2;
/// `\p{N}`.
pub(crate) const NUMBER: u8 = 4;
/// `\s`.
pub(crate) const SPACE: u8 = 8;
/// Everything else: punctuation, symbols, controls, unassigned code points.
pub(crate) const OTHER: u8 = 16;

const BLOCK: usize = 256;
const N_CODE_POINTS: usize = 0x11_0000;

/// Two-stage table of the class of each code point; most blocks of 256 are equal.
pub(crate) struct CharClasses {
    ascii: [u8; 128],
    /// By block of code points: offset in `classes`, divided by [`BLOCK`].
    blocks: Vec<u16>,
    classes: Vec<u8>,
}

static CLASSES: LazyLock<CharClasses> = LazyLock::new(CharClasses::build);

impl CharClasses {
    /// The table, built on the first call.
    pub(crate) fn get() -> &'static CharClasses {
        &CLASSES
    }

    /// The class of `c`: exactly one bit.
    pub(crate) fn of(&self, c: char) -> u8 {
        let c = c as usize;
        self.classes[self.blocks[c / BLOCK] as usize * BLOCK + c % BLOCK]
    }

    /// The class of an ASCII byte.
    ///
    /// # Panics
    /// If `byte` is 128 or more.
    pub(crate) fn of_ascii(&self, byte: u8) -> u8 {
        self.ascii[byte as usize]
    }

    fn build() -> CharClasses {
        let mut flat = vec![OTHER; N_CODE_POINTS];
        for (pattern, class) in
            [(r"\p{L}", LETTER), (r"\p{M}", MARK), (r"\p{N}", NUMBER), (r"\s", SPACE)]
        {
            for (first, last) in ranges(pattern) {
                flat[first as usize..=last as usize].fill(class);
            }
        }
        let mut table = CharClasses { ascii: [0; 128], blocks: Vec::new(), classes: Vec::new() };
        table.ascii.copy_from_slice(&flat[..128]);
        for block in flat.chunks_exact(BLOCK) {
            let seen = table.classes.chunks_exact(BLOCK).position(|known| known == block);
            let number = seen.unwrap_or_else(|| {
                table.classes.extend_from_slice(block);
                table.classes.len() / BLOCK - 1
            });
            table.blocks.push(number as u16);
        }
        table
    }
}

/// The inclusive ranges of a class given as a regular expression.
fn ranges(pattern: &str) -> Vec<(char, char)> {
    let parsed = regex_syntax::parse(pattern).expect("the four patterns above are valid");
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        other => unreachable!("{pattern} is a class of characters, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_well_known_characters() {
        let classes = CharClasses::get();
        for (c, class) in [
            ('a', LETTER),
            ('Ж', LETTER),
            ('語', LETTER),
            ('\u{301}', MARK),
            ('7', NUMBER),
            ('½', NUMBER),
            ('٣', NUMBER),
            (' ', SPACE),
            ('\n', SPACE),
            ('\u{85}', SPACE),
            ('\u{a0}', SPACE),
            ('\u{3000}', SPACE),
            ('\u{200b}', OTHER),
            ('_', OTHER),
            ('😀', OTHER),
            ('\u{10ffff}', OTHER),
        ] {
            assert_eq!(classes.of(c), class, "{c:?}");
            if c.is_ascii() {
                assert_eq!(classes.of_ascii(c as u8), class, "{c:?}");
            }
        }
    }

    /// White space is a closed set, so the standard library must agree.
    #[test]
    fn space_is_white_space() {
        for c in '\0'..=char::MAX {
            assert_eq!(CharClasses::get().of(c) == SPACE, c.is_whitespace(), "{c:?}");
        }
    }
}
