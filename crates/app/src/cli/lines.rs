//! Lines that a person or a program types: each is a prompt, or is refused without ending the rest.

use std::io::{BufRead, Cursor, Read, Result};
use text::corpus::{Error, Input, TextRules};

/// Longest line, in bytes: more than a model's context holds.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A line of input.
#[derive(Debug)]
pub struct TypedLine {
    /// Its text without the line end, or why it cannot be one.
    pub text: std::result::Result<String, Error>,
    /// Whether the input ended within it, as by Ctrl-D.
    pub is_last: bool,
}

/// Reads a line; `None` at the end of the input.
///
/// # Errors
/// What the system says.
pub fn read_line(input: &mut impl BufRead, rules: TextRules) -> Result<Option<TypedLine>> {
    let mut bytes = Vec::new();
    if input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let mut is_last = !bytes.ends_with(b"\n");
    if bytes.len() as u64 == LINE_BYTES_MAX && is_last {
        // Nothing of a line end is left to skip only if the input ends here.
        is_last = input.skip_until(b'\n')? == 0;
        let (path, limit) = ("the line".into(), LINE_BYTES_MAX);
        return Ok(Some(TypedLine { text: Err(Error::TooLong { path, limit }), is_last }));
    }
    while bytes.ends_with(b"\n") || bytes.ends_with(b"\r") {
        bytes.pop();
    }
    let text = Input::stream("the line", Cursor::new(bytes)).text(rules);
    Ok(Some(TypedLine { text: text.map(|read| read.text), is_last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of some input; codes of errors in brackets.
    fn lines(bytes: &[u8]) -> (Vec<String>, bool) {
        let (mut input, mut found, mut last) = (bytes, Vec::new(), false);
        while let Some(line) = read_line(&mut input, TextRules::default()).unwrap() {
            let shown = |error: Error| format!("[{}]", error.code());
            found.push(line.text.unwrap_or_else(shown));
            last = line.is_last;
        }
        (found, last)
    }

    #[test]
    fn a_line_that_is_no_text_does_not_end_the_rest() {
        let (found, last) = lines(b"one\r\ncaf\xe9\na\0b\n\ntwo ");
        assert_eq!(found, ["one", "[text-not-utf8]", "[text-binary]", "", "two "]);
        assert!(last, "the input ends within the last line");
        let long = "x".repeat(2 << 20);
        let (found, last) = lines(format!("{long}\nshort\n").as_bytes());
        assert_eq!((found, last), (vec!["[file-too-large]".into(), "short".into()], false));
    }
}
