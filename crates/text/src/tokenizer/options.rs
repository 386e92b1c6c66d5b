//! Tokeniser options: the kind, and the limits of the vocabulary.

use super::error::TextError;
use super::specials::{self, END_OF_LINE, END_OF_TEXT, N_SPECIALS_MAX, UNKNOWN};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest vocabulary, read or trained.
pub const VOCAB_SIZE_MAX: usize = 1 << 20;

/// Kind of tokeniser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// Words with the blank before them, numbers, punctuation; other text as pieces and bytes.
    Word,
    /// Pre-tokenised text: split at blanks, `<eos>` at each end of line.
    Split,
    /// Byte-level BPE with GPT-2's split rule.
    Bpe,
    /// Characters; rare ones as bytes.
    Char,
}

impl TokenizerKind {
    /// All kinds.
    pub const ALL: [TokenizerKind; 4] =
        [TokenizerKind::Word, TokenizerKind::Split, TokenizerKind::Bpe, TokenizerKind::Char];

    /// Whether most tokens are whole words, which can share parts.
    pub fn is_word_level(self) -> bool {
        matches!(self, TokenizerKind::Word | TokenizerKind::Split)
    }

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            TokenizerKind::Word => "word",
            TokenizerKind::Split => "split",
            TokenizerKind::Bpe => "bpe",
            TokenizerKind::Char => "char",
        }
    }
}

impl fmt::Display for TokenizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options of training a tokeniser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// The kind of tokeniser.
    pub kind: TokenizerKind,
    /// Largest number of tokens, special ones and bytes included.
    pub vocab_size: usize,
    /// Smallest count of a word or character in the vocabulary, or of a pair to be merged.
    pub min_count: u64,
    /// Word level only: number of fallback pieces of several bytes, out of `vocab_size`. The
    /// default is a quarter. Half as many lengthen unseen text by 1 to 2 %, twice as many shorten
    /// it by less than 1 % (plays and Wikipedia, vocabularies of 4,096 to 32,768).
    pub n_pieces: Option<usize>,
    /// Special tokens in addition to those of the kind; for instance `<|user|>`.
    pub specials: Vec<String>,
}

impl TrainOptions {
    /// The defaults of a kind.
    pub fn new(kind: TokenizerKind) -> TrainOptions {
        let (vocab_size, min_count) = match kind {
            TokenizerKind::Word => (16_384, 2),
            TokenizerKind::Split => (VOCAB_SIZE_MAX, 1),
            TokenizerKind::Bpe => (8_192, 2),
            TokenizerKind::Char => (4_096, 1),
        };
        TrainOptions { kind, vocab_size, min_count, n_pieces: None, specials: Vec::new() }
    }

    /// [`TrainOptions::n_pieces`], or its default; 0 for kinds without pieces.
    pub(super) fn n_pieces(&self) -> usize {
        let word_level = self.kind == TokenizerKind::Word;
        if word_level { self.n_pieces.unwrap_or(self.vocab_size / 4) } else { 0 }
    }

    /// The names of all special tokens, those of the kind first.
    pub(super) fn special_names(&self) -> Vec<String> {
        let own: &[&str] = match self.kind {
            TokenizerKind::Split => &[END_OF_LINE, UNKNOWN],
            _ => &[END_OF_TEXT],
        };
        own.iter().map(|&name| name.to_owned()).chain(self.specials.iter().cloned()).collect()
    }

    /// Checks all options.
    ///
    /// # Errors
    /// [`TextError::Option`], naming the field.
    pub fn check(&self) -> Result<(), TextError> {
        let names = self.special_names();
        for (i, name) in names.iter().enumerate() {
            specials::check_name(name)?;
            if names[..i].contains(name) {
                let found = format!("{name:?} twice, or a name that the kind already has");
                let expected = "each name once".into();
                return Err(TextError::Option { field: "specials", found, expected });
            }
        }
        if names.len() > N_SPECIALS_MAX {
            return Err(TextError::Option {
                field: "specials",
                found: format!("{} names", names.len()),
                expected: format!("at most {N_SPECIALS_MAX}"),
            });
        }
        let n_bytes = if self.kind == TokenizerKind::Split { 0 } else { 256 };
        let n_pieces = self.n_pieces();
        let others = names.len() + n_bytes + 1;
        // Unless their number is given, pieces are a share of the vocabulary themselves.
        let with_pieces =
            |vocab_size| others + TrainOptions { vocab_size, ..self.clone() }.n_pieces();
        let is_enough = |vocab_size: &usize| *vocab_size >= with_pieces(*vocab_size);
        let smallest = (others..=VOCAB_SIZE_MAX).find(is_enough).unwrap_or(VOCAB_SIZE_MAX);
        if !(smallest..=VOCAB_SIZE_MAX).contains(&self.vocab_size) {
            return Err(TextError::Option {
                field: "vocab_size",
                found: self.vocab_size.to_string(),
                expected: format!(
                    "{smallest} to {VOCAB_SIZE_MAX} (there are {} special tokens, {n_bytes} bytes, {}and \
                     something to learn)",
                    names.len(),
                    if n_pieces > 0 { "pieces of words, " } else { "" }
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names() {
        for kind in TokenizerKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn the_smallest_vocabulary_that_is_named_is_valid() {
        for kind in TokenizerKind::ALL {
            let with = |vocab_size| TrainOptions { vocab_size, ..TrainOptions::new(kind) };
            for bad in [0, 1, VOCAB_SIZE_MAX + 1, usize::MAX] {
                let Err(TextError::Option { expected, .. }) = with(bad).check() else { panic!() };
                let smallest: usize = expected.split(' ').next().unwrap().parse().unwrap();
                with(smallest).check().unwrap();
                assert!(with(smallest - 1).check().is_err(), "{kind}: {smallest}");
            }
        }
    }

    #[test]
    fn the_defaults_are_valid_and_invalid_options_are_refused() {
        for kind in TokenizerKind::ALL {
            let options = TrainOptions::new(kind);
            options.check().unwrap();
            for bad in [
                TrainOptions { vocab_size: 2, ..options.clone() },
                TrainOptions { vocab_size: VOCAB_SIZE_MAX + 1, ..options.clone() },
                TrainOptions { specials: vec!["word".into()], ..options.clone() },
                TrainOptions { specials: options.special_names(), ..options.clone() },
                TrainOptions {
                    specials: (0..300).map(|i| format!("<s{i}>")).collect(),
                    ..options.clone()
                },
            ] {
                assert!(matches!(bad.check(), Err(TextError::Option { .. })), "{bad:?}");
            }
        }
    }
}
