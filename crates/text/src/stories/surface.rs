//! Surface text: printing of tokens, and cutting of printed text into tokens and sentences.
//!
//! Tokens are words, punctuation marks, and the quotation marks “ and ”, both printed as `"`.
//! One rule for spaces, capitals and "an", [`Printer`], serves the writer and the parser.

/// Printer of tokens, with spaces, capital letters, and "an" before a vowel.
#[derive(Debug, Default)]
pub struct Printer {
    /// The text so far.
    pub text: String,
    is_capital_next: bool,
    is_joined_next: bool,
    /// An "a" was asked for; the word after it decides between "a" and "an".
    is_article_held: bool,
}

impl Printer {
    /// Begins a sentence in a paragraph that may have others.
    pub fn begin_sentence(&mut self) {
        self.is_capital_next = true;
        self.is_joined_next = self.text.is_empty() || self.text.ends_with('\n');
    }

    /// Prints one token.
    pub fn token(&mut self, token: &str) {
        match token {
            "," | "." | "?" | "!" => {
                self.text.push_str(token);
                self.is_capital_next = token != ",";
            }
            "“" => {
                self.space();
                self.text.push('"');
                self.is_capital_next = true;
                self.is_joined_next = true;
            }
            "”" => {
                self.text.push('"');
                self.is_capital_next = false;
            }
            "a" if !self.is_article_held => self.is_article_held = true,
            word => self.word(word),
        }
    }

    fn word(&mut self, word: &str) {
        if std::mem::take(&mut self.is_article_held) {
            let article = if begins_with_vowel_sound(word) { "an" } else { "a" };
            self.put(article);
        }
        self.put(word);
    }

    fn put(&mut self, word: &str) {
        self.space();
        if std::mem::take(&mut self.is_capital_next) {
            let mut chars = word.chars();
            self.text.extend(chars.next().map(|c| c.to_ascii_uppercase()));
            self.text.push_str(chars.as_str());
        } else {
            self.text.push_str(word);
        }
    }

    fn space(&mut self) {
        if !std::mem::take(&mut self.is_joined_next) {
            self.text.push(' ');
        }
    }
}

/// Whether "an" is used before `word`: by its first letter, except for the exceptions among the
/// words of the stories.
fn begins_with_vowel_sound(word: &str) -> bool {
    let is_vowel = |c: char| "aeiouAEIOU".contains(c);
    match word {
        "hour" | "honest" => true,
        "eucalyptus" | "ewe" | "one" | "ukulele" | "useful" => false,
        _ => word.chars().next().is_some_and(is_vowel),
    }
}

/// Cuts a printed sentence into tokens: each as it stands there, and whether the rules call for a
/// capital letter at its place.
pub fn tokens(sentence: &str) -> Vec<(&str, bool)> {
    let mut tokens = Vec::new();
    let mut rest = sentence.trim_start();
    let mut is_quoted = false;
    let mut is_capital = true;
    while let Some(first) = rest.chars().next() {
        let is_word_char = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
        let len = match rest.find(|c| !is_word_char(c)) {
            Some(0) => first.len_utf8(),
            Some(len) => len,
            None => rest.len(),
        };
        let (printed, after) = rest.split_at(len);
        let token = match printed {
            "\"" if is_quoted => "”",
            "\"" => "“",
            other => other,
        };
        tokens.push((token, is_capital));
        is_quoted ^= printed == "\"";
        is_capital = matches!(token, "“" | "." | "?" | "!");
        rest = after.trim_start();
    }
    tokens
}

/// Cuts text into sentences: at a full stop, question mark or exclamation mark outside quotation
/// marks, or at a closing quotation mark after one unless a small letter goes on ("asked Mia").
/// A line end always ends a sentence.
pub fn split_sentences(text: &str) -> Vec<&str> {
    text.lines().flat_map(split_line).collect()
}

fn split_line(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    let mut last = ' ';
    for (i, c) in line.char_indices() {
        let is_stop = |c: char| matches!(c, '.' | '?' | '!');
        let after = &line[i + c.len_utf8()..];
        let is_end = match c {
            '"' if is_quoted => {
                let goes_on = after.trim_start().starts_with(|c: char| c.is_lowercase());
                is_stop(last) && !goes_on
            }
            c => is_stop(c) && !is_quoted,
        };
        is_quoted ^= c == '"';
        last = c;
        if is_end {
            sentences.push(line[start..i + c.len_utf8()].trim());
            start = i + c.len_utf8();
        }
    }
    sentences.push(line[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(tokens: &str) -> String {
        let mut printer = Printer::default();
        printer.begin_sentence();
        tokens.split(' ').for_each(|token| printer.token(token));
        printer.text
    }

    #[test]
    fn tokens_are_printed_as_english() {
        for (tokens, text) in [
            ("a owl saw a fox .", "An owl saw a fox."),
            ("“ where is it , Tom ? ” asked Mia .", "\"Where is it, Tom?\" asked Mia."),
            ("she said , “ here . ”", "She said, \"Here.\""),
            ("“ a honest man , ” he said .", "\"An honest man,\" he said."),
            ("after a hour , it ended .", "After an hour, it ended."),
        ] {
            assert_eq!(print(tokens), text);
        }
    }

    #[test]
    fn printed_text_is_cut_back_into_tokens() {
        let cut = tokens("\"Where is it, Tom?\" asked Mia.");
        let words: Vec<&str> = cut.iter().map(|(token, _)| *token).collect();
        assert_eq!(words, ["“", "Where", "is", "it", ",", "Tom", "?", "”", "asked", "Mia", "."]);
        let capitals: Vec<bool> = cut.iter().map(|(_, is_capital)| *is_capital).collect();
        assert_eq!(capitals[..4], [true, true, false, false]);
        assert!(capitals[7] && !capitals[8]);
    }

    #[test]
    fn sentences_end_where_a_reader_says() {
        let text = "Mia ran. \"Where is it?\" asked Tom. \"Here,\" she said.\n\n\"It is cold. \
                    Come in.\" Tom said, \"Yes.\" They went in";
        assert_eq!(
            split_sentences(text),
            [
                "Mia ran.",
                "\"Where is it?\" asked Tom.",
                "\"Here,\" she said.",
                "\"It is cold. Come in.\"",
                "Tom said, \"Yes.\"",
                "They went in"
            ]
        );
        assert!(split_sentences(" \n\n").is_empty());
        assert_eq!(split_sentences("\"\"\" . ... "), ["\"\"\" . ..."]);
    }
}
