//! Token codes: features of parts, case or class, numbered like primes.
//!
//! A feature is a part with its kind, the case of a word, the lack of a blank before it, the class
//! of a token that is not a word, or the identity of that token. The more tokens have a feature,
//! the smaller its prime: number 0 is the prime 2, number 1 is 3, and so on. The logarithm of a
//! prime therefore grows like that of its feature's rarity, and codes stay short. " House", "house"
//! and " houses" share the prime of the stem *house*.

use super::error::MorphemeError;
use super::interned::Interned;
use super::lexicon::PartLexicon;
use super::segmentation::{PartKind, WordParts, segment_vocabulary};
use super::token::{Token, TokenShape};
use crate::tokenizer::Control;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Kind of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// A stem.
    Stem,
    /// A prefix.
    Prefix,
    /// A suffix.
    Suffix,
    /// A piece, which is none of the above.
    Piece,
    /// The case of a word that is not in lower case: capitalised, upper, mixed.
    Case,
    /// No blank before the word, in a vocabulary whose words have one.
    Joint,
    /// The class of a token that is not a word: number, punctuation, space, special token and so
    /// on.
    Class,
    /// The identity of a token that is not a word.
    Token,
}

impl FeatureKind {
    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            FeatureKind::Stem => "stem",
            FeatureKind::Prefix => "prefix",
            FeatureKind::Suffix => "suffix",
            FeatureKind::Piece => "piece",
            FeatureKind::Case => "case",
            FeatureKind::Joint => "joint",
            FeatureKind::Class => "class",
            FeatureKind::Token => "token",
        }
    }
}

/// A property that tokens may share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature {
    /// The kind.
    pub kind: FeatureKind,
    /// The part, case, class or token; empty for [`FeatureKind::Joint`].
    pub text: String,
}

impl Feature {
    /// A feature.
    pub fn new(kind: FeatureKind, text: impl Into<String>) -> Feature {
        Feature { kind, text: text.into() }
    }
}

/// The features of a vocabulary, the code of each token, and a coder for other words.
#[derive(Clone, Debug)]
pub struct Codes {
    pub(super) features: Interned<Feature>,
    pub(super) codes: Vec<Box<[u32]>>,
    pub(super) lexicon: PartLexicon,
    /// Whether words have a blank before them, so that its absence is a feature.
    pub(super) has_blanks: bool,
}

impl Codes {
    /// Learns the parts of the words among `tokens`, given in the order of their ids, and the code
    /// of every token. Deterministic.
    ///
    /// `control` receives the progress in rounds.
    ///
    /// # Errors
    /// [`MorphemeError::Cancelled`].
    pub fn learn(tokens: &[Token], control: &mut Control) -> Result<Codes, MorphemeError> {
        let shapes: Vec<TokenShape> = tokens.iter().map(TokenShape::of).collect();
        let has_blanks =
            shapes.iter().any(|shape| matches!(shape, TokenShape::Word { has_blank: true, .. }));

        // All forms of a word, with and without a blank, in any case, count as one word.
        let (mut words, mut counts): (Interned<&str>, Vec<u64>) = Default::default();
        for (shape, token) in shapes.iter().zip(tokens).filter(|(_, token)| token.count > 0) {
            if let TokenShape::Word { text, .. } = shape {
                let id = words.id(text) as usize;
                counts.resize(counts.len().max(id + 1), 0);
                counts[id] = counts[id].saturating_add(token.count);
            }
        }
        let counted: Vec<(&str, u64)> = words.values().iter().copied().zip(counts).collect();
        let learnt = segment_vocabulary(&counted, control)?;

        let features: Vec<Vec<Feature>> = shapes
            .iter()
            .map(|shape| match shape {
                TokenShape::Word { text, .. } => {
                    let known = words.find(text.as_str()).map(|id| &learnt.parts[id as usize]);
                    match known {
                        Some(parts) => features_of(shape, Some(parts), has_blanks),
                        None => features_of(shape, Some(&learnt.lexicon.segment(text)), has_blanks),
                    }
                }
                TokenShape::Other { .. } => features_of(shape, None, has_blanks),
            })
            .collect();
        let table = by_frequency(&features);
        let codes = features.iter().map(|features| indices(&table, features)).collect();
        Ok(Codes { features: table, codes, lexicon: learnt.lexicon, has_blanks })
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.codes.len()
    }

    /// The code of token `id`: numbers of its features, ascending.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn of(&self, id: u32) -> &[u32] {
        &self.codes[id as usize]
    }

    /// All features, by the numbers of their primes.
    pub fn features(&self) -> &[Feature] {
        self.features.values()
    }

    /// The number of a feature.
    pub fn prime_of(&self, feature: &Feature) -> Option<u32> {
        self.features.find(feature)
    }

    /// The segmenter of words into known parts; it takes words in lower case, without a blank.
    pub fn lexicon(&self) -> &PartLexicon {
        &self.lexicon
    }

    /// The code of any text as a token, in the vocabulary or not: its known features, then its
    /// features that no token has.
    pub fn code_text(&self, text: &str) -> (Box<[u32]>, Vec<Feature>) {
        let shape = TokenShape::of(&Token { bytes: text.as_bytes(), count: 0, is_special: false });
        let features = match &shape {
            TokenShape::Word { text, .. } => {
                features_of(&shape, Some(&self.lexicon.segment(text)), self.has_blanks)
            }
            TokenShape::Other { .. } => features_of(&shape, None, self.has_blanks),
        };
        let is_unknown = |feature: &Feature| self.features.find(feature).is_none();
        let code = indices(&self.features, &features);
        (code, features.into_iter().filter(is_unknown).collect())
    }
}

/// The features of a token, those of its parts first.
fn features_of(shape: &TokenShape, parts: Option<&WordParts>, has_blanks: bool) -> Vec<Feature> {
    let mut features = Vec::new();
    for part in parts.iter().flat_map(|parts| &parts.parts) {
        let kind = match part.kind {
            PartKind::Stem => FeatureKind::Stem,
            PartKind::Prefix => FeatureKind::Prefix,
            PartKind::Suffix => FeatureKind::Suffix,
            PartKind::Piece => FeatureKind::Piece,
        };
        features.push(Feature::new(kind, &*part.text));
    }
    match shape {
        TokenShape::Word { case, has_blank, .. } => {
            features.extend(case.feature().map(|case| Feature::new(FeatureKind::Case, case)));
            if has_blanks && !has_blank {
                features.push(Feature::new(FeatureKind::Joint, ""));
            }
        }
        TokenShape::Other { class, text, has_blank } => {
            features.push(Feature::new(FeatureKind::Class, *class));
            features.push(Feature::new(FeatureKind::Token, text));
            // Numbers and marks occur with a blank as often as without.
            if has_blanks && !has_blank && !matches!(*class, "special" | "bytes" | "space") {
                features.push(Feature::new(FeatureKind::Joint, ""));
            }
        }
    }
    features
}

/// All features by descending number of tokens, ties by kind and text.
fn by_frequency(features: &[Vec<Feature>]) -> Interned<Feature> {
    let mut counts: FxHashMap<&Feature, u32> = FxHashMap::default();
    for features in features {
        for (i, feature) in features.iter().enumerate() {
            *counts.entry(feature).or_default() += !features[..i].contains(feature) as u32;
        }
    }
    let mut ranked: Vec<(&Feature, u32)> = counts.into_iter().collect();
    ranked.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ranked.into_iter().map(|(feature, _)| feature.clone()).collect()
}

/// The numbers of the known features, strictly ascending.
fn indices(table: &Interned<Feature>, features: &[Feature]) -> Box<[u32]> {
    let mut code: Vec<u32> = features.iter().filter_map(|feature| table.find(feature)).collect();
    code.sort_unstable();
    code.dedup();
    code.into()
}
