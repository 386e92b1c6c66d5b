//! Text reader: part of a file as a stream of checked UTF-8, in pieces whose cuts do not change the
//! tokens.
//!
//! Memory is bounded for any file: a gigabyte in one line takes a few pieces. Files are read, not
//! mapped, because a user may truncate one while it is being read.

use super::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Bytes per read, and the approximate size of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces are cut at whitespace if any lies within this many bytes of the end.
const CUT_SEARCH_BYTES: usize = 1 << 16;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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
    /// Remove each carriage return before a line feed.
    Unify,
}

/// Rules for reading text files. A byte order mark at the start of a file is always dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TextRules {
    /// Bytes that are not UTF-8.
    pub invalid_bytes: InvalidBytes,
    /// Carriage returns before line feeds.
    pub line_ends: LineEnds,
}

/// A stream of text pieces from one file.
pub(super) struct TextReader<'a> {
    path: &'a Path,
    file: File,
    rules: TextRules,
    /// At least 2, so that a piece can always end before a carriage return.
    piece_bytes: usize,
    /// Raw bytes not read yet, and the file offset of the first byte not decoded.
    n_left: u64,
    offset: u64,
    /// Bytes read but not decoded: the start of a character cut by the read.
    raw: Vec<u8>,
    /// Decoded text; its first `n_given` bytes have been returned.
    text: String,
    n_given: usize,
    /// Invalid sequences replaced so far.
    pub n_replaced: u64,
}

impl<'a> TextReader<'a> {
    /// Reads the bytes of `range` of the file at `path`; a range that ends past the file's end
    /// is an error when it is reached.
    pub fn open(
        path: &'a Path,
        range: Range<u64>,
        rules: TextRules,
    ) -> Result<TextReader<'a>, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(range.start)).map_err(unreadable)?;
        let n_left = range.end.saturating_sub(range.start);
        Ok(TextReader {
            path,
            file,
            rules,
            piece_bytes: PIECE_BYTES,
            n_left,
            offset: range.start,
            raw: Vec::new(),
            text: String::new(),
            n_given: 0,
            n_replaced: 0,
        })
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
        self.n_given = if self.n_left == 0 { self.text.len() } else { cut_point(&self.text) };
        Ok((self.n_given > 0).then(|| &self.text[..self.n_given]))
    }

    /// Reads once and decodes the complete characters.
    fn read_more(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let n_carried = self.raw.len();
        let n_wanted = usize::try_from(self.n_left).unwrap_or(usize::MAX).min(self.piece_bytes);
        self.raw.resize(n_carried + n_wanted, 0);
        let read = self.file.read(&mut self.raw[n_carried..]);
        let n_read = match read {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
        .map_err(|source| Error::Unreadable { path: self.path.to_owned(), source })?;
        self.raw.truncate(n_carried + n_read);
        self.n_left -= n_read as u64;
        seen(&self.raw[n_carried..]);
        let raw = std::mem::take(&mut self.raw);
        self.raw = self.decode(raw)?;
        Ok(())
    }

    /// Appends the text of `raw` and returns the bytes that need more input to be decoded.
    fn decode(&mut self, raw: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut rest = &raw[..];
        if self.offset == 0 {
            if self.n_left > 0 && rest.len() < BYTE_ORDER_MARK.len() {
                return Ok(raw);
            }
            self.refuse_utf16(rest)?;
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
                self.n_replaced += 1;
                self.text.push(char::REPLACEMENT_CHARACTER);
                self.offset += chunk.invalid().len() as u64;
            }
        }
        Ok(carried)
    }

    /// Appends valid text according to the rules.
    fn append(&mut self, valid: &str) -> Result<(), Error> {
        if self.rules.invalid_bytes == InvalidBytes::Refuse
            && let Some(at) = valid.find('\0')
        {
            let (path, offset) = (self.path.to_owned(), self.offset + at as u64);
            return Err(Error::ZeroByte { path, offset });
        }
        self.offset += valid.len() as u64;
        match self.rules.line_ends {
            LineEnds::Keep => self.text.push_str(valid),
            LineEnds::Unify => self.append_unified(valid),
        }
        Ok(())
    }

    /// Appends `valid` with "\r\n" replaced by "\n", also across two reads.
    fn append_unified(&mut self, valid: &str) {
        if valid.starts_with('\n') && self.text.ends_with('\r') {
            self.text.pop();
        }
        let mut rest = valid;
        while let Some(at) = rest.find("\r\n") {
            self.text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
        }
        self.text.push_str(rest);
    }

    fn refuse_utf16(&self, start: &[u8]) -> Result<(), Error> {
        let is_utf16 = start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF");
        if is_utf16 && self.rules.invalid_bytes == InvalidBytes::Refuse {
            return Err(Error::Utf16 { path: self.path.to_owned() });
        }
        Ok(())
    }
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
/// line feed may be next.
fn cut_point(text: &str) -> usize {
    let bytes = text.as_bytes();
    let first = bytes.len().saturating_sub(CUT_SEARCH_BYTES);
    let is_solid = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
    let is_lone = |i: usize| {
        is_solid(text[..i].chars().next_back()) && is_solid(text[i + 1..].chars().next())
    };
    let last_lone =
        |blank: u8| (first..bytes.len()).rev().find(|i| bytes[*i] == blank && is_lone(*i));
    if let Some(i) = last_lone(b'\n') {
        return i + 1;
    }
    if let Some(i) = last_lone(b' ') {
        return i;
    }
    match text.char_indices().next_back() {
        Some((at, _)) if at > 0 => at,
        _ => text.len(),
    }
}

#[cfg(test)]
#[path = "text_reader_tests.rs"]
mod tests;
