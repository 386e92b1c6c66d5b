//! Byte-level alphabet of GPT-2: every byte as one printable character, and back.
//!
//! A tokenizer.json stores strings, and a token may be half a character. Each byte is therefore
//! written as a character: printable Latin-1 bytes as themselves, the other 68 as U+0100 onwards in
//! the order of their values. A blank becomes `Ġ` (U+0120), a newline `Ċ` (U+010A).

/// One past the largest character of the alphabet.
const ALPHABET_END: usize = 0x100 + 68;

/// The character of each byte, as a code point.
const CHARS: [u16; 256] = {
    let mut chars = [0; 256];
    let (mut byte, mut n_moved) = (0, 0);
    while byte < 256 {
        let is_printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        chars[byte] = if is_printable { byte as u16 } else { 0x100 + n_moved };
        n_moved += !is_printable as u16;
        byte += 1;
    }
    chars
};

/// The byte of each character below [`ALPHABET_END`]; 256 where there is none.
const BYTES: [u16; ALPHABET_END] = {
    let mut bytes = [256; ALPHABET_END];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
};

/// The character that stands for `byte`.
pub(super) fn char_of(byte: u8) -> char {
    char::from_u32(CHARS[byte as usize].into()).expect("below U+0144, so never a surrogate")
}

/// The byte that `c` stands for, if it is in the alphabet.
pub(super) fn byte_of(c: char) -> Option<u8> {
    u8::try_from(*BYTES.get(c as usize)?).ok()
}

/// Writes bytes in the alphabet.
pub(super) fn to_alphabet(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

/// Reads bytes written by [`to_alphabet`]; `None` if a character is not in the alphabet.
pub(super) fn from_alphabet(text: &str) -> Option<Vec<u8>> {
    text.chars().map(byte_of).collect()
}

/// All bytes in the order of their characters, which is the order of their ids in GPT-2.
pub(super) fn in_alphabet_order() -> impl Iterator<Item = u8> {
    BYTES.iter().filter_map(|&byte| u8::try_from(byte).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn every_byte_has_its_own_character_and_is_read_back() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!(in_alphabet_order().collect::<std::collections::BTreeSet<_>>().len(), 256);
        assert_eq!(to_alphabet(b" a\n"), "ĠaĊ");
        assert_eq!(from_alphabet("ĠaĊ").unwrap(), b" a\n");
        assert_eq!(from_alphabet("日"), None);
    }

    #[test]
    fn the_alphabet_is_that_of_the_tokenizers_crate() {
        let mut ours: Vec<char> = (0..=255).map(char_of).collect();
        let mut theirs: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }
}
