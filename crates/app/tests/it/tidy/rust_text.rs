//! Rust source scanner: separates code from comments and finds functions, as far as the rules need.

/// The source with comments, strings and characters blanked; every line keeps its number.
pub fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = not_code_len(rest, code.chars().next_back());
        if len == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[len..];
        }
    }
    code
}

/// The source with its comments blanked; every line keeps its number.
pub fn without_comments(source: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(first) = rest.chars().next() {
        let len = not_code_len(rest, kept.chars().next_back()).max(first.len_utf8());
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        let blank = |c| if c == '\n' { '\n' } else { ' ' };
        kept.extend(rest[..len].chars().map(|c| if is_comment { blank(c) } else { c }));
        rest = &rest[len..];
    }
    kept
}

/// Bytes of the comment or literal at the start of `rest`; 0 if there is code.
fn not_code_len(rest: &str, previous: Option<char>) -> usize {
    match rest.as_bytes() {
        [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => string_len(rest),
        [b'\'', ..] => character_len(rest).unwrap_or(0),
        [b'r' | b'b' | b'c', ..] if !previous.is_some_and(is_word_char) => {
            raw_string_len(rest).unwrap_or(0)
        }
        _ => 0,
    }
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth + 1, 2),
            [b'*', b'/', ..] => (depth - 1, 2),
            _ => (depth, 1),
        };
        (depth, at) = (step.0, at + step.1);
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, and the same after `b` or `c`.
fn raw_string_len(rest: &str) -> Option<usize> {
    let after_r = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let n_hashes = after_r.bytes().take_while(|b| *b == b'#').count();
    let body = after_r[n_hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(n_hashes));
    let body_len = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(rest.len() - body.len() + body_len)
}

/// A character literal; none if the quote begins a lifetime.
fn character_len(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next(); // the escaped character, possibly a quote
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` occurs in `line` with no letter, digit or underscore on either side.
pub fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char)
    })
}

/// A function with its body.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub line: usize, // of `fn`, counted from 1
    pub n_lines: usize,
    pub is_test: bool, // under `#[cfg(test)]`
}

/// The functions with a body in `code`, which must come from [`code_of`].
pub fn functions(code: &str) -> Vec<Function> {
    let tests = test_items(code);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name: String = code[at + 3..].chars().take_while(|c| is_word_char(*c)).collect();
        if name.is_empty() || code[..at].chars().next_back().is_some_and(is_word_char) {
            continue; // a function type, or the end of another word
        }
        let end = item_end(code, at);
        if code[..end].ends_with('}') {
            found.push(Function {
                name,
                line: line_of(code, at),
                n_lines: line_of(code, end) - line_of(code, at) + 1,
                is_test: tests.iter().any(|span| span.contains(&at)),
            });
        }
    }
    found
}

/// Byte ranges of the items under `#[cfg(test)]`, or `#[cfg(all(test, ...))]`.
pub fn test_items(code: &str) -> Vec<std::ops::Range<usize>> {
    let starts = ["#[cfg(test)]", "#[cfg(all(test"].map(|mark| code.match_indices(mark));
    starts
        .into_iter()
        .flatten()
        .map(|(at, _)| {
            let attribute_end = code[at..].find(']').map_or(code.len(), |len| at + len + 1);
            at..item_end(code, attribute_end)
        })
        .collect()
}

/// The byte after the item at `start`: after its body's brace, or after the semicolon before any.
fn item_end(code: &str, start: usize) -> usize {
    let (mut brackets, mut braces) = (0, 0);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' if brackets == 0 => braces += 1,
            b'}' if brackets == 0 => braces -= 1,
            b';' if brackets == 0 && braces == 0 => return at + 1,
            _ => continue,
        }
        if byte == b'}' && brackets == 0 && braces == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The line, counted from 1, of the byte at `at`.
pub fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

#[test]
fn blanks_comments_and_literals_only() {
    let source = concat!(
        "let a = \"fn x \\\" {\"; // fn y\n",
        "/* fn z /* } */ { */ let b = '{'; let c: &'a str = r#\"}\"#;\n",
        "let d = '\\''; let e = b\"{\"; let bar = \"\n}\";",
    );
    let code = code_of(source);
    assert_eq!(code.lines().count(), source.lines().count());
    assert!(!code.contains(['{', '}', '"', '#']) && !has_word(&code, "fn"), "{code}");
    for word in ["a", "b", "c", "d", "e", "bar", "str"] {
        assert!(has_word(&code, word), "{word} was lost: {code}");
    }
}

#[test]
fn finds_functions_with_their_lengths() {
    let source = "trait T { fn declared(&self); }\n\
        fn one_line(f: fn(u8) -> u8) -> [u8; { 3 }] { [f(1); 3] }\n\
        #[cfg(test)]\nmod tests {\n    fn three() {\n        if true {}\n    }\n}\nfn last() {\n}\n";
    let found = functions(&code_of(source));
    let function = |name: &str, line, n_lines, is_test| Function {
        name: name.to_string(),
        line,
        n_lines,
        is_test,
    };
    let expected = [
        function("one_line", 2, 1, false),
        function("three", 5, 3, true),
        function("last", 9, 2, false),
    ];
    assert_eq!(found, expected);
}
