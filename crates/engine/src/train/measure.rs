//! Measurement of a model on a text: loss, perplexity, bits per byte.

use super::{Lanes, SequenceSource};
use crate::head::LossSum;
use crate::model::{MicroShape, OwnedModel};
use kernels::cross_entropy::IGNORE;
use text::TargetCounts;
use text::corpus::{Error, EvalWindows, TokenSource};
use text::tokenizer::Tokenizer;

/// What was measured on a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Summed loss in nats, and the number of tokens measured.
    pub sum: LossSum,
    /// What these tokens stand for.
    pub counts: TargetCounts,
}

impl Measured {
    /// Mean loss in nats per token.
    pub fn loss(&self) -> f64 {
        self.sum.nats / self.sum.n_tok.max(1) as f64
    }

    /// Bits per byte of text; `None` where text is lost to unknown words.
    pub fn bits_per_byte(&self) -> Option<f64> {
        self.counts.bits_per_byte(self.sum.nats)
    }
}

/// Windows over tokens.
struct Windows<'a, S: ?Sized> {
    tokens: &'a S,
    windows: EvalWindows,
    /// Whether each token is a target; `None` if all are.
    is_target: Option<&'a [bool]>,
}

impl<S: TokenSource + Sync + ?Sized> SequenceSource for Windows<'_, S> {
    fn fill(&self, _step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.windows.fill(self.tokens, index, tokens, targets);
        if let Some(is_target) = self.is_target {
            let is_target = &is_target[index * targets.len() + 1..];
            for (target, _) in targets.iter_mut().zip(is_target).filter(|(_, is)| !**is) {
                *target = IGNORE;
            }
        }
    }
}

/// Measures on all of `tokens` but the first and the marks of beginnings, or on those of them that
/// are targets.
///
/// # Errors
/// [`Error::TooFewTokens`] if there are fewer than two.
pub fn measure<S>(
    model: &OwnedModel,
    tokenizer: &Tokenizer,
    tokens: &S,
    is_target: Option<&[bool]>,
    threads: usize,
) -> Result<Measured, Error>
where
    S: TokenSource + Sync + ?Sized,
{
    let sum = measure_loss(model, tokens, is_target, threads)?;
    let is_counted = |at: usize| is_target.is_none_or(|is_target| is_target[at]);
    Ok(Measured { sum, counts: TargetCounts::of(tokens, tokenizer, is_counted) })
}

/// The loss part of [`measure`].
///
/// # Errors
/// As [`measure`].
pub fn measure_loss<S>(
    model: &OwnedModel,
    tokens: &S,
    is_target: Option<&[bool]>,
    threads: usize,
) -> Result<LossSum, Error>
where
    S: TokenSource + Sync + ?Sized,
{
    let (n_inputs, model) = (model.inputs.n_inputs(), model.model());
    let (config, precision) = (&model.layout.config, model.packed.precision());
    let windows = EvalWindows::new(tokens.len(), config.seq_len)?;
    let n = windows.n_windows();
    let usual = MicroShape::new(config, config.seq_len, n.div_ceil(threads), precision);
    let micro = MicroShape { n_inputs, ..usual };
    let mut lanes = Lanes::for_evaluation(model.layout, &micro, threads);
    Ok(lanes.evaluate(model, &Windows { tokens, windows, is_target }, n))
}
