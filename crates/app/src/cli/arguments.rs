//! Arguments: which of those that begin with a hyphen are flags, and which are values.
//!
//! A flag is written `--word`, or is one of the known short ones (`-h`, `-v`), or one letter after a
//! hyphen. Everything else is a value: `- Hello`, `-5 degrees`, `-ing`, `-1`. So a value needs no
//! escape, and a mistyped flag is still refused, not taken as a value. A value that looks like a flag
//! can be given as `--stop=--word`, or after `--` if it has no flag.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};

/// `arguments`, the program's name first, so that the parser takes values as values: those of flags
/// are joined to them by `=`, those without a flag come last, after `--`.
pub fn settle(arguments: Vec<OsString>, program: &clap::Command) -> Vec<OsString> {
    let mut command = program;
    let mut n_names = 1;
    while let Some(inner) = arguments.get(n_names).and_then(|name| command.find_subcommand(name)) {
        command = inner;
        n_names += 1;
    }
    let mut settled: Vec<OsString> = arguments.iter().take(n_names).cloned().collect();
    if command.has_subcommands() {
        return arguments;
    }
    let known = Known(command);
    // In the order given; and apart, to be used if a value without a flag begins with a hyphen.
    let (mut as_given, mut flags, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_ambiguous = false;
    let mut rest = arguments.into_iter().skip(n_names).peekable();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            as_given.push(argument);
            as_given.extend(rest.by_ref().inspect(|value| values.push(value.clone())));
        } else if known.is_flag(&argument) {
            let value = rest.next_if(|next| known.takes_value(&argument, next));
            match value {
                Some(value) if begins_with_hyphen(&value) => {
                    let mut joined = argument;
                    joined.push("=");
                    joined.push(value);
                    as_given.push(joined.clone());
                    flags.push(joined);
                }
                value => {
                    let both = [Some(argument), value].into_iter().flatten();
                    both.for_each(|part| {
                        as_given.push(part.clone());
                        flags.push(part);
                    });
                }
            }
        } else {
            is_ambiguous |= begins_with_hyphen(&argument);
            as_given.push(argument.clone());
            values.push(argument);
        }
    }
    if is_ambiguous {
        settled.extend(flags);
        settled.push(OsString::from("--"));
        settled.extend(values);
    } else {
        settled.extend(as_given);
    }
    settled
}

/// Whether the parser might take it for a flag; `-` alone is a value.
fn begins_with_hyphen(argument: &OsStr) -> bool {
    argument.len() > 1 && argument.as_encoded_bytes()[0] == b'-'
}

/// The flags of a command.
struct Known<'a>(&'a clap::Command);

impl Known<'_> {
    /// Whether `argument` is written as a flag.
    fn is_flag(&self, argument: &OsStr) -> bool {
        let text = argument.to_string_lossy();
        let is_one_letter =
            |short: &str| short.len() == 1 && short.bytes().all(|byte| byte.is_ascii_alphabetic());
        match text.strip_prefix('-') {
            Some(short) if is_one_letter(short) => true,
            _ => self.is_surely_flag(&text),
        }
    }

    /// Whether `text` cannot be the value of a flag before it: a known short flag, or a long one,
    /// also with one hyphen too few.
    fn is_surely_flag(&self, text: &str) -> bool {
        let Some(name) = text.strip_prefix('-') else { return false };
        let Some(long) = name.strip_prefix('-') else {
            let is_short = |c: char| self.has(|arg| arg.get_short() == Some(c)) || "hV".contains(c);
            let long = name.split('=').next().unwrap_or_default();
            return (!name.is_empty() && name.chars().all(is_short))
                || self.has(|arg| arg.get_long() == Some(long));
        };
        let long = long.split('=').next().unwrap_or_default();
        long.starts_with(|c: char| c.is_ascii_alphabetic())
            && long.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }

    /// Whether `next` is the value of `flag`.
    fn takes_value(&self, flag: &OsStr, next: &OsStr) -> bool {
        let text = flag.to_string_lossy();
        let Some(long) = text.strip_prefix("--") else { return false };
        self.has(|arg| arg.get_long() == Some(long) && arg.get_action().takes_values())
            && next != "--"
            && !self.is_surely_flag(&next.to_string_lossy())
    }

    fn has(&self, is_it: impl Fn(&clap::Arg) -> bool) -> bool {
        self.0.get_arguments().any(is_it)
    }
}

/// What the parser says of numbers, and the same for a reader.
const NUMBERS: [(&str, &str); 6] = [
    ("cannot parse integer from empty string", "expected a whole number"),
    ("invalid digit found in string", "expected a whole number, 0 or more"),
    ("number too large to fit in target type", "expected a smaller number, below 2^64"),
    ("number would be zero for non-zero type", "expected a whole number, 1 or more"),
    ("cannot parse float from empty string", "expected a number, such as 0.5"),
    ("invalid float literal", "expected a number, such as 0.5"),
];

/// The parser's refusal, in words for a reader and with advice that works.
pub fn refusal(error: &clap::Error) -> String {
    let mut text = error.render().to_string().trim_end().to_owned();
    for (of_parser, for_reader) in NUMBERS {
        text = text.replace(of_parser, for_reader);
    }
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(given)) => given.as_str(),
        _ => "",
    };
    let unknown = given(ContextKind::InvalidArg);
    text = text.replace(
        &format!("use '-- {unknown}'"),
        &format!("write '-- {unknown}', or '={unknown}' right after its flag"),
    );
    let is_missing =
        error.kind() == ErrorKind::InvalidValue && given(ContextKind::InvalidValue).is_empty();
    if is_missing {
        let flag = given(ContextKind::InvalidArg).split(' ').next().unwrap_or_default();
        text = text.replacen(
            "\n\n",
            &format!(
                "\n\n  tip: a value that looks like a flag is given with an equals sign, as in {flag}=--word\n\n"
            ),
            1,
        );
    }
    text
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
