//! Codes of tokens: the primes of their parts, of their case, or of their class.
//!
//! A feature is a part with its kind, the case of a word, the lack of a blank before it, the class
//! of a token that is no word, or that token itself. The more tokens have a feature, the smaller
//! its prime: number 0 is the prime 2, number 1 is 3, and so on. So the logarithm of a prime grows
//! like that of the rarity of its feature, and codes stay short. " House", "house" and " houses"
//! share the prime of the stem *house*.

use super::error::MorphemeError;
use super::interned::Interned;
use super::lexicon::Lexicon;
use super::segmentation::{PartKind, Parts, segment_vocabulary};
use super::token::{Shape, Token};
use crate::tokenizer::Control;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// What a feature says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// It has this stem.
    Stem,
    /// It has this prefix.
    Prefix,
    /// It has this suffix.
    Suffix,
    /// It has this piece, which is none of the above.
    Piece,
    /// It is a word that is not in lower case: capitalised, upper, mixed.
    Case,
    /// It has no blank before it, in a vocabulary whose words have one.
    Joint,
    /// It is no word, but a number, mark, space, special token and so on.
    Class,
    /// It is this token, which is no word.
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

/// Something that tokens may have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature {
    /// What it says.
    pub kind: FeatureKind,
    /// Of which part, case, class or token; empty for [`FeatureKind::Joint`].
    pub text: String,
}

impl Feature {
    /// A feature.
    pub fn new(kind: FeatureKind, text: impl Into<String>) -> Feature {
        Feature { kind, text: text.into() }
    }
}

/// The features of a vocabulary, the code of each token, and how to code others.
#[derive(Clone, Debug)]
pub struct Codes {
    pub(super) features: Interned<Feature>,
    pub(super) codes: Vec<Box<[u32]>>,
    pub(super) lexicon: Lexicon,
    /// Whether words have a blank before them, so that one without is worth a feature.
    pub(super) has_blanks: bool,
}

impl Codes {
    /// Learns the parts of the words among `tokens`, which stand in the order of their ids, and
    /// gives every token its code. The same tokens give the same codes.
    ///
    /// `control` is told the rounds of learning.
    ///
    /// # Errors
    /// [`MorphemeError::Cancelled`].
    pub fn learn(tokens: &[Token], control: &mut Control) -> Result<Codes, MorphemeError> {
        let shapes: Vec<Shape> = tokens.iter().map(Shape::of).collect();
        let has_blanks =
            shapes.iter().any(|shape| matches!(shape, Shape::Word { has_blank: true, .. }));

        // The forms of a word, with and without a blank, in any case, are one word to learn from.
        let (mut words, mut counts): (Interned<&str>, Vec<u64>) = Default::default();
        for (shape, token) in shapes.iter().zip(tokens).filter(|(_, token)| token.count > 0) {
            if let Shape::Word { text, .. } = shape {
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
                Shape::Word { text, .. } => {
                    let known = words.find(text.as_str()).map(|id| &learnt.parts[id as usize]);
                    match known {
                        Some(parts) => features_of(shape, Some(parts), has_blanks),
                        None => features_of(shape, Some(&learnt.lexicon.segment(text)), has_blanks),
                    }
                }
                Shape::Other { .. } => features_of(shape, None, has_blanks),
            })
            .collect();
        let table = by_frequency(&features);
        let codes = features.iter().map(|features| indices(&table, features)).collect();
        Ok(Codes { features: table, codes, lexicon: learnt.lexicon, has_blanks })
    }

    /// How many tokens there are.
    pub fn n_tokens(&self) -> usize {
        self.codes.len()
    }

    /// The code of token `id`: numbers of its features and of their primes, ascending.
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

    /// The number of a feature's prime.
    pub fn prime_of(&self, feature: &Feature) -> Option<u32> {
        self.features.find(feature)
    }

    /// Cuts words into the parts known here; give words in lower case, without a blank.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// The code of any text as a token, in the vocabulary or not: the known ones among its
    /// features, and then those that no token has.
    pub fn code_text(&self, text: &str) -> (Box<[u32]>, Vec<Feature>) {
        let shape = Shape::of(&Token { bytes: text.as_bytes(), count: 0, is_special: false });
        let features = match &shape {
            Shape::Word { text, .. } => {
                features_of(&shape, Some(&self.lexicon.segment(text)), self.has_blanks)
            }
            Shape::Other { .. } => features_of(&shape, None, self.has_blanks),
        };
        let is_unknown = |feature: &Feature| self.features.find(feature).is_none();
        let code = indices(&self.features, &features);
        (code, features.into_iter().filter(is_unknown).collect())
    }
}

/// The features of a token, those of its parts first.
fn features_of(shape: &Shape, parts: Option<&Parts>, has_blanks: bool) -> Vec<Feature> {
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
        Shape::Word { case, has_blank, .. } => {
            features.extend(case.feature().map(|case| Feature::new(FeatureKind::Case, case)));
            if has_blanks && !has_blank {
                features.push(Feature::new(FeatureKind::Joint, ""));
            }
        }
        Shape::Other { class, text, has_blank } => {
            features.push(Feature::new(FeatureKind::Class, *class));
            features.push(Feature::new(FeatureKind::Token, text));
            // Numbers and marks come with a blank as often as without.
            if has_blanks && !has_blank && !matches!(*class, "special" | "bytes" | "space") {
                features.push(Feature::new(FeatureKind::Joint, ""));
            }
        }
    }
    features
}

/// All features, those of the most tokens first, and of equals by kind and text.
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

/// The numbers of the features that are in the table, ascending, each once.
fn indices(table: &Interned<Feature>, features: &[Feature]) -> Box<[u32]> {
    let mut code: Vec<u32> = features.iter().filter_map(|feature| table.find(feature)).collect();
    code.sort_unstable();
    code.dedup();
    code.into()
}
