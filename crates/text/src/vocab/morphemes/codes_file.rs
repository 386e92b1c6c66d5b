//! JSON form of token codes, and its validation on reading.
//!
//! Files may come from anywhere. Everything is checked before use: lengths, feature numbers, the
//! order in each code, and that costs allow a shortest path search.

use super::change::Change;
use super::codes::{Codes, Feature, FeatureKind};
use super::error::MorphemeError;
use super::interned::Interned;
use super::lexicon::PartLexicon;
use crate::tokenizer::VOCAB_SIZE_MAX;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Version of the format; others are refused.
const FORM: u64 = 1;
/// Largest number of features: a token rarely has more than one of its own.
const N_FEATURES_MAX: usize = 2 * VOCAB_SIZE_MAX;
/// Longest text of a feature, in bytes.
const TEXT_LEN_MAX: usize = 1 << 14;
/// Largest number of features of one token.
const CODE_LEN_MAX: usize = 64;
/// Largest number of change costs; each is tried on every part of a new word.
const N_CHANGES_MAX: usize = 1 << 13;
/// Largest cost, in nats.
const NATS_MAX: f64 = 1e6;

/// The cost of a change: number of the suffix, the character, its change, nats.
type ChangeCost = (u32, char, Change, f64);

impl Codes {
    /// The codes as JSON, deterministic.
    pub fn to_json(&self) -> Value {
        let number = |kind, text: &str| {
            let feature = Feature::new(kind, text);
            self.features.find(&feature).expect("affixes of the lexicon have a feature")
        };
        let lexicon = &self.lexicon;
        let mut affixes: Vec<(u32, f64)> = Vec::new();
        for (kind, costs) in
            [(FeatureKind::Prefix, &lexicon.prefixes), (FeatureKind::Suffix, &lexicon.suffixes)]
        {
            affixes.extend(costs.iter().map(|(text, &cost)| (number(kind, text), cost)));
        }
        affixes.sort_unstable_by_key(|&(number, _)| number);
        let mut changes: Vec<ChangeCost> = Vec::new();
        for (suffix, rules) in &lexicon.changes {
            let suffix = number(FeatureKind::Suffix, suffix);
            changes.extend(rules.iter().map(|(&(c, change), &cost)| (suffix, c, change, cost)));
        }
        changes.sort_unstable_by_key(|&(suffix, c, change, _)| (suffix, c, change));
        let features: Vec<(FeatureKind, &str)> =
            self.features().iter().map(|feature| (feature.kind, feature.text.as_str())).collect();
        json!({
            "form": FORM,
            "features": features,
            "codes": self.codes,
            "affixes": affixes,
            "changes": changes,
            "nats_per_char": lexicon.nats_per_char,
            "join_nats": lexicon.join_nats,
            "has_blanks": self.has_blanks,
        })
    }

    /// Reads the output of [`Codes::to_json`].
    ///
    /// # Errors
    /// [`MorphemeError::Format`], naming the first invalid field.
    pub fn from_json(json: &Value) -> Result<Codes, MorphemeError> {
        let form: u64 = field(json, "form", "a number")?;
        if form != FORM {
            return Err(MorphemeError::format("form", form, FORM.to_string()));
        }
        let features = read_features(json)?;
        let codes: Vec<Vec<u32>> = field(json, "codes", "lists of numbers of features")?;
        limit("codes", codes.len(), VOCAB_SIZE_MAX)?;
        for (id, code) in codes.iter().enumerate() {
            check_code(&format!("codes[{id}]"), code, features.len())?;
        }
        let lexicon = read_lexicon(json, &features)?;
        Ok(Codes {
            features,
            codes: codes.into_iter().map(Vec::into_boxed_slice).collect(),
            lexicon,
            has_blanks: field(json, "has_blanks", "true or false")?,
        })
    }
}

/// The field called `name`, as a `T`.
fn field<T: DeserializeOwned>(
    json: &Value,
    name: &str,
    expected: &str,
) -> Result<T, MorphemeError> {
    let found = json.get(name).ok_or_else(|| MorphemeError::format(name, "nothing", expected))?;
    T::deserialize(found).map_err(|error| MorphemeError::format(name, error, expected))
}

fn limit(name: &str, found: usize, at_most: usize) -> Result<(), MorphemeError> {
    if found <= at_most {
        return Ok(());
    }
    let expected = format!("at most {at_most}");
    Err(MorphemeError::format(name, format!("{found} entries"), expected))
}

fn read_features(json: &Value) -> Result<Interned<Feature>, MorphemeError> {
    let listed: Vec<(FeatureKind, String)> = field(json, "features", "pairs of kind and text")?;
    limit("features", listed.len(), N_FEATURES_MAX)?;
    let mut features = Interned::default();
    for (i, (kind, text)) in listed.into_iter().enumerate() {
        let name = format!("features[{i}]");
        if text.len() > TEXT_LEN_MAX {
            let found = format!("{} bytes", text.len());
            return Err(MorphemeError::format(name, found, format!("at most {TEXT_LEN_MAX}")));
        }
        let feature = Feature { kind, text };
        if features.find(&feature).is_some() {
            return Err(MorphemeError::format(name, feature.text, "each feature once"));
        }
        features.id(feature);
    }
    Ok(features)
}

fn check_code(name: &str, code: &[u32], n_features: usize) -> Result<(), MorphemeError> {
    limit(name, code.len(), CODE_LEN_MAX)?;
    if let Some(number) = code.iter().find(|&&number| number as usize >= n_features) {
        return Err(MorphemeError::format(name, number, format!("numbers below {n_features}")));
    }
    match code.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let found = format!("{} before {}", pair[0], pair[1]);
            Err(MorphemeError::format(name, found, "ascending numbers"))
        }
    }
}

fn read_lexicon(json: &Value, features: &Interned<Feature>) -> Result<PartLexicon, MorphemeError> {
    let mut lexicon = PartLexicon {
        nats_per_char: field(json, "nats_per_char", "a number")?,
        join_nats: field(json, "join_nats", "a number")?,
        ..PartLexicon::default()
    };
    check_nats("nats_per_char", lexicon.nats_per_char)?;
    check_nats("join_nats", lexicon.join_nats)?;
    let stems = features.values().iter().filter(|feature| feature.kind == FeatureKind::Stem);
    lexicon.stems = stems.map(|feature| feature.text.as_str().into()).collect();

    let affixes: Vec<(u32, f64)> = field(json, "affixes", "pairs of feature and cost")?;
    limit("affixes", affixes.len(), features.len())?;
    for (i, (number, cost)) in affixes.into_iter().enumerate() {
        let name = format!("affixes[{i}]");
        check_nats(&name, cost)?;
        let feature = features.values().get(number as usize);
        let costs = match feature.map(|feature| feature.kind) {
            Some(FeatureKind::Prefix) => &mut lexicon.prefixes,
            Some(FeatureKind::Suffix) => &mut lexicon.suffixes,
            _ => return Err(MorphemeError::format(name, number, "the number of an affix")),
        };
        costs.insert(features.get(number).text.as_str().into(), cost);
    }
    let changes: Vec<ChangeCost> =
        field(json, "changes", "suffix, character, change and cost of each")?;
    limit("changes", changes.len(), N_CHANGES_MAX)?;
    for (i, (number, c, change, cost)) in changes.into_iter().enumerate() {
        let name = format!("changes[{i}]");
        check_nats(&name, cost)?;
        let feature = features.values().get(number as usize);
        let Some(suffix) = feature.filter(|feature| feature.kind == FeatureKind::Suffix) else {
            return Err(MorphemeError::format(name, number, "the number of a suffix"));
        };
        let rules = lexicon.changes.entry(suffix.text.as_str().into()).or_default();
        rules.insert((c, change), cost);
    }
    lexicon.index_rules();
    Ok(lexicon)
}

fn check_nats(name: &str, found: f64) -> Result<(), MorphemeError> {
    if (0.0..=NATS_MAX).contains(&found) {
        return Ok(());
    }
    Err(MorphemeError::format(name, found, format!("a number from 0 to {NATS_MAX}")))
}
