//! Choosing the next token: repetition penalty, temperature, top-k, top-p, min-p, in this order.
//!
//! The order is that of Hugging Face transformers. The choice is a pure function of the logits, the
//! settings and (seed, position): a text can be made again from its seed.

use super::candidates::{Candidate, Candidates};
use super::factored::Known;
use super::scoring::Scoring;
use crate::head::Distribution;
use kernels::rng::{Purpose, Rng};
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

/// Chooses tokens; allocates when made, not when used.
#[derive(Debug)]
pub struct Sampler {
    pub(super) settings: Sampling,
    rng: Rng,
    /// Random numbers for factored distributions, of which one token may take several.
    pub(super) throws: Rng,
    pub(super) scoring: Scoring,
    /// The tokens that are still possible.
    pub(super) candidates: Candidates,
    /// What is known of a factored distribution.
    pub(super) known: Known,
}

impl Sampler {
    /// A sampler for a vocabulary of this size.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(settings: Sampling, vocab_size: usize) -> Result<Sampler, SamplerError> {
        let Sampling { temperature, top_p, min_p, repetition_penalty, seed, .. } = settings;
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
        Ok(Sampler {
            settings,
            rng: Rng::new(seed, Purpose::Generation, 0),
            throws: Rng::new(seed, Purpose::Generation, 1),
            scoring: Scoring::new(&settings, vocab_size),
            candidates: Candidates::new(vocab_size),
            known: Known::default(),
        })
    }

    /// Notes that the text contains `token`, for the repetition penalty.
    pub fn note(&mut self, token: u32) {
        self.scoring.note(token);
    }

    /// Chooses the token at `position` of the text; NaN logits are never chosen while others are.
    pub fn choose(&mut self, next: &mut Distribution, position: usize) -> u32 {
        match next {
            Distribution::Whole(logits) => {
                self.narrow(logits);
                draw(self.candidates.as_slice(), self.rng.f64_at(position as u64))
            }
            Distribution::ByClass(classes) => self.choose_factored(classes, position),
        }
    }

    /// What [`Sampler::choose`] draws from, with probabilities; likeliest first.
    pub fn distribution(&mut self, logits: &[f32]) -> &[Candidate] {
        self.narrow(logits);
        self.candidates.sort();
        self.candidates.as_slice()
    }

    /// Keeps what the settings keep of these logits.
    fn narrow(&mut self, logits: &[f32]) {
        self.candidates.begin(self.k());
        if self.scoring.is_plain() {
            self.candidates.push_all(0, logits);
        } else {
            for (token, logit) in logits.iter().enumerate() {
                let score = self.scoring.score(*logit, token);
                self.candidates.push(Candidate { score, token: token as u32 });
            }
        }
        self.candidates.softmax(self.scoring.temperature);
        self.keep_top_p_and_min_p();
    }

    /// Whether some tokens are left out.
    pub(super) fn has_limits(&self) -> bool {
        self.settings.top_p < 1.0 || self.settings.min_p > 0.0 || self.k().is_some()
    }

    /// How many tokens top-k leaves, if it limits them.
    pub(super) fn k(&self) -> Option<usize> {
        match (self.settings.temperature == 0.0, self.settings.top_k) {
            (true, _) => Some(1),
            (false, 0) => None,
            (false, k) => Some(k),
        }
    }

    /// Narrows the candidates' probabilities down, in this order.
    pub(super) fn keep_top_p_and_min_p(&mut self) {
        if self.settings.top_p < 1.0 {
            self.candidates.keep_top_p(self.settings.top_p as f64);
        }
        if self.settings.min_p > 0.0 {
            self.candidates.keep_min_p(self.settings.min_p);
        }
    }
}

/// The candidate at the share `u` of the sum of probabilities.
pub(super) fn draw(candidates: &[Candidate], u: f64) -> u32 {
    let total: f64 = candidates.iter().map(|c| c.score as f64).sum();
    let mut left = u * total;
    for c in candidates {
        left -= c.score as f64;
        if left < 0.0 {
            return c.token;
        }
    }
    candidates.last().map_or(0, |c| c.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 2.5];

    fn all() -> Sampling {
        let off = Sampling { top_k: 0, top_p: 1.0, ..Sampling::default() };
        Sampling { temperature: 1.0, ..off }
    }

    fn tokens(settings: Sampling) -> Vec<u32> {
        let mut sampler = Sampler::new(settings, 5).unwrap();
        sampler.distribution(&LOGITS).iter().map(|c| c.token).collect()
    }

    #[test]
    fn each_setting_keeps_what_it_says() {
        assert_eq!(tokens(all()), [4, 1, 2, 0, 3]);
        assert_eq!(tokens(Sampling { temperature: 0.0, ..all() }), [4]);
        assert_eq!(tokens(Sampling { top_k: 2, ..all() }), [4, 1]);
        // Probabilities are about 0.50, 0.30, 0.11, 0.04, 0.01 (times 1 / 1.0).
        assert_eq!(tokens(Sampling { top_p: 0.6, ..all() }), [4, 1]);
        assert_eq!(tokens(Sampling { min_p: 0.2, ..all() }), [4, 1, 2]);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let mut sampler = Sampler::new(all(), 5).unwrap();
        let expected: Vec<_> = sampler.distribution(&LOGITS).to_vec();
        let n = 20_000;
        let mut counts = [0u32; 5];
        (0..n).for_each(|i| {
            counts[sampler.choose(&mut Distribution::Whole(&LOGITS), i) as usize] += 1
        });
        for Candidate { score: p, token } in expected {
            // Five standard deviations of a binomial count.
            let sd = (n as f64 * p as f64 * (1.0 - p as f64)).sqrt();
            let difference = counts[token as usize] as f64 - n as f64 * p as f64;
            assert!(difference.abs() < 5.0 * sd, "token {token}: {difference} off, sd {sd}");
        }
    }

    #[test]
    fn repetition_penalty_lowers_both_signs() {
        let settings = Sampling { repetition_penalty: 2.0, ..all() };
        let mut sampler = Sampler::new(settings, 5).unwrap();
        sampler.note(4);
        sampler.note(3);
        let order: Vec<_> = sampler.distribution(&LOGITS).iter().map(|c| c.token).collect();
        assert_eq!(order, [1, 4, 2, 0, 3]);
    }

    #[test]
    fn bad_settings_are_named_and_bad_logits_survive() {
        let bad = Sampling { top_p: 0.0, ..all() };
        assert_eq!(Sampler::new(bad, 5).unwrap_err().field, "top_p");
        let nan = Sampling { temperature: f32::NAN, ..all() };
        assert_eq!(Sampler::new(nan, 5).unwrap_err().field, "temperature");
        let mut sampler = Sampler::new(all(), 3).unwrap();
        assert_eq!(
            sampler.choose(&mut Distribution::Whole(&[f32::NAN, f32::INFINITY, f32::NAN]), 0),
            1
        );
        sampler.choose(&mut Distribution::Whole(&[f32::NAN; 3]), 0);
    }
}
