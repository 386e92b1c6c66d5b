//! Columns of text, aligned by the display width of characters; the width of the terminal.

use super::say::shown_on_line;
use std::io::IsTerminal;
use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of output that no terminal limits.
pub const USUAL_WIDTH: usize = 80;

/// Fewest columns that text is laid out for: a narrower terminal breaks lines itself.
const WIDTH_MIN: usize = 16;

fn width_of(terminal: Option<(Width, terminal_size::Height)>) -> usize {
    match terminal {
        Some((Width(width), _)) if width > 0 => usize::from(width).max(WIDTH_MIN),
        _ => USUAL_WIDTH,
    }
}

/// Columns of the terminal that stdout is, if it is one.
pub fn stdout_width() -> Option<usize> {
    let stdout = std::io::stdout();
    stdout.is_terminal().then(|| width_of(terminal_size_of(stdout)))
}

/// Columns of the terminal that stderr is, if it is one.
pub fn stderr_width() -> Option<usize> {
    let stderr = std::io::stderr();
    stderr.is_terminal().then(|| width_of(terminal_size_of(stderr)))
}

/// `text` broken between words where a line would exceed `width` columns. Continued lines are
/// indented by two columns more than the line; a word that is wider than a line stays whole.
pub fn wrap(text: &str, width: usize) -> String {
    text.split('\n').map(|line| wrap_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = (line.len() - words.len()).min(width / 4);
    let (mut wrapped, mut used) = (" ".repeat(indent), indent);
    let mut is_first = true;
    for (i, word) in words.split(' ').enumerate() {
        // An empty word is one of several blanks in a row, which align a label.
        let n = word.width() + usize::from(i > 0);
        if used + n > width && !is_first {
            wrapped.truncate(wrapped.trim_end_matches(' ').len());
            wrapped += "\n";
            wrapped += &" ".repeat(indent + 2);
            used = indent + 2 + word.width();
        } else {
            wrapped += if i > 0 { " " } else { "" };
            used += n;
        }
        wrapped += word;
        is_first = is_first && word.is_empty();
    }
    wrapped
}

/// `text` on one line of at most `width` columns, cut with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    fit(text, width).trim_end().to_owned()
}

/// `text` on one line in exactly `width` columns: padded with blanks, or cut with an ellipsis.
/// Characters that command a terminal are escaped.
pub fn fit(text: &str, width: usize) -> String {
    let text = &*shown_on_line(text);
    if text.width() <= width {
        return format!("{text}{}", " ".repeat(width - text.width()));
    }
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        // One column is for the ellipsis.
        let n = c.width().unwrap_or(0);
        if used + n + 1 > width {
            break;
        }
        used += n;
        cut.push(c);
    }
    format!("{cut}…{}", " ".repeat(width.saturating_sub(used + 1)))
}

/// The first `words` that fit into `width` columns, separated by blanks.
pub fn fill(words: impl IntoIterator<Item = String>, width: usize) -> String {
    let (mut line, mut used) = (String::new(), 0);
    for word in words {
        let word = shown_on_line(&word);
        let n = word.width() + usize::from(used > 0);
        if used + n > width {
            break;
        }
        if used > 0 {
            line.push(' ');
        }
        line += &word;
        used += n;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitted_text_has_the_given_display_width() {
        for (text, fitted) in [
            ("", "     "),
            ("abc", "abc  "),
            ("abcde", "abcde"),
            ("abcdef", "abcd…"),
            ("語語", "語語 "),
            ("語語語", "語語…"),
            ("a語語語", "a語… "),
            ("cafe\u{301}s", "cafe\u{301}s"),
        ] {
            assert_eq!(fit(text, 5), fitted, "{text}");
            assert_eq!(fitted.width(), 5, "{fitted}");
        }
    }

    #[test]
    fn a_line_holds_the_words_that_fit() {
        let words = || ["ab", "語", "c", "defg"].map(String::from);
        assert_eq!(fill(words(), 4), "ab");
        assert_eq!(fill(words(), 5), "ab 語");
        assert_eq!(fill(words(), 7), "ab 語 c");
        assert_eq!(fill(words(), 99), "ab 語 c defg");
        assert_eq!(fill(words(), 1), "");
    }
    #[test]
    fn lines_are_broken_between_words() {
        for (text, width, wrapped) in [
            ("a short line", 20, "a short line"),
            ("one two three four", 9, "one two\n  three\n  four"),
            ("  one two three", 9, "  one two\n    three"),
            ("model     much text here", 16, "model     much\n  text here"),
            ("averyveryverylongword and more", 10, "averyveryverylongword\n  and more"),
            ("語語 語語語 語", 9, "語語\n  語語語\n  語"),
            ("one two\nthree four", 8, "one two\nthree\n  four"),
        ] {
            assert_eq!(wrap(text, width), wrapped, "{text:?}");
        }
    }

    #[test]
    fn a_cell_holds_no_line_end_and_no_command_to_the_terminal() {
        assert_eq!(fit("a\nb", 6), "a\\nb  ");
        assert_eq!(fit("\x1b[2J", 10), "\\x1b[2J   ");
        assert_eq!(fill(["\r".to_owned(), "b".to_owned()], 9), "\\r b");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("ab", 4), "ab");
    }
}
