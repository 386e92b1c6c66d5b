//! Conversion from start to end: shares of the budget, held-out text, fitting, tuning.

use super::{FitBudget, FitError, FitProgress, Fitting, Tuning};
use crate::model::{InputLayer, Layout, OwnedModel};
use crate::train::{SequenceSource, measure_loss};
use kernels::{AlignedVec, Pool};
use text::corpus::{self, Batches, TokenSource};

/// Share of the budget for the output matrix alone.
const FIT_SHARE: f64 = 0.25;

/// Tokens of a batch.
const BATCH_TOKENS: usize = 2048;

/// Share of the text that is held out, to measure on.
pub const HELD_OUT: f64 = 0.05;

/// Error of a conversion.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The text.
    #[error(transparent)]
    Data(#[from] corpus::Error),
    /// The model, or its fit.
    #[error(transparent)]
    Fit(#[from] FitError),
}

impl ConvertError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            ConvertError::Data(error) => error.code(),
            ConvertError::Fit(error) => error.code(),
        }
    }
}

/// Stage of a conversion at which the held-out loss is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The model that is converted.
    Factored,
    /// With the output matrix that fitting starts from.
    Start,
    /// With the fitted one.
    Fitted,
    /// The result.
    Full,
}

/// Progress event of a conversion.
#[derive(Clone, Copy, Debug)]
pub enum ConvertEvent {
    /// A held-out loss, in nats per token.
    Measured(Stage, f64),
    /// A step of fitting the output matrix; `nats` is the excess over the factored layer's loss.
    Fitted(FitProgress),
    /// A step of tuning the whole model.
    Tuned(FitProgress),
}

/// What is fitted to.
struct Windows<'a, S: ?Sized> {
    tokens: &'a S,
    batches: Batches,
}

impl<S: TokenSource + Sync + ?Sized> SequenceSource for Windows<'_, S> {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.batches.fill(self.tokens, step, index, tokens, targets);
    }
}

/// A model with a full output layer, fitted to `factored` on the tokens of `train`; its loss on
/// `valid` is measured at each stage. The current phase ends when `report` returns false.
///
/// # Errors
/// [`ConvertError`] if the model has no factored layer, or there are too few tokens.
pub fn run<S: TokenSource + Sync + ?Sized>(
    factored: &OwnedModel,
    train: &S,
    valid: &S,
    budget: FitBudget,
    pool: &mut Pool,
    report: &mut dyn FnMut(ConvertEvent) -> bool,
) -> Result<OwnedModel, ConvertError> {
    let (teacher, precision) = (factored.model(), factored.model().packed.precision());
    let (threads, seq_len) = (pool.threads(), teacher.layout.config.seq_len);
    let batch_seqs = BATCH_TOKENS.div_ceil(seq_len);
    let batches = Batches::new(train.len(), seq_len, batch_seqs, 0)?;
    let source = Windows { tokens: train, batches };
    let measured = |stage, model: &OwnedModel| -> Result<ConvertEvent, ConvertError> {
        let sum = measure_loss(model, valid, None, threads)?;
        Ok(ConvertEvent::Measured(stage, sum.nats / sum.n_tok as f64))
    };
    let plain = |(layout, params): (Layout, AlignedVec<f32>), pool: &mut Pool| {
        let inputs = InputLayer::new(&layout, None, None);
        OwnedModel::new(layout, params, inputs, precision, pool)
    };
    report(measured(Stage::Factored, factored)?);
    let mut fitting = Fitting::new(teacher, &source, batch_seqs, pool)?;
    report(measured(Stage::Start, &plain(fitting.model(), pool))?);
    fitting.run(&source, budget.part(FIT_SHARE), pool, &mut |p| report(ConvertEvent::Fitted(p)))?;
    report(measured(Stage::Fitted, &plain(fitting.model(), pool))?);
    let (layout, params) = fitting.model();
    let mut tuning = Tuning::new(layout, params, precision, batch_seqs, threads);
    let rest = budget.part(1.0 - FIT_SHARE);
    tuning.run(&source, fitting.n_steps(), rest, &mut |p| report(ConvertEvent::Tuned(p)))?;
    let result = plain(tuning.into_model(), pool);
    report(measured(Stage::Full, &result)?);
    Ok(result)
}
