//! Beginnings within a long text: places where a text could begin, some hundred words apart.
//!
//! A model that has never seen a beginning cannot begin. A novel or a program in one file has a
//! single one, so paragraphs of it are marked as beginnings, too: each is predicted after the token
//! that ends a text, as the first words of generated text are.

/// Least distance of beginnings, in bytes.
const SPACING: usize = 512;
/// Documents from which on their own beginnings are enough.
const N_DOCUMENTS: usize = 256;

/// Least distance in bytes of beginnings within documents, of which `n_documents` end in the text;
/// `None` if the documents themselves begin often enough.
pub(super) fn spacing(n_documents: usize) -> Option<usize> {
    (n_documents < N_DOCUMENTS).then_some(SPACING)
}

/// Byte offsets in `text`, ascending and above 0, of beginnings at least `spacing` bytes apart.
///
/// Each is the first within the next four spacings of the best kind: a paragraph after a blank line,
/// a line, a sentence. Where there is none, the text has no beginning.
pub(super) fn beginnings(text: &str, spacing: usize) -> Vec<usize> {
    let (mut found, mut last) = (Vec::new(), 0);
    while text.len() - last > spacing {
        let start = ceil_boundary(text, last + spacing);
        let end = ceil_boundary(text, start.saturating_add(4 * spacing));
        let window = &text[start..end];
        let kinds = [paragraph, line, sentence];
        match kinds.into_iter().find_map(|kind| kind(window)).map(|at| start + at) {
            Some(at) if at < text.len() => {
                found.push(at);
                last = at;
            }
            _ => last = end,
        }
    }
    found
}

fn ceil_boundary(text: &str, at: usize) -> usize {
    (at.min(text.len())..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

/// The start of the first paragraph: of text after a blank line.
fn paragraph(window: &str) -> Option<usize> {
    starts_of_lines(window).find(|&at| {
        let before = window[..at].trim_end_matches([' ', '\t']);
        let ends = ["\r\n", "\n", "\r"];
        let before = ends.iter().find_map(|end| before.strip_suffix(end)).unwrap_or(before);
        before.trim_end_matches([' ', '\t']).ends_with(['\n', '\r'])
    })
}

/// The start of the first line with text.
fn line(window: &str) -> Option<usize> {
    starts_of_lines(window).next()
}

/// Positions after line ends, before lines that are not blank.
fn starts_of_lines(window: &str) -> impl Iterator<Item = usize> {
    let after = |(at, end): (usize, &str)| at + end.len();
    window.match_indices(['\n', '\r']).map(after).filter(|&at| {
        let line = window[at..].split(['\n', '\r']).next().unwrap_or_default();
        !line.trim().is_empty()
    })
}

/// The start of the first sentence: after a full stop and, where there are blanks, a blank.
fn sentence(window: &str) -> Option<usize> {
    window.char_indices().find_map(|(at, c)| {
        let after = at + c.len_utf8();
        match c {
            '。' | '！' | '？' => Some(after),
            // The blank belongs to the word after it.
            '.' | '!' | '?' if window[after..].starts_with(' ') => Some(after),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words at each beginning.
    fn found(text: &str, spacing: usize) -> Vec<String> {
        let found = beginnings(text, spacing);
        assert!(found.is_sorted() && found.iter().all(|at| *at > 0 && *at < text.len()));
        found.iter().map(|at| text[*at..].chars().take(4).collect()).collect()
    }

    #[test]
    fn paragraphs_begin_before_lines_and_lines_before_sentences() {
        for end in ["\n", "\r\n", "\r"] {
            let lines = format!("Head of it{end}Line two of it{end}");
            let text = format!("{lines}{end}Next part{end}{lines}");
            assert_eq!(found(&text, 8), ["Next", "Head", "Line"], "{end:?}");
            assert_eq!(found(&lines, 5), ["Line"]);
            let spaced = format!("Head of it{end}Line two{end}   {end}Next{end}");
            assert_eq!(found(&spaced, 6), ["Next"]);
        }
        assert_eq!(found("One word. Two words. Three", 6), [" Two", " Thr"]);
        assert_eq!(found("Version 1.2 of no end", 4), Vec::<String>::new());
        assert_eq!(found("一二三四。五六七八。九十", 9), ["五六七八", "九十"]);
        assert_eq!(found("    if x:\n        y()\n\n    z()\n", 8), ["    "]);
    }

    #[test]
    fn beginnings_are_spaced_and_none_is_where_there_is_no_place_for_one() {
        let text = "A line of it.\n".repeat(1000);
        let places = beginnings(&text, 100);
        assert!(places.windows(2).all(|pair| (100..=128).contains(&(pair[1] - pair[0]))));
        assert!(places.len() > 100);
        for none in ["", "word", &"x".repeat(10_000), &"\n".repeat(10_000), &"🙂".repeat(3000)] {
            assert_eq!(beginnings(none, 64), Vec::<usize>::new());
        }
    }
}
