//! Sampler: chooses the next token by repetition penalty, temperature, top-k, top-p and min-p, in
//! this order.
//!
//! The order is that of Hugging Face transformers. The choice is a pure function of the
//! distribution, the settings and (seed, position), so a text can be reproduced from its seed.
//! There are two methods, which follow the same distribution: [`whole`] from logits of all tokens,
//! and [`by_class`] from a factored distribution of which few classes are ever computed.

mod by_class;
mod candidates;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod whole;

use crate::head::Distribution;
use by_class::ClassBounds;
use candidates::Candidates;
use kernels::rng::{Purpose, Rng};
use rules::Rules;
pub use settings::{SamplerError, Sampling};

/// Chooses tokens; allocates when created and for the first token, not later.
#[derive(Debug)]
pub struct Sampler {
    rules: Rules,
    /// Tokens that may still be chosen.
    candidates: Candidates,
    /// Bounds of a distribution by classes.
    bounds: ClassBounds,
    /// One random number per position.
    whole_rng: Rng,
    /// Several random numbers per position.
    by_class_rng: Rng,
}

impl Sampler {
    /// Sampler for a vocabulary of this size.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn new(settings: Sampling, vocab_size: usize) -> Result<Sampler, SamplerError> {
        settings.check()?;
        Ok(Sampler {
            rules: Rules::new(settings, vocab_size),
            candidates: Candidates::new(vocab_size),
            bounds: ClassBounds::default(),
            whole_rng: Rng::new(settings.seed, Purpose::Generation, 0),
            by_class_rng: Rng::new(settings.seed, Purpose::Generation, 1),
        })
    }

    /// Notes that the text contains `token`, for the repetition penalty.
    pub fn note(&mut self, token: u32) {
        self.rules.note(token);
    }

    /// Forbids the tokens that `is_forbidden` names from now on, and allows all others. Where all
    /// are forbidden, none is.
    pub fn forbid(&mut self, is_forbidden: impl Fn(u32) -> bool) {
        self.rules.forbid(is_forbidden);
    }

    /// Chooses the token at `position` of the text; NaN logits are never chosen while others are.
    pub fn choose(&mut self, next: &mut Distribution, position: usize) -> u32 {
        let Sampler { rules, candidates, bounds, whole_rng, by_class_rng } = self;
        match next {
            Distribution::Whole(logits) => {
                whole::draw(rules, candidates, logits, whole_rng.f64_at(position as u64))
            }
            Distribution::ByClass(classes) => {
                by_class::draw(rules, candidates, bounds, classes, *by_class_rng, position)
            }
        }
    }
}
