//! Text reader: part of a file as a stream of checked UTF-8, in pieces whose cuts do not change the
//! tokens.
//!
//! Memory is bounded for any file: a gigabyte in one line takes a few pieces. Files are read, not
//! mapped, because a user may truncate one while it is being read.

use super::Error;
use super::input::{open_regular, refused};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Bytes per read, and the approximate size of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces are cut at whitespace if any lies within this many bytes of the end.
const CUT_SEARCH_BYTES: usize = 1 << 16;

/// Characters looked at for a place where normalisation may be cut.
const CUT_SEARCH_CHARS: usize = 256;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Byte order marks of other encodings; that of UTF-32 begins as one of UTF-16 does.
const OTHER_MARKS: [(&[u8], &str); 4] = [
    (b"\xFF\xFE\0\0", "UTF-32"),
    (b"\0\0\xFE\xFF", "UTF-32"),
    (b"\xFF\xFE", "UTF-16"),
    (b"\xFE\xFF", "UTF-16"),
];

/// First bytes of files that hold text in a form of their own: what they are, and what to do. The
/// longest bounds what is read before anything is decoded.
const OTHER_KINDS: [(&[u8], &str, &str); 7] = [
    (b"\xFD7zXZ\0", "an xz archive", "unpack it first: xz -dk FILE"),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", "unpack it first: 7z x FILE"),
    (b"%PDF-", "a PDF document", "save its text first: pdftotext FILE"),
    (b"PK\x03\x04", "a ZIP archive or an office document", "unpack it, or save it as plain text"),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive", "unpack it first: zstd -dk FILE"),
    (b"BZh", "a bzip2 archive", "unpack it first: bzip2 -dk FILE"),
    (b"\x1F\x8B", "a gzip archive", "unpack it first: gzip -dk FILE"),
];

/// Share of bytes that are invalid or zero above which no text is left once they are replaced.
/// French in Latin-1 has a twentieth; compressed and random bytes have more than a third.
const BAD_SHARE_MAX: f64 = 0.1;

/// Treatment of bytes that are not UTF-8 and of zero bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidBytes {
    /// Refuse the file, naming the first such byte.
    #[default]
    Refuse,
    /// Replace each invalid sequence by U+FFFD, as the Unicode standard recommends (chapter 3.9,
    /// "substitution of maximal subparts"), keep zero bytes, and count the replacements.
    Replace,
}

/// Treatment of line ends of other systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnds {
    /// Leave them as they are.
    #[default]
    Keep,
    /// Read a carriage return, with or without a line feed after it, as a line feed.
    Unify,
}

/// Treatment of characters that can be written in several ways, such as é and e with an accent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalForm {
    /// Leave them as they are.
    #[default]
    Keep,
    /// Compose them: normalisation form C of the Unicode standard (annex 15).
    Nfc,
}

/// Rules for reading text files. A byte order mark at the start of a file is always dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TextRules {
    /// Bytes that are not UTF-8.
    pub invalid_bytes: InvalidBytes,
    /// Carriage returns.
    pub line_ends: LineEnds,
    /// Decomposed characters.
    pub normal_form: NormalForm,
}

/// What reading a text changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextChanges {
    /// Number of invalid byte sequences, each replaced by U+FFFD.
    pub n_replaced: u64,
    /// Number of line ends that became line feeds.
    pub n_line_ends: u64,
    /// Number of characters that became composed.
    pub n_composed: u64,
}

/// A stream of text pieces from one file.
pub(super) struct TextReader<'a> {
    path: &'a Path,
    source: Box<dyn Read + 'a>,
    rules: TextRules,
    /// At least 2, so that a piece can always end before a carriage return.
    piece_bytes: usize,
    /// Raw bytes not read yet; `u64::MAX` while the end is not known.
    n_left: u64,
    /// Whether the source must have as many bytes as were asked for.
    is_bounded: bool,
    /// File offset of the first byte not decoded.
    offset: u64,
    /// Bytes read but not decoded: the start of a character cut by the read.
    raw: Vec<u8>,
    /// Decoded text; its first `n_given` bytes have been returned.
    text: String,
    n_given: usize,
    /// The last piece, if normalising changed it.
    composed: String,
    /// Whether the last character was a carriage return, whose line feed may follow.
    is_after_return: bool,
    n_zeros: u64,
    /// What was changed so far.
    pub changes: TextChanges,
}

impl<'a> TextReader<'a> {
    /// Reads the bytes of `range` of the file at `path`; a range that ends past the file's end
    /// is an error when it is reached.
    pub fn open(
        path: &'a Path,
        range: Range<u64>,
        rules: TextRules,
    ) -> Result<TextReader<'a>, Error> {
        let mut file = open_regular(path).map_err(|source| refused(path, source))?;
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        file.seek(SeekFrom::Start(range.start)).map_err(unreadable)?;
        let n_left = range.end.saturating_sub(range.start);
        let reader = TextReader::of(path, Box::new(file), rules);
        Ok(TextReader { n_left, offset: range.start, is_bounded: true, ..reader })
    }

    /// Reads `source`, known as `path`, to its end.
    pub fn of(path: &'a Path, source: Box<dyn Read + 'a>, rules: TextRules) -> TextReader<'a> {
        TextReader {
            path,
            source,
            rules,
            piece_bytes: PIECE_BYTES,
            n_left: u64::MAX,
            is_bounded: false,
            offset: 0,
            raw: Vec::new(),
            text: String::new(),
            n_given: 0,
            composed: String::new(),
            is_after_return: false,
            n_zeros: 0,
            changes: TextChanges::default(),
        }
    }

    /// The next piece, or `None` at the end. `seen` receives the raw bytes in order.
    ///
    /// If there is whitespace near the end, a piece ends after a single line feed or before a
    /// single space, each between two other characters. Splitters join at most one space to the
    /// word after it, so they cut there too.
    pub fn next_piece(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<Option<&str>, Error> {
        self.text.drain(..self.n_given);
        self.n_given = 0;
        while self.n_left > 0 && self.text.len() < self.piece_bytes {
            self.read_more(seen)?;
        }
        let is_nfc = self.rules.normal_form == NormalForm::Nfc;
        self.n_given = loop {
            if self.n_left == 0 {
                break self.text.len();
            }
            let must_cut = !is_nfc || self.text.len() >= 2 * self.piece_bytes.max(CUT_SEARCH_BYTES);
            match cut_point(&self.text, is_nfc, must_cut) {
                Some(at) => break at,
                None => self.read_more(seen)?,
            }
        };
        let piece = &self.text[..self.n_given];
        if is_nfc && may_be_decomposed(piece) {
            self.composed = piece.nfc().collect();
            if self.composed != piece {
                let [before, after] = [piece, &self.composed].map(|text| text.chars().count());
                self.changes.n_composed += before.saturating_sub(after).max(1) as u64;
                return Ok(Some(&self.composed));
            }
        }
        Ok((self.n_given > 0).then(|| &self.text[..self.n_given]))
    }

    /// Checks that replacing left a text.
    ///
    /// # Errors
    /// [`Error::MostlyInvalid`].
    pub fn check_share(&self) -> Result<(), Error> {
        let share = (self.changes.n_replaced + self.n_zeros) as f64 / self.offset.max(1) as f64;
        if share > BAD_SHARE_MAX {
            return Err(Error::MostlyInvalid { path: self.path.to_owned(), share });
        }
        Ok(())
    }

    /// Reads once and decodes the complete characters.
    fn read_more(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let n_carried = self.raw.len();
        let n_wanted = usize::try_from(self.n_left).unwrap_or(usize::MAX).min(self.piece_bytes);
        self.raw.resize(n_carried + n_wanted, 0);
        let read = self.source.read(&mut self.raw[n_carried..]);
        let n_read = match read {
            Ok(0) if self.is_bounded => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => {
                self.n_left = 0;
                Ok(0)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
        .map_err(|source| Error::Unreadable { path: self.path.to_owned(), source })?;
        self.raw.truncate(n_carried + n_read);
        if self.is_bounded {
            self.n_left -= n_read as u64;
        }
        seen(&self.raw[n_carried..]);
        let raw = std::mem::take(&mut self.raw);
        self.raw = self.decode(raw)?;
        Ok(())
    }

    /// Appends the text of `raw` and returns the bytes that need more input to be decoded.
    fn decode(&mut self, raw: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut rest = &raw[..];
        if self.offset == 0 {
            let longest_mark = OTHER_KINDS[0].0.len();
            if self.n_left > 0 && rest.len() < longest_mark {
                return Ok(raw);
            }
            self.refuse_other_kinds(rest)?;
            rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        }
        let n_decodable = if self.n_left == 0 { rest.len() } else { complete_len(rest) };
        let carried = rest[n_decodable..].to_vec();
        self.offset += (raw.len() - rest.len()) as u64;
        for chunk in rest[..n_decodable].utf8_chunks() {
            self.append(chunk.valid())?;
            if let [byte, ..] = *chunk.invalid() {
                if self.rules.invalid_bytes == InvalidBytes::Refuse {
                    let (path, offset) = (self.path.to_owned(), self.offset);
                    return Err(Error::NotUtf8 { path, offset, byte });
                }
                self.changes.n_replaced += 1;
                self.text.push(char::REPLACEMENT_CHARACTER);
                self.is_after_return = false;
                self.offset += chunk.invalid().len() as u64;
            }
        }
        Ok(carried)
    }

    /// Appends valid text according to the rules.
    fn append(&mut self, valid: &str) -> Result<(), Error> {
        if let Some(at) = valid.find('\0') {
            if self.rules.invalid_bytes == InvalidBytes::Refuse {
                let (path, offset) = (self.path.to_owned(), self.offset + at as u64);
                return Err(Error::ZeroByte { path, offset });
            }
            self.n_zeros += valid.bytes().filter(|byte| *byte == 0).count() as u64;
        }
        self.offset += valid.len() as u64;
        match self.rules.line_ends {
            LineEnds::Keep => self.text.push_str(valid),
            LineEnds::Unify => self.append_unified(valid),
        }
        Ok(())
    }

    /// Appends `valid` with a line feed for each carriage return, which takes the line feed after it
    /// along, also across two reads.
    fn append_unified(&mut self, valid: &str) {
        for (i, mut part) in valid.split('\r').enumerate() {
            if i > 0 {
                self.text.push('\n');
                self.changes.n_line_ends += 1;
                self.is_after_return = true;
            }
            if self.is_after_return && !part.is_empty() {
                part = part.strip_prefix('\n').unwrap_or(part);
                self.is_after_return = false;
            }
            self.text.push_str(part);
        }
    }

    fn refuse_other_kinds(&self, start: &[u8]) -> Result<(), Error> {
        let path = || self.path.to_owned();
        // "BZh" may begin a word; the archive goes on with a size of block and a number.
        let is_kind = |first: &[u8]| {
            start.starts_with(first) && (first != b"BZh" || start.get(4) == Some(&b'1'))
        };
        if let Some((_, kind, remedy)) = OTHER_KINDS.iter().find(|(first, ..)| is_kind(first)) {
            return Err(Error::NotPlainText { path: path(), kind, remedy });
        }
        match OTHER_MARKS.iter().find(|(mark, _)| start.starts_with(mark)) {
            Some((_, name)) if self.rules.invalid_bytes == InvalidBytes::Refuse => {
                Err(Error::OtherEncoding { path: path(), name })
            }
            _ => Ok(()),
        }
    }
}

/// Whether normalising might change `text`. Bytes below 0xCC spell characters below U+0300, which
/// are all composed.
fn may_be_decomposed(text: &str) -> bool {
    text.bytes().any(|byte| byte >= 0xCC) && is_nfc_quick(text.chars()) != IsNormalized::Yes
}

/// Whether `c` never combines with what stands before it.
fn stands_alone(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes
}

/// Number of bytes that can be decoded without more input: all but an incomplete character at the
/// end.
fn complete_len(bytes: &[u8]) -> usize {
    let is_inside = |byte: u8| byte & 0xC0 == 0x80;
    for back in 1..=bytes.len().min(4) {
        let at = bytes.len() - back;
        if !is_inside(bytes[at]) {
            let is_start_of_more = match bytes[at] {
                0xC0..=0xDF => back < 2,
                0xE0..=0xEF => back < 3,
                0xF0..=0xF7 => back < 4,
                _ => false,
            };
            return if is_start_of_more { at } else { bytes.len() };
        }
    }
    bytes.len()
}

/// Position at which to cut `text` when more follows; never right after a carriage return, whose
/// line feed may be next, nor, if `is_nfc`, before a character that combines with the one before;
/// `None` if there is no such position, unless it `must_cut`.
fn cut_point(text: &str, is_nfc: bool, must_cut: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = bytes.len().saturating_sub(CUT_SEARCH_BYTES);
    let is_solid = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
    let is_lone = |i: usize| {
        is_solid(text[..i].chars().next_back()) && is_solid(text[i + 1..].chars().next())
    };
    let last_lone =
        |blank: u8| (first..bytes.len()).rev().find(|i| bytes[*i] == blank && is_lone(*i));
    if let Some(i) = last_lone(b'\n') {
        return Some(i + 1);
    }
    if let Some(i) = last_lone(b' ') {
        return Some(i);
    }
    let mut last = text.char_indices().rev().take(CUT_SEARCH_CHARS).filter(|(at, _)| *at > 0);
    let at_last = last.clone().next().map_or(text.len(), |(at, _)| at);
    let alone = last.find(|(_, c)| is_nfc && stands_alone(*c)).map(|(at, _)| at);
    alone.or(must_cut.then_some(at_last))
}

#[cfg(test)]
#[path = "text_reader_tests.rs"]
mod tests;
