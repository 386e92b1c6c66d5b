//! Sampling settings: repetition penalty, temperature, top-k, top-p and min-p.

use serde::{Deserialize, Serialize};

/// How to choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Only the fewest likeliest tokens whose probabilities reach p together; 1 is all.
    pub top_p: f32,
    /// Only tokens at least this many times as likely as the likeliest; 0 is all.
    pub min_p: f32,
    /// Divides the logits of tokens already in the text where positive, multiplies them where
    /// negative (Keskar et al. 2019, section 4.1); 1 is none.
    pub repetition_penalty: f32,
    /// Seed of the choices.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.8,
            top_k: 50,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {found}: expected {expected}")]
pub struct SamplerError {
    /// The setting.
    pub field: &'static str,
    /// Its value.
    pub found: f32,
    /// What would do.
    pub expected: &'static str,
}

impl SamplerError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        "sampling-refused"
    }
}

impl Sampling {
    /// Finds the first setting that makes no sense.
    pub(super) fn check(&self) -> Result<(), SamplerError> {
        let Sampling { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        let checks = [
            ("temperature", temperature, temperature >= 0.0, "a number from 0 on"),
            ("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "a number above 0, at most 1"),
            ("min_p", min_p, (0.0..=1.0).contains(&min_p), "a number from 0 to 1"),
            ("repetition_penalty", repetition_penalty, repetition_penalty > 0.0, "above 0"),
        ];
        for (field, found, holds, expected) in checks {
            if !(holds && found.is_finite()) {
                return Err(SamplerError { field, found, expected });
            }
        }
        Ok(())
    }

    /// Whether the likeliest token is always taken.
    pub(super) fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// How many tokens top-k keeps, if it limits them; greedy choice keeps one.
    pub(super) fn k(&self) -> Option<usize> {
        match (self.is_greedy(), self.top_k) {
            (true, _) => Some(1),
            (false, 0) => None,
            (false, k) => Some(k),
        }
    }

    /// Whether any setting excludes tokens.
    pub(super) fn has_limits(&self) -> bool {
        self.top_p < 1.0 || self.min_p > 0.0 || self.k().is_some()
    }
}
