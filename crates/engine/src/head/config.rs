//! Output layer configuration of a model, as named in flags and files.

use crate::model::ConfigError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of an output layer in flags and files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadName {
    /// One softmax over the vocabulary.
    #[default]
    Full,
    /// A softmax over classes, and one over the tokens of a class.
    Factor,
    /// The most frequent tokens and clusters of rarer ones, which have shorter vectors.
    Adaptive,
    /// One softmax over the vocabulary, trained on a sample of its tokens at each step.
    Sampled,
}

/// The output layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadConfig {
    /// One softmax over the vocabulary.
    #[default]
    Full,
    /// P(token) = P(class) · P(token | class), where the ids of a class are contiguous.
    Factor {
        /// (classes + 1) class `c` has the ids from `class_starts[c]` to `class_starts[c + 1]`.
        class_starts: Vec<u32>,
    },
    /// A softmax over the most frequent tokens and clusters of the others, and one over the tokens
    /// of each cluster. Rarer clusters have shorter vectors. Ids are in descending order of
    /// frequency.
    Adaptive {
        /// (clusters) first id of each cluster; the last cluster ends with the vocabulary.
        cutoffs: Vec<u32>,
    },
}

impl HeadName {
    /// All output layers.
    pub const ALL: [HeadName; 4] =
        [HeadName::Full, HeadName::Factor, HeadName::Adaptive, HeadName::Sampled];

    /// The layer to which a number of classes applies.
    pub const WITH_CLASSES: HeadName = HeadName::Factor;

    /// The layer of this name for a vocabulary without known statistics, with the usual clusters or
    /// `n_classes` classes of equal size; and the number of tokens that targets are compared with
    /// in a step, `n_samples`, or `None` for all.
    pub fn usual(
        self,
        vocab_size: usize,
        n_classes: usize,
        n_samples: usize,
    ) -> (HeadConfig, Option<usize>) {
        match self {
            HeadName::Full => (HeadConfig::Full, None),
            HeadName::Factor => (HeadConfig::equal_classes(vocab_size, n_classes), None),
            HeadName::Adaptive => {
                (HeadConfig::Adaptive { cutoffs: HeadConfig::usual_cutoffs(vocab_size) }, None)
            }
            HeadName::Sampled => (HeadConfig::Full, Some(n_samples)),
        }
    }

    /// The name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            HeadName::Full => "full",
            HeadName::Factor => "factor",
            HeadName::Adaptive => "adaptive",
            HeadName::Sampled => "sampled",
        }
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl HeadConfig {
    /// A factored layer of `n_classes` classes of equal size; the first classes get one more if the
    /// size does not divide evenly.
    pub fn equal_classes(vocab_size: usize, n_classes: usize) -> HeadConfig {
        let (size, rest) = (vocab_size / n_classes, vocab_size % n_classes);
        let start = |class: usize| (class * size + class.min(rest)) as u32;
        HeadConfig::Factor { class_starts: (0..=n_classes).map(start).collect() }
    }

    /// The usual cutoffs of an adaptive layer: 2,000 and 10,000, or an eighth and a half of a small
    /// vocabulary; at least one token is on either side of each.
    pub fn usual_cutoffs(vocab_size: usize) -> Vec<u32> {
        let last = vocab_size.saturating_sub(1).max(1);
        let cutoff =
            |share: usize, most: usize| (vocab_size / share).clamp(1, most).min(last) as u32;
        let mut cutoffs = vec![cutoff(8, 2_000), cutoff(2, 10_000)];
        cutoffs.dedup();
        cutoffs
    }

    /// Whether other programs support it: they know only the softmax over the vocabulary.
    pub fn is_plain(&self) -> bool {
        *self == HeadConfig::Full
    }

    /// Whether a batch uses only some rows of the token tables, so that lanes share one gradient of
    /// these tables.
    pub fn shares_tables(&self) -> bool {
        *self != HeadConfig::Full
    }

    /// First id of each class, (classes + 1), if every token is in a class.
    pub fn class_starts(&self) -> Option<&[u32]> {
        match self {
            HeadConfig::Factor { class_starts } => Some(class_starts),
            HeadConfig::Full | HeadConfig::Adaptive { .. } => None,
        }
    }

    /// Name in flags and files.
    pub fn name(&self) -> HeadName {
        match self {
            HeadConfig::Full => HeadName::Full,
            HeadConfig::Factor { .. } => HeadName::Factor,
            HeadConfig::Adaptive { .. } => HeadName::Adaptive,
        }
    }

    /// Whether the embeddings can serve as its rows, which requires a row of width C per token.
    pub fn can_be_tied(&self) -> bool {
        !matches!(self, HeadConfig::Adaptive { .. })
    }

    /// Outputs of the first softmax, which every position goes through: all tokens, or the classes,
    /// or the most frequent tokens and the clusters.
    pub fn n_outputs(&self, vocab_size: usize) -> usize {
        match self {
            HeadConfig::Full => vocab_size,
            HeadConfig::Factor { class_starts } => class_starts.len() - 1,
            HeadConfig::Adaptive { cutoffs } => cutoffs[0] as usize + cutoffs.len(),
        }
    }

    /// Checks that the classes or clusters divide a vocabulary of this size.
    ///
    /// # Errors
    /// `head.class_starts` if it does not begin with 0, rise, and end with the size; `head.cutoffs`
    /// if it is empty, or does not rise from 1 or more to below the size.
    pub fn check(&self, vocab_size: usize) -> Result<(), ConfigError> {
        let rise = |starts: &[u32]| starts.windows(2).all(|pair| pair[0] < pair[1]);
        let ends = |starts: &[u32]| Some((starts.first().copied()?, *starts.last()? as usize));
        let (field, starts, is_right, expected) = match self {
            HeadConfig::Full => return Ok(()),
            HeadConfig::Factor { class_starts: starts } => {
                let is_right = ends(starts) == Some((0, vocab_size)) && rise(starts);
                ("head.class_starts", starts, is_right, "from 0 to")
            }
            HeadConfig::Adaptive { cutoffs } => {
                let is_within = ends(cutoffs).is_some_and(|(a, b)| a > 0 && b < vocab_size);
                ("head.cutoffs", cutoffs, is_within && rise(cutoffs), "from 1 or more to below")
            }
        };
        if is_right {
            return Ok(());
        }
        let wrong = starts.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
        let found = wrong.or(starts.last().copied()).unwrap_or(0) as usize;
        let expected = format!("numbers that rise {expected} {vocab_size}, the size of vocabulary");
        Err(ConfigError { field, found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_flags_and_files() {
        for head in HeadName::ALL {
            assert_eq!(serde_json::to_value(head).unwrap(), head.to_string());
        }
    }

    #[test]
    fn equal_classes_differ_by_one_token_at_most() {
        let head = HeadConfig::equal_classes(11, 4);
        assert_eq!(head, HeadConfig::Factor { class_starts: vec![0, 3, 6, 9, 11] });
        head.check(11).unwrap();
    }

    #[test]
    fn usual_cutoffs_leave_tokens_on_either_side() {
        let cutoffs = HeadConfig::usual_cutoffs;
        assert_eq!(cutoffs(33_278), [2_000, 10_000]);
        assert_eq!(cutoffs(8_192), [1_024, 4_096]);
        assert_eq!(cutoffs(65), [8, 32]);
        let check = |vocab_size| {
            HeadConfig::Adaptive { cutoffs: cutoffs(vocab_size) }.check(vocab_size).is_ok()
        };
        assert!((2..40).all(check));
        assert!(!check(1), "one token leaves nothing to cut");
    }

    #[test]
    fn cutoffs_must_cut_the_vocabulary() {
        let check = |cutoffs: &[u32]| HeadConfig::Adaptive { cutoffs: cutoffs.to_vec() }.check(10);
        assert!(check(&[1]).is_ok() && check(&[9]).is_ok() && check(&[2, 3, 7]).is_ok());
        for bad in [&[][..], &[0], &[0, 5], &[10], &[5, 5], &[7, 3]] {
            assert_eq!(check(bad).unwrap_err().field, "head.cutoffs", "{bad:?}");
        }
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
