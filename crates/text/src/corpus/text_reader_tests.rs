//! Text reader tests: pieces join to the whole text, and every bad byte is found at its offset.

use super::*;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const REPLACE: TextRules = TextRules {
    invalid_bytes: InvalidBytes::Replace,
    line_ends: LineEnds::Keep,
    normal_form: NormalForm::Keep,
};
const UNIFY: TextRules = TextRules {
    invalid_bytes: InvalidBytes::Refuse,
    line_ends: LineEnds::Unify,
    normal_form: NormalForm::Nfc,
};

/// All pieces of a file with these bytes, and the number of replacements.
fn read(bytes: &[u8], rules: TextRules, piece_bytes: usize) -> Result<(Vec<String>, u64), Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let mut reader = TextReader::open(file.path(), 0..bytes.len() as u64, rules).unwrap();
    reader.piece_bytes = piece_bytes;
    let (mut pieces, mut raw) = (Vec::new(), Vec::new());
    while let Some(piece) = reader.next_piece(&mut |bytes| raw.extend_from_slice(bytes))? {
        pieces.push(piece.to_owned());
    }
    assert_eq!(raw, bytes, "the raw bytes are shown in order");
    Ok((pieces, reader.changes.n_replaced))
}

/// Bytes in which valid and invalid UTF-8, blanks and line ends meet often.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"a b".to_vec()),
        Just("e\u{301}\u{323}".as_bytes().to_vec()),
        Just("\u{1100}\u{1161}\u{11a8}".as_bytes().to_vec()),
        Just("é\u{20ac}\u{10348}".as_bytes().to_vec()),
        Just(b"\xE2\x82".to_vec()),
        Just(b"\xF0\x90\x80".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn pieces_join_to_what_decoding_at_once_gives(bytes in hostile_bytes(), piece in 2usize..20) {
        let after_mark = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let whole = String::from_utf8_lossy(after_mark);
        let (pieces, n_replaced) = read(&bytes, REPLACE, piece).unwrap();
        prop_assert_eq!(pieces.concat(), &whole[..]);
        let n_invalid = after_mark.utf8_chunks().filter(|c| !c.invalid().is_empty()).count();
        prop_assert_eq!(n_replaced, n_invalid as u64);

        let unify = TextRules { line_ends: LineEnds::Unify, ..REPLACE };
        let (pieces, _) = read(&bytes, unify, piece).unwrap();
        prop_assert_eq!(pieces.concat(), whole.replace("\r\n", "\n").replace('\r', "\n"));

        let nfc = TextRules { normal_form: NormalForm::Nfc, ..REPLACE };
        let (pieces, _) = read(&bytes, nfc, piece).unwrap();
        prop_assert_eq!(pieces.concat(), whole.nfc().collect::<String>());
    }

    #[test]
    fn the_first_bad_byte_is_named(bytes in hostile_bytes(), piece in 2usize..20) {
        let skipped = if bytes.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
        let first_bad = std::str::from_utf8(&bytes[skipped..]).err().map(|e| e.valid_up_to());
        let zero = bytes[skipped..].iter().position(|b| *b == 0);
        match read(&bytes, TextRules::default(), piece) {
            Ok(_) => prop_assert!(first_bad.is_none() && zero.is_none()),
            Err(Error::NotUtf8 { offset, byte, .. }) => {
                let at = first_bad.unwrap() + skipped;
                prop_assert_eq!((offset, byte), (at as u64, bytes[at]));
            }
            Err(Error::ZeroByte { offset, .. }) => {
                prop_assert_eq!(offset, (zero.unwrap() + skipped) as u64);
            }
            Err(Error::OtherEncoding { .. }) => prop_assert!([0, 0xFE, 0xFF].contains(&bytes[0])),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn pieces_end_where_word_splitters_cut() {
    let lines = "Some words in a line.\nNext\n\nlast ".repeat(20);
    for piece in [64, 100, 333] {
        let (pieces, _) = read(lines.as_bytes(), TextRules::default(), piece).unwrap();
        assert!(pieces.len() > 1);
        for piece in &pieces[..pieces.len() - 1] {
            assert!(piece.ends_with("line.\n"), "{piece:?}");
        }
    }
    let (pieces, _) = read("Слово ещё ".repeat(30).as_bytes(), TextRules::default(), 64).unwrap();
    assert!(pieces[1..].iter().all(|p| p.starts_with(' ')), "{pieces:?}");
    let (pieces, _) = read("漢字".repeat(100).as_bytes(), TextRules::default(), 64).unwrap();
    assert!(pieces.len() > 5);
}

#[test]
fn one_long_line_takes_the_memory_of_a_few_pieces() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let size = 16 * PIECE_BYTES;
    std::fs::write(file.path(), vec![b'a'; size]).unwrap();
    let mut reader = TextReader::open(file.path(), 0..size as u64, UNIFY).unwrap();
    let mut n_bytes = 0;
    while let Some(piece) = reader.next_piece(&mut |_| ()).unwrap() {
        n_bytes += piece.len();
        assert!(reader.text.capacity() + reader.raw.capacity() <= 6 * PIECE_BYTES);
    }
    assert_eq!(n_bytes, size);
}
