//! How a model computes the distribution of the next token.

use super::config::ConfigError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An output layer, as it stands in flags and files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadName {
    /// One softmax over the vocabulary.
    #[default]
    Full,
    /// A softmax over classes, and one over the tokens of a class.
    Factor,
}

/// A name that no output layer has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no output layer is called {0:?}: expected full or factor")]
pub struct UnknownHead(String);

/// The output layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadConfig {
    /// One softmax over the vocabulary.
    #[default]
    Full,
    /// P(token) = P(class) · P(token | class), with the ids of a class side by side.
    Factor {
        /// (classes + 1) class `c` has the ids from `class_starts[c]` to `class_starts[c + 1]`.
        class_starts: Vec<u32>,
    },
}

impl HeadName {
    /// All output layers.
    pub const ALL: [HeadName; 2] = [HeadName::Full, HeadName::Factor];

    /// The name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            HeadName::Full => "full",
            HeadName::Factor => "factor",
        }
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HeadName {
    type Err = UnknownHead;

    fn from_str(name: &str) -> Result<HeadName, UnknownHead> {
        let found = HeadName::ALL.into_iter().find(|head| head.name() == name);
        found.ok_or_else(|| UnknownHead(name.to_string()))
    }
}

impl HeadConfig {
    /// A factored layer whose `n_classes` classes are of equal size; the first of them take what is
    /// left over.
    pub fn equal_classes(vocab_size: usize, n_classes: usize) -> HeadConfig {
        let (size, rest) = (vocab_size / n_classes, vocab_size % n_classes);
        let start = |class: usize| (class * size + class.min(rest)) as u32;
        HeadConfig::Factor { class_starts: (0..=n_classes).map(start).collect() }
    }

    /// Whether it is the softmax over the vocabulary, which is all that other programs know.
    pub fn is_full(&self) -> bool {
        *self == HeadConfig::Full
    }

    /// Its name in flags and files.
    pub fn name(&self) -> HeadName {
        match self {
            HeadConfig::Full => HeadName::Full,
            HeadConfig::Factor { .. } => HeadName::Factor,
        }
    }

    /// Outputs of the softmax that every token takes part in: all tokens, or the classes.
    pub fn n_outputs(&self, vocab_size: usize) -> usize {
        match self {
            HeadConfig::Full => vocab_size,
            HeadConfig::Factor { class_starts } => class_starts.len() - 1,
        }
    }

    /// Checks that the classes cover a vocabulary of this size.
    ///
    /// # Errors
    /// `head.class_starts` if it does not begin with 0, rise, and end with the size.
    pub fn check(&self, vocab_size: usize) -> Result<(), ConfigError> {
        let HeadConfig::Factor { class_starts: starts } = self else { return Ok(()) };
        let ends = (starts.first(), starts.last().map(|last| *last as usize));
        let rises = starts.windows(2).all(|pair| pair[0] < pair[1]);
        if ends == (Some(&0), Some(vocab_size)) && rises {
            return Ok(());
        }
        Err(ConfigError {
            field: "head.class_starts",
            found: starts.len(),
            expected: format!("numbers that rise from 0 to {vocab_size}, the size of vocabulary"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_flags_and_files() {
        for head in HeadName::ALL {
            assert_eq!(head.name().parse(), Ok(head));
            assert_eq!(serde_json::to_value(head).unwrap(), head.to_string());
        }
        let fault = "half".parse::<HeadName>().unwrap_err().to_string();
        assert!(fault.contains("\"half\""), "{fault}");
        assert!(HeadName::ALL.iter().all(|head| fault.contains(head.name())), "{fault}");
    }

    #[test]
    fn equal_classes_differ_by_one_token_at_most() {
        let head = HeadConfig::equal_classes(11, 4);
        assert_eq!(head, HeadConfig::Factor { class_starts: vec![0, 3, 6, 9, 11] });
        head.check(11).unwrap();
    }

    #[test]
    fn classes_must_cover_the_vocabulary() {
        let check =
            |starts: &[u32]| HeadConfig::Factor { class_starts: starts.to_vec() }.check(10).is_ok();
        assert!(check(&[0, 10]) && check(&[0, 3, 9, 10]));
        for bad in [&[][..], &[0], &[0, 9], &[1, 10], &[0, 5, 5, 10], &[0, 12, 10], &[0, 11]] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}
