//! Held-out text: the end of a corpus, cut at a boundary of the text.

use super::{Corpus, Error};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A position in a corpus: before byte `byte` of file number `file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPosition {
    /// Number of the file, from 0. The end of the corpus is byte 0 of file `n_files`.
    pub file: usize,
    /// Bytes from the start of the file.
    pub byte: u64,
}

/// The text of a corpus between two positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpan {
    /// Start, inclusive.
    pub start: TextPosition,
    /// End, exclusive; not before `start`.
    pub end: TextPosition,
}

/// Training text and held-out text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The text to train on.
    pub train: TextSpan,
    /// The text to validate with, if any.
    pub validation: Option<TextSpan>,
}

/// Distance on each side of the exact position within which a better boundary is searched.
const SEARCH_BYTES: u64 = 1 << 16;

/// Holds the last `fraction` of `corpus` out; 0 holds nothing out.
///
/// The cut moves to the nearest boundary of the best kind within 64 KiB, or within half of either
/// part if that is less. Kinds, best first: start of a file, of a paragraph, of a line; the blank
/// before a word; between any two characters.
///
/// # Errors
/// [`Error::BadFraction`] unless `0 <= fraction < 1`; [`Error::TooShortToSplit`] if a part would
/// be empty; [`Error::Unreadable`].
pub fn hold_out(corpus: &Corpus, fraction: f64) -> Result<Split, Error> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::BadFraction { found: fraction });
    }
    let all = corpus.all();
    if fraction == 0.0 {
        return Ok(Split { train: all, validation: None });
    }
    let n_bytes = corpus.n_bytes();
    let n_held = (n_bytes as f64 * fraction) as u64;
    if n_held == 0 || n_held >= n_bytes {
        return Err(Error::TooShortToSplit { found: n_bytes });
    }
    let reach = SEARCH_BYTES.min(n_held / 2).min((n_bytes - n_held) / 2);
    let cut = find_boundary(corpus, n_bytes - n_held, reach)?
        .ok_or(Error::TooShortToSplit { found: n_bytes })?;
    let (train, validation) = (TextSpan { end: cut, ..all }, TextSpan { start: cut, ..all });
    Ok(Split { train, validation: Some(validation) })
}

/// The best boundary within `reach` bytes of byte `wanted` of the corpus.
fn find_boundary(corpus: &Corpus, wanted: u64, reach: u64) -> Result<Option<TextPosition>, Error> {
    let mut file_start = 0;
    for (file, report) in corpus.files().iter().enumerate() {
        let size = report.fingerprint.bytes;
        if wanted < file_start + size {
            let local = wanted - file_start;
            // At least four bytes on each side contain a whole character, whatever the reach.
            let window = local.saturating_sub(reach.max(4))..(local + reach.max(4)).min(size);
            let unreadable = |source| Error::Unreadable { path: report.path.clone(), source };
            let mut bytes = vec![0; (window.end - window.start) as usize];
            let mut source = File::open(&report.path).map_err(unreadable)?;
            source.seek(SeekFrom::Start(window.start)).map_err(unreadable)?;
            source.read_exact(&mut bytes).map_err(unreadable)?;
            let is_start_in_reach = file > 0 && window.start == 0;
            if is_start_in_reach {
                return Ok(Some(TextPosition { file, byte: 0 }));
            }
            let found = best_cut(&bytes, (local - window.start) as usize);
            return Ok(found.map(|cut| TextPosition { file, byte: window.start + cut as u64 }));
        }
        file_start += size;
    }
    Ok(None)
}

/// The cut strictly inside `bytes`, of the best kind and then nearest to `wanted`.
fn best_cut(bytes: &[u8], wanted: usize) -> Option<usize> {
    let is_break = |b: u8| b == b'\n' || b == b'\r';
    let starts_line = |i: usize| bytes[i - 1] == b'\n';
    let starts_paragraph = |i: usize| {
        let line_end = bytes[..i].strip_suffix(b"\n").map(|b| b.strip_suffix(b"\r").unwrap_or(b));
        line_end.is_some_and(|before| before.ends_with(b"\n")) && !is_break(bytes[i])
    };
    let starts_word = |i: usize| bytes[i] == b' ' && bytes[i - 1] != b' ';
    let starts_character =
        |i: usize| bytes[i] & 0xC0 != 0x80 && !(bytes[i - 1] == b'\r' && bytes[i] == b'\n');
    let kinds: [&dyn Fn(usize) -> bool; 4] =
        [&starts_paragraph, &starts_line, &starts_word, &starts_character];
    kinds.iter().find_map(|is_cut| {
        (1..bytes.len()).filter(|i| is_cut(*i)).min_by_key(|i| i.abs_diff(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Piece, TextRules};
    use std::ops::ControlFlow;
    use std::path::PathBuf;

    fn corpus(texts: &[&str]) -> (tempfile::TempDir, Corpus) {
        let folder = tempfile::tempdir().unwrap();
        let write = |(i, text): (usize, &&str)| {
            let path = folder.path().join(i.to_string());
            std::fs::write(&path, text).unwrap();
            path
        };
        let paths: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
        let corpus = Corpus::open(&paths, TextRules::default()).unwrap();
        (folder, corpus)
    }

    fn text(corpus: &Corpus, span: TextSpan) -> String {
        let mut text = String::new();
        let each = |piece: Piece<'_>| {
            text.push_str(match piece {
                Piece::Text(piece) => piece,
                Piece::EndOfFile => "|",
            });
            ControlFlow::Continue(())
        };
        corpus.read(span, each).unwrap();
        text
    }

    fn parts(texts: &[&str], fraction: f64) -> (String, String) {
        let (_folder, corpus) = corpus(texts);
        let split = hold_out(&corpus, fraction).unwrap();
        (text(&corpus, split.train), text(&corpus, split.validation.unwrap()))
    }

    #[test]
    fn cuts_before_a_paragraph_then_a_line_then_a_word_then_a_character() {
        let cut = |all: &str| parts(&[all], 0.5).1;
        assert_eq!(cut("one two\nthree four\n\nfive\nsix\nseven"), "five\nsix\nseven|");
        assert_eq!(cut("one\r\ntwo four\r\n\r\nfive six\r\n"), "five six\r\n|");
        assert_eq!(cut("one two three\nfour five"), "four five|");
        assert_eq!(cut("one two three four"), " three four|");
        assert_eq!(cut("éééééé"), "ééé|");
        assert_eq!(cut("ab"), "b|");
    }

    #[test]
    fn the_start_of_a_file_is_preferred_to_a_paragraph() {
        let (train, validation) = parts(&["one\n\ntwo\n", "three\n\nfour\n", "five\n"], 0.5);
        assert_eq!(
            (train.as_str(), validation.as_str()),
            ("one\n\ntwo\n|", "three\n\nfour\n|five\n|")
        );
    }

    #[test]
    fn parts_join_to_the_whole_and_have_about_the_requested_size() {
        let story = "A line of some words.\nAnd another line, of more words.\n\n".repeat(200);
        for fraction in [0.01, 0.05, 0.1, 0.5, 0.9] {
            let (train, validation) = parts(&[&story], fraction);
            let (train, validation) =
                (train.trim_end_matches('|'), validation.trim_end_matches('|'));
            assert_eq!(format!("{train}{validation}"), story);
            let share = validation.len() as f64 / story.len() as f64;
            assert!((share / fraction - 1.0).abs() <= 0.5, "{fraction} gave {share}");
        }
    }

    #[test]
    fn refuses_texts_and_fractions_that_cannot_be_split() {
        let (_folder, corpus) = corpus(&["x"]);
        assert!(matches!(hold_out(&corpus, 0.1), Err(Error::TooShortToSplit { found: 1 })));
        for found in [-0.1, 1.0, 2.0, f64::NAN] {
            assert!(matches!(hold_out(&corpus, found), Err(Error::BadFraction { .. })));
        }
        assert_eq!(hold_out(&corpus, 0.0).unwrap().validation, None);
    }
}
