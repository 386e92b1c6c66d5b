//! Standard streams: the one place that writes to them, with control characters made visible.
//!
//! Text of models and users, and names of files, may hold characters that command a terminal: to
//! move the cursor, to change its title, to reverse the order of letters. What a person is shown goes
//! through [`say`] or [`Out`], which escape them.

use super::columns;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Result, StdoutLock, Write};

/// Writes a line to stderr, ignoring errors: a closed or full stderr must not stop the program.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::say::line(&format!($($part)*)) };
}

pub(crate) use say;

/// Whether a terminal may take `c` as a command: C0, DEL, C1, and the marks that embed, override or
/// isolate the direction of text. Line ends and tabs lay out text and are kept.
fn is_command(c: char) -> bool {
    let turns_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || turns_direction
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let _ = match c {
            c if !is_escaped(c) => shown.write_char(c),
            '\n' | '\r' | '\t' => write!(shown, "{}", c.escape_default()),
            c if (c as u32) < 0x100 => write!(shown, "\\x{:02x}", c as u32),
            c => write!(shown, "{}", c.escape_unicode()),
        };
    }
    Cow::Owned(shown)
}

/// `text` with `\x1b`, `\u{202e}` and the like in place of characters that command a terminal.
pub fn shown(text: &str) -> Cow<'_, str> {
    escape(text, is_command)
}

/// As [`shown`], on one line: with `\n` and `\t` for line ends and tabs.
pub fn shown_on_line(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_command(c) || c == '\n' || c == '\t')
}

/// `text` as stderr shows it: escaped, and on a terminal broken between words.
pub fn for_stderr(text: &str) -> String {
    match columns::stderr_width() {
        Some(width) => columns::wrap(&shown(text), width),
        None => shown(text).into_owned(),
    }
}

/// Writes `text` and a line end to stderr; see [`say`].
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", for_stderr(text));
}

/// Writes the mark after which a person types.
pub fn prompt(mark: &str) {
    let _ = write!(std::io::stderr(), "{mark}");
}

/// Standard output: escaped on a terminal, as it is to a file or another program.
pub struct Out {
    stdout: StdoutLock<'static>,
    is_terminal: bool,
    /// The beginning of a character whose last bytes are still to come.
    begun: Vec<u8>,
}

/// Locks standard output.
pub fn out() -> Out {
    let stdout = std::io::stdout();
    Out { is_terminal: stdout.is_terminal(), stdout: stdout.lock(), begun: Vec::new() }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.is_terminal {
            return self.stdout.write(bytes);
        }
        self.begun.extend_from_slice(bytes);
        let text = take_text(&mut self.begun);
        self.stdout.write_all(shown(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.stdout.flush()
    }
}

/// Standard output by lines, on a terminal each broken between words.
pub struct WrappedOut {
    out: Out,
    begun: Vec<u8>,
}

/// Locks standard output, to write lines.
pub fn lines() -> WrappedOut {
    WrappedOut { out: out(), begun: Vec::new() }
}

impl Write for WrappedOut {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(width) = columns::stdout_width() else { return self.out.write(bytes) };
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            writeln!(self.out, "{}", columns::wrap(&shown(&line), width))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// Takes the characters of `bytes`, leaving the beginning of one that is not complete; bytes that
/// are no UTF-8 become U+FFFD.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        let (valid, bad) = match std::str::from_utf8(bytes) {
            Ok(all) => (all.len(), None),
            Err(error) => (error.valid_up_to(), Some(error.error_len())),
        };
        text += &String::from_utf8_lossy(&bytes[..valid]);
        bytes.drain(..valid);
        let Some(Some(n_bad)) = bad else { return text };
        text.push(char::REPLACEMENT_CHARACTER);
        bytes.drain(..n_bad);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown_escaped() {
        for (text, expected) in [
            ("plain é 語 🎉\n\tx", "plain é 語 🎉\n\tx"),
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("a\rb\x08\x7f\0", "a\\rb\\x08\\x7f\\x00"),
            ("\u{9b}31m", "\\x9b31m"),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_on_line("a\nb\tc\x1b"), "a\\nb\\tc\\x1b");
    }

    #[test]
    fn every_control_character_is_escaped() {
        for c in (0..=0x10ffff).filter_map(char::from_u32).filter(|c| c.is_control()) {
            let text = String::from(c);
            assert_eq!(shown(&text) == text, matches!(c, '\n' | '\t'), "{c:?}");
            assert!(shown_on_line(&text).chars().all(|c| !c.is_control()), "{c:?}");
        }
    }

    #[test]
    fn text_that_comes_in_pieces_is_taken_by_characters() {
        let mut begun = "é語".as_bytes()[..3].to_vec();
        assert_eq!(take_text(&mut begun), "é");
        begun.extend_from_slice(&"語".as_bytes()[1..]);
        assert_eq!(take_text(&mut begun), "語");
        begun.extend_from_slice(b"a\xffb");
        assert_eq!(take_text(&mut begun), "a\u{fffd}b");
        assert!(begun.is_empty());
    }
}
