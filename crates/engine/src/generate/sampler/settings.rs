//! Sampling settings: repetition penalty, temperature, top-k, top-p and min-p.

use serde::{Deserialize, Serialize};

/// Settings of a sampler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Divisor of the logits; 0 always chooses the likeliest token.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 turns it off.
    pub top_k: usize,
    /// Only the fewest likeliest tokens whose probabilities sum to at least p; 1 turns it off.
    pub top_p: f32,
    /// Only tokens at least this many times as likely as the likeliest; 0 turns it off.
    pub min_p: f32,
    /// Positive logits of tokens already in the text are divided by this, negative ones multiplied
    /// (Keskar et al. 2019, section 4.1); 1 turns it off.
    pub repetition_penalty: f32,
    /// Random seed.
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

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {found}: expected {expected}")]
pub struct SamplerError {
    /// The setting.
    pub field: &'static str,
    /// Its value.
    pub found: f32,
    /// Description of valid values.
    pub expected: &'static str,
}

impl SamplerError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        "sampling-refused"
    }
}

impl Sampling {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), SamplerError> {
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

    /// Whether the likeliest token is always chosen.
    pub(super) fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Number of tokens that top-k keeps, or `None` without a limit; greedy choice keeps one.
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
