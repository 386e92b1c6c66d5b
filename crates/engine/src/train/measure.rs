//! Loss of a model on tokens, measured in adjacent windows.

use super::{Lanes, SequenceSource};
use crate::head::LossSum;
use crate::model::{MicroShape, OwnedModel};
use kernels::cross_entropy::IGNORE;
use text::corpus::{Error, EvalWindows, TokenSource};

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

/// Loss on all of `tokens` but the first, or only on those marked as targets.
///
/// # Errors
/// [`Error::TooFewTokens`] if there are fewer than two.
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
