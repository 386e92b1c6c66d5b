//! Parts of words with their primes, and both as text.

use super::morphemes::{Codes, Feature, FeatureKind};
use super::prime_codes::PrimeCodes;
use lattice::FactorCode;

/// The codes of all tokens, as numbers of features and as integers.
#[derive(Debug)]
pub struct Parts {
    /// The features of each token.
    pub codes: Codes,
    /// The prime of each feature, and the product of each token.
    pub primes: PrimeCodes,
}

impl Parts {
    /// The parts of these codes.
    pub fn new(codes: Codes) -> Parts {
        Parts { primes: PrimeCodes::new(&codes), codes }
    }

    /// The feature of a prime, for display.
    pub fn shown(&self, prime: u64) -> String {
        let feature = self.primes.feature(prime);
        feature.map_or_else(|| "?".to_owned(), |f| shown(&self.codes.features()[f as usize]))
    }

    /// The features of a code, for display.
    pub fn all_shown(&self, code: &FactorCode) -> Vec<String> {
        let numbers = code.primes().iter().filter_map(|&prime| self.primes.feature(prime));
        all_shown(numbers.map(|number| &self.codes.features()[number as usize]))
    }
}

/// Features, for display: prefixes, stems and suffixes in the order of a word, then all others.
pub fn all_shown<'a>(features: impl Iterator<Item = &'a Feature>) -> Vec<String> {
    let place = |feature: &&Feature| match feature.kind {
        FeatureKind::Prefix => 0,
        FeatureKind::Stem | FeatureKind::Piece | FeatureKind::Token => 1,
        FeatureKind::Suffix => 2,
        FeatureKind::Case | FeatureKind::Joint | FeatureKind::Class => 3,
    };
    let mut features: Vec<&Feature> = features.collect();
    features.sort_by_key(place);
    features.into_iter().map(shown).collect()
}

/// A feature, for display: `run`, `-ing`, `re-`, `(upper)`.
pub fn shown(feature: &Feature) -> String {
    let text = feature.text.escape_debug();
    match feature.kind {
        FeatureKind::Stem => text.to_string(),
        FeatureKind::Prefix => format!("{text}-"),
        FeatureKind::Suffix => format!("-{text}"),
        FeatureKind::Piece => format!("?{text}"),
        FeatureKind::Case | FeatureKind::Class => format!("({text})"),
        FeatureKind::Joint => "(no blank)".to_owned(),
        FeatureKind::Token => format!("“{text}”"),
    }
}
