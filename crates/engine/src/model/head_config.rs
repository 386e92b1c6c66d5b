//! How a model computes the distribution of the next token.

use super::config::ConfigError;
use serde::{Deserialize, Serialize};

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

impl HeadConfig {
    /// Whether it is the softmax over the vocabulary, which is all that other programs know.
    pub fn is_full(&self) -> bool {
        *self == HeadConfig::Full
    }

    /// The name in flags and files.
    pub fn name(&self) -> &'static str {
        match self {
            HeadConfig::Full => "full",
            HeadConfig::Factor { .. } => "factor",
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
    fn classes_must_cover_the_vocabulary() {
        let check =
            |starts: &[u32]| HeadConfig::Factor { class_starts: starts.to_vec() }.check(10).is_ok();
        assert!(check(&[0, 10]) && check(&[0, 3, 9, 10]));
        for bad in [&[][..], &[0], &[0, 9], &[1, 10], &[0, 5, 5, 10], &[0, 12, 10], &[0, 11]] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}
