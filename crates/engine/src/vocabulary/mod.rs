//! Vocabulary of a model, to be looked at: its tokens, their parts, primes and classes, and what is
//! similar to a word.

mod similar;

pub use similar::{ByCode, ByEmbedding, Query, SearchTime, Similar};

use crate::formats::{ModelFolder, ModelFolderError};
use crate::model::Layout;
use crate::train::run::TRAIN_NAME;
use lattice::FactorCode;
use std::cmp::Reverse;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};
use text::corpus::{self, TokenFile};
use text::tokenizer::{Control, Tokenizer, TokenizerKind};
use text::vocab::classes::{ClassError, count_tokens};
use text::vocab::morphemes::{FeatureKind, MorphemeError};
use text::vocab::{CodeFileError, Parts, PathCodes, learn_codes};

/// A vocabulary with the parts, paths and counts of its tokens.
#[derive(Debug)]
pub struct Vocabulary {
    /// The model folder.
    pub folder: ModelFolder,
    /// Its table of tensors.
    pub layout: Layout,
    /// Its tokeniser.
    pub tokenizer: Tokenizer,
    /// (V) occurrences of each token in the training text; `None` outside a run's folder.
    pub counts: Option<Vec<u64>>,
    /// The parts of words, if tokens are words.
    pub parts: Option<Parts>,
    /// Time in which the parts were learnt from the vocabulary, if the folder does not have them.
    pub parts_learnt_in: Option<Duration>,
    /// The paths of tokens in the output tree, with a factored output layer.
    pub paths: Option<PathCodes>,
}

/// Error: a vocabulary cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// The model folder.
    #[error(transparent)]
    Folder(#[from] ModelFolderError),
    /// The tokens of the training text.
    #[error(transparent)]
    Tokens(#[from] corpus::Error),
    /// A token of the training text that the vocabulary does not have.
    #[error(transparent)]
    Count(#[from] ClassError),
    /// The file of codes.
    #[error(transparent)]
    Codes(#[from] CodeFileError),
    /// The words, from which no parts can be learnt.
    #[error(transparent)]
    Parts(#[from] MorphemeError),
}

impl VocabularyError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            VocabularyError::Folder(error) => error.code(),
            VocabularyError::Tokens(error) => error.code(),
            VocabularyError::Count(error) => error.code(),
            VocabularyError::Codes(error) => error.code(),
            VocabularyError::Parts(error) => error.code(),
        }
    }
}

/// A class of the output layer.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputClass {
    /// Its prime.
    pub prime: u64,
    /// Its tokens, by decreasing frequency.
    pub ids: Range<u32>,
    /// Share of the training text, from 0 to 1; `None` outside a run's folder.
    pub share: Option<f64>,
}

/// A part that tokens have.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its prime.
    pub prime: u64,
    /// Its kind.
    pub kind: FeatureKind,
    /// The part, for display.
    pub shown: String,
    /// The tokens that have it, most frequent first if counts are known.
    pub holders: Vec<u32>,
}

impl Vocabulary {
    /// Opens the vocabulary of a model folder; `path` is what was given to find it, where a run has
    /// the tokens of its text. Learns the parts of words if the folder does not have them.
    ///
    /// # Errors
    /// [`VocabularyError`].
    pub fn open(folder: ModelFolder, path: &Path) -> Result<Vocabulary, VocabularyError> {
        let layout = folder.layout()?;
        let tokenizer = folder.tokenizer_for(&layout)?;
        let tokens = path.join(TRAIN_NAME);
        let counts = if tokens.is_file() {
            Some(count_tokens(&TokenFile::open(&tokens)?, tokenizer.vocab_size())?)
        } else {
            None
        };
        let (mut parts, mut parts_learnt_in) = (None, None);
        if tokenizer.kind().is_word_level() {
            let codes = match folder.codes(&tokenizer)? {
                Some(codes) => codes,
                None => {
                    let start = Instant::now();
                    let mut control = Control::threads(1);
                    let codes = learn_codes(&tokenizer, counts.as_deref(), &mut control)?;
                    parts_learnt_in = Some(start.elapsed());
                    codes
                }
            };
            parts = Some(Parts::new(codes));
        }
        let paths = layout.config.head.class_starts().map(PathCodes::new);
        Ok(Vocabulary { folder, layout, tokenizer, counts, parts, parts_learnt_in, paths })
    }

    /// The token of a word as typed: the token with a leading blank, else the one without.
    pub fn find(&self, word: &str) -> Option<u32> {
        let tokenizer = &self.tokenizer;
        let as_it_is = || tokenizer.id_of(word).or_else(|| tokenizer.special_id(word));
        tokenizer.id_of(&format!(" {word}")).or_else(as_it_is)
    }

    /// A word outside the vocabulary, spelt as its token would be.
    pub fn as_token(&self, word: &str) -> String {
        let has_blank = self.tokenizer.kind() != TokenizerKind::Word || word.starts_with(' ');
        if has_blank { word.to_owned() } else { format!(" {word}") }
    }

    /// A token for display, without its leading blank.
    pub fn name(&self, id: u32) -> String {
        let text = self.tokenizer.token_text(id);
        match text.strip_prefix(' ') {
            _ if text.trim().is_empty() => format!("{text:?}"),
            Some(word) => word.to_owned(),
            None => text,
        }
    }

    /// The classes of the output layer, in order; none unless it is factored.
    pub fn classes(&self) -> impl Iterator<Item = OutputClass> {
        let total = self.counts.iter().flatten().sum::<u64>().max(1) as f64;
        self.paths.iter().flat_map(move |paths| {
            (0..paths.n_classes()).map(move |class| {
                let ids = paths.members(class);
                let prime = paths.path(ids.start).class_prime;
                let share = self.counts.as_ref().map(|counts| {
                    let count: u64 = counts[ids.start as usize..ids.end as usize].iter().sum();
                    count as f64 / total
                });
                OutputClass { prime, ids, share }
            })
        })
    }

    /// The first `n` parts of words, those that most tokens have first; none unless tokens are
    /// words.
    pub fn commonest_parts(&self, n: usize) -> impl Iterator<Item = Part> {
        self.parts.iter().flat_map(move |parts| {
            (0..).zip(parts.codes.features()).take(n).map(move |(number, feature)| {
                let prime = parts.primes.prime(number);
                let holders = self.holders(parts, |code| code.has(prime));
                Part { prime, kind: feature.kind, shown: parts.shown(prime), holders }
            })
        })
    }

    /// The tokens whose codes pass, most frequent first if counts are known.
    pub fn holders(&self, parts: &Parts, passes: impl Fn(&FactorCode) -> bool) -> Vec<u32> {
        let codes = (0..).zip(parts.primes.all());
        let mut ids: Vec<u32> = codes.filter(|(_, code)| passes(code)).map(|(id, _)| id).collect();
        if let Some(counts) = &self.counts {
            ids.sort_by_key(|&id| Reverse(counts[id as usize]));
        }
        ids
    }
}
