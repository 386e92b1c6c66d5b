//! Columns of text, aligned by the display width of characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` in exactly `width` columns: padded with blanks, or cut with an ellipsis.
pub fn fit(text: &str, width: usize) -> String {
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
}
