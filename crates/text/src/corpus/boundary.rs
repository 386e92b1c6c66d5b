//! Boundary of a text: the best place for a cut near a position of a corpus.

use super::input::open_regular;
use super::{Corpus, Error, TextPosition};
use std::io::{Read, Seek, SeekFrom};

/// A place to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boundary {
    pub position: TextPosition,
    /// Whether a file or a document begins there, or the corpus ends.
    pub begins_document: bool,
}

/// The best boundary within `reach` bytes of byte `wanted` of the corpus, at most its end.
///
/// Kinds, best first: the start of a file, or of a document after `separator`; of a paragraph; of a
/// line; the end of a Chinese or Japanese sentence; the blank before a word; between any two
/// characters. Of a kind, the nearest to `wanted`.
///
/// # Errors
/// [`Error::Unreadable`].
pub(super) fn find_boundary(
    corpus: &Corpus,
    wanted: u64,
    reach: u64,
    separator: Option<&str>,
) -> Result<Boundary, Error> {
    let mut file_start = 0;
    for (file, report) in corpus.files().iter().enumerate() {
        let size = report.fingerprint.bytes;
        if wanted < file_start + size {
            let local = wanted - file_start;
            // At least four bytes on each side contain a whole character, whatever the reach.
            let window = local.saturating_sub(reach.max(4))..(local + reach.max(4)).min(size);
            let to_ends = [(window.start == 0, local, 0), (window.end == size, size - local, size)];
            let ends = to_ends.into_iter().filter(|(is_in_reach, ..)| *is_in_reach);
            if let Some((_, _, byte)) = ends.min_by_key(|(_, distance, _)| *distance) {
                return Ok(at_file_end(file, byte, size));
            }
            let unreadable = |source| Error::Unreadable { path: report.path.clone(), source };
            let mut bytes = vec![0; (window.end - window.start) as usize];
            let mut source = open_regular(&report.path).map_err(unreadable)?;
            source.seek(SeekFrom::Start(window.start)).map_err(unreadable)?;
            source.read_exact(&mut bytes).map_err(unreadable)?;
            let (cut, begins_document) =
                best_cut(&bytes, (local - window.start) as usize, separator);
            let position = TextPosition { file, byte: window.start + cut as u64 };
            return Ok(Boundary { position, begins_document });
        }
        file_start += size;
    }
    Ok(Boundary { position: corpus.all().end, begins_document: true })
}

/// The start or the end of a file of `size` bytes.
fn at_file_end(file: usize, byte: u64, size: u64) -> Boundary {
    let position = match byte == size {
        true => TextPosition { file: file + 1, byte: 0 },
        false => TextPosition { file, byte },
    };
    Boundary { position, begins_document: true }
}

/// The cut strictly inside `bytes`, of the best kind and then nearest to `wanted`, and whether a
/// document begins there.
fn best_cut(bytes: &[u8], wanted: usize, separator: Option<&str>) -> (usize, bool) {
    let is_break = |b: u8| b == b'\n' || b == b'\r';
    let line_start =
        |i: usize| bytes[i - 1] == b'\n' || (bytes[i - 1] == b'\r' && bytes[i] != b'\n');
    let document_start = |i: usize| {
        let before = bytes[..i].trim_ascii_end();
        let is_after = separator.is_some_and(|separator| before.ends_with(separator.as_bytes()));
        is_after && (line_start(i) || before.len() == i) && !is_break(bytes[i])
    };
    let paragraph_start = |i: usize| {
        let line_end = bytes[..i].strip_suffix(b"\n").map(|b| b.strip_suffix(b"\r").unwrap_or(b));
        let line_end = line_end.or(bytes[..i].strip_suffix(b"\r"));
        line_end.is_some_and(|before| before.ends_with(b"\n") || before.ends_with(b"\r"))
            && !is_break(bytes[i])
    };
    let sentence_start = |i: usize| {
        ["。", "！", "？"].into_iter().any(|stop| bytes[..i].ends_with(stop.as_bytes()))
            && starts_character(bytes, i)
    };
    let word_start = |i: usize| bytes[i] == b' ' && bytes[i - 1] != b' ';
    let kinds: [&dyn Fn(usize) -> bool; 6] =
        [&document_start, &paragraph_start, &line_start, &sentence_start, &word_start, &|i| {
            starts_character(bytes, i)
        }];
    let nearest = |is_cut: &dyn Fn(usize) -> bool| {
        (1..bytes.len()).filter(|i| is_cut(*i)).min_by_key(|i| i.abs_diff(wanted))
    };
    let mut found =
        kinds.iter().enumerate().filter_map(|(kind, is_cut)| Some((nearest(is_cut)?, kind == 0)));
    // Four bytes on each side of `wanted` have the start of a character among them, if the text is
    // UTF-8; other bytes are cut anywhere.
    found.next().unwrap_or((wanted, false))
}

fn starts_character(bytes: &[u8], i: usize) -> bool {
    bytes[i] & 0xC0 != 0x80 && !(bytes[i - 1] == b'\r' && bytes[i] == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> &str {
        let (at, _) = best_cut(text.as_bytes(), text.len() / 2, None);
        &text[at..]
    }

    #[test]
    fn cuts_before_a_paragraph_then_a_line_then_a_word_then_a_character() {
        assert_eq!(cut("one two\nthree four\n\nfive\nsix\nseven"), "five\nsix\nseven");
        assert_eq!(cut("one\r\ntwo four\r\n\r\nfive six\r\n"), "five six\r\n");
        assert_eq!(cut("one\rtwo four\r\rfive six\r"), "five six\r");
        assert_eq!(cut("one two three\nfour five"), "four five");
        assert_eq!(cut("one two three four"), " three four");
        assert_eq!(cut("一二三四。五六七八九"), "五六七八九");
        assert_eq!(cut("éééééé"), "ééé");
        assert_eq!(cut("ab"), "b");
    }

    #[test]
    fn a_document_begins_after_a_separator_and_its_line_end() {
        let text = "One.\n\nMore.\n<end>\nTwo.\n\nMore.\n";
        let (at, is_document) = best_cut(text.as_bytes(), 3, Some("<end>"));
        assert_eq!((&text[at..], is_document), ("Two.\n\nMore.\n", true));
        let text = "One.<end>Two.";
        assert_eq!(best_cut(text.as_bytes(), 1, Some("<end>")), (9, true));
        assert_eq!(best_cut(text.as_bytes(), 1, Some("<stop>")), (1, false));
    }
}
