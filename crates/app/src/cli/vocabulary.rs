//! Vocabulary of a model for display: tokens, their parts and their primes.

use super::columns::fill;
use super::model;
use super::quantity::show_time;
use super::say::say;
use anyhow::Result;
use engine::formats::ModelFolder;
use engine::model::Layout;
use engine::train::run::TRAIN_NAME;
use lattice::FactorCode;
use std::cmp::Reverse;
use std::path::Path;
use std::time::Instant;
use text::corpus::TokenFile;
use text::tokenizer::{Control, Tokenizer, TokenizerKind};
use text::vocab::classes::count_tokens;
use text::vocab::morphemes::Codes;
use text::vocab::{CODES_NAME, Parts, PathCodes, learn_codes};

/// A vocabulary with the parts, paths and counts of its tokens.
pub struct Vocabulary {
    /// The model folder.
    pub folder: ModelFolder,
    pub layout: Layout,
    pub tokenizer: Tokenizer,
    /// (V) occurrences of each token in the training text; `None` outside a run's folder.
    pub counts: Option<Vec<u64>>,
    /// The parts of words, if tokens are words.
    pub parts: Option<Parts>,
    /// The paths of tokens in the output tree, with a factored output layer.
    pub paths: Option<PathCodes>,
}

impl Vocabulary {
    /// Opens the vocabulary of the model of `path`.
    pub fn open(path: &Path) -> Result<Vocabulary> {
        let folder = model::folder(path)?;
        let layout = folder.layout()?;
        let tokenizer = folder.tokenizer_for(&layout)?;
        let tokens = path.join(TRAIN_NAME);
        let counts = if tokens.is_file() {
            Some(count_tokens(&TokenFile::open(&tokens)?, tokenizer.vocab_size())?)
        } else {
            None
        };
        let parts = if tokenizer.kind().is_word_level() {
            Some(Parts::new(codes(&folder, &tokenizer, counts.as_deref())?))
        } else {
            None
        };
        let paths = layout.config.head.class_starts().map(PathCodes::new);
        Ok(Vocabulary { folder, layout, tokenizer, counts, parts, paths })
    }

    /// Prints why tokens have no parts.
    pub fn say_no_parts(&self) {
        say!(
            "no codes: tokens of a {} vocabulary are pieces of words, which share no parts; train with \
             --tokenizer word or split to have codes",
            self.tokenizer.kind()
        );
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

    /// The tokens whose codes pass, most frequent first if counts are known.
    pub fn holders(&self, parts: &Parts, passes: impl Fn(&FactorCode) -> bool) -> Vec<u32> {
        let codes = (0..).zip(parts.primes.all());
        let mut ids: Vec<u32> = codes.filter(|(_, code)| passes(code)).map(|(id, _)| id).collect();
        if let Some(counts) = &self.counts {
            ids.sort_by_key(|&id| Reverse(counts[id as usize]));
        }
        ids
    }

    /// The names of the first tokens that fit into `width` columns.
    pub fn names(&self, ids: &[u32], width: usize) -> String {
        fill(ids.iter().map(|&id| self.name(id)), width)
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
}

/// The codes in a model folder. If there are none, learns them from the vocabulary and says so.
fn codes(folder: &ModelFolder, tokenizer: &Tokenizer, counts: Option<&[u64]>) -> Result<Codes> {
    if let Some(codes) = folder.codes(tokenizer)? {
        return Ok(codes);
    }
    let start = Instant::now();
    let codes = learn_codes(tokenizer, counts, &mut Control::threads(1))?;
    say!(
        "no {CODES_NAME} in {}: parts of words learnt from the vocabulary in {}",
        folder.path().display(),
        show_time(start.elapsed())
    );
    Ok(codes)
}
