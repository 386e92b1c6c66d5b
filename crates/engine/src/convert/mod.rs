//! Conversion of a factored model into one with a full output layer, which other programs can read.
//!
//! The output matrix, (V, C) and without biases, starts from least squares and then learns the
//! factored layer's distribution by gradient descent ([`PlainFit`]), while the blocks are frozen.
//! Then the whole model continues to train on the text (`tune`). The embeddings are no longer tied
//! to the output layer.

mod inputs;
#[cfg(test)]
mod tests;
mod tune;
mod whole;

use crate::head::{HeadConfig, PlainFit, micro_rows};
use crate::model::{Layout, Model, ModelConfig};
use crate::train::{AdamWOptions, SequenceSource, StepError};
use inputs::Inputs;
use kernels::adamw::AdamwStep;
use kernels::{AlignedVec, Pool};
use std::time::{Duration, Instant};
pub use tune::Tuning;
pub use whole::{ConvertError, ConvertEvent, HELD_OUT, Stage, run};

/// Budget of a fit.
#[derive(Clone, Copy, Debug)]
pub enum FitBudget {
    /// A number of steps; the result depends on nothing else.
    Steps(u64),
    /// As many steps as the time allows.
    Time(Duration),
}

impl FitBudget {
    /// The given share of the budget.
    pub fn part(self, share: f64) -> FitBudget {
        match self {
            FitBudget::Steps(n) => FitBudget::Steps((n as f64 * share).round() as u64),
            FitBudget::Time(time) => FitBudget::Time(time.mul_f64(share)),
        }
    }

    /// Share of the budget that is spent.
    fn share(self, n_steps: u64, began: Instant) -> f64 {
        match self {
            FitBudget::Steps(0) => 1.0,
            FitBudget::Steps(n) => n_steps as f64 / n as f64,
            FitBudget::Time(time) => began.elapsed().as_secs_f64() / time.as_secs_f64(),
        }
    }
}

/// Progress of fitting or tuning.
#[derive(Clone, Copy, Debug)]
pub struct FitProgress {
    /// Steps taken.
    pub step: u64,
    /// Share of the budget that is spent.
    pub share: f64,
    /// Nats per token of the step: in fitting, the excess of the full layer's loss over the
    /// factored one's; in tuning, the loss.
    pub nats: f64,
    /// Tokens learnt from, over all steps.
    pub n_tok: u64,
}

/// Error of a fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The output layer is not factored.
    #[error("the model's output layer is not factored: there is nothing to convert")]
    NotFactored,
    /// The input vectors are composed of parts, which plain models do not support.
    #[error("the model's input vectors are composed of parts of words: no plain model can do that")]
    Composed,
    /// A loss is not finite.
    #[error("step {step} of fitting: a loss is not finite; the model may be damaged")]
    NotFinite {
        /// The step.
        step: u64,
    },
    /// A step of training the whole model was refused.
    #[error("learning the text: {0}")]
    Step(#[from] StepError),
}

impl FitError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            FitError::NotFactored => "not-factored",
            FitError::Composed => "not-convertible",
            FitError::NotFinite { .. } => "not-finite",
            FitError::Step(error) => error.code(),
        }
    }
}

/// Tokens that the start is computed from.
const START_TOKENS: usize = 8192;

/// Peak of the learning rate, which rises during the first part of the budget and then falls to 0
/// (docs/log.md).
const LR: f32 = 2e-3;
const WARM_SHARE: f64 = 0.02;

/// Fit of a full output layer.
#[derive(Debug)]
pub struct Fitting<'a> {
    teacher: Model<'a>,
    batch_seqs: usize,
    inputs: Inputs,
    fit: PlainFit<'a>,
    n_steps: u64,
}

impl<'a> Fitting<'a> {
    /// Starts the fit of a full layer to the model `teacher`, on text that `source` gives in
    /// batches of `batch_seqs` sequences.
    ///
    /// # Errors
    /// [`FitError::NotFactored`], [`FitError::Composed`].
    pub fn new(
        teacher: Model<'a>,
        source: &dyn SequenceSource,
        batch_seqs: usize,
        pool: &mut Pool,
    ) -> Result<Fitting<'a>, FitError> {
        let (layout, threads) = (teacher.layout, pool.threads());
        if layout.inputs.parts.is_some() {
            return Err(FitError::Composed);
        }
        let (vocab_size, seq_len) = (layout.config.vocab_size, layout.config.seq_len);
        let mut inputs = Inputs::new(teacher, micro_rows(vocab_size), threads);
        let fit = layout.head.plain_fit(teacher.weights(), inputs.n_most(), threads);
        let mut fit = fit.ok_or(FitError::NotFactored)?;
        for step in 0..START_TOKENS.div_ceil(batch_seqs * seq_len) as u64 {
            inputs.for_each(teacher, source, (step, 0..batch_seqs), pool, |batch, pool| {
                fit.add_start(batch.rows, pool);
            });
        }
        fit.begin(pool);
        Ok(Fitting { teacher, batch_seqs, inputs, fit, n_steps: 0 })
    }

    /// Takes steps until the budget is spent or `report` asks to stop.
    ///
    /// # Errors
    /// [`FitError::NotFinite`].
    pub fn run(
        &mut self,
        source: &dyn SequenceSource,
        budget: FitBudget,
        pool: &mut Pool,
        report: &mut dyn FnMut(FitProgress) -> bool,
    ) -> Result<(), FitError> {
        let (began, mut all) = (Instant::now(), 0);
        loop {
            let share = budget.share(self.n_steps, began);
            if share >= 1.0 {
                return Ok(());
            }
            let (mut excess, mut n_tok) = (0.0, 0);
            let (fit, sequences) = (&mut self.fit, (self.n_steps, 0..self.batch_seqs));
            self.inputs.for_each(self.teacher, source, sequences, pool, |batch, pool| {
                excess += fit.add_gradient(batch, n_tok == 0, pool);
                n_tok += batch.targets.len();
            });
            if !excess.is_finite() {
                return Err(FitError::NotFinite { step: self.n_steps });
            }
            self.n_steps += 1;
            all += n_tok as u64;
            self.fit.update(&adamw_step(self.n_steps, share), n_tok, pool);
            let nats = excess / n_tok as f64;
            if !report(FitProgress { step: self.n_steps, share, nats, n_tok: all }) {
                return Ok(());
            }
        }
    }

    /// Steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// The current model: its layout and parameters.
    pub fn model(&self) -> (Layout, AlignedVec<f32>) {
        let of_teacher = self.teacher.layout;
        let config = full_config(&of_teacher.config);
        let layout = Layout::new(&config).expect("the shape was checked with the teacher's");
        let mut params = AlignedVec::zeroed(layout.len);
        let output = layout.head.matrices()[0].matrix.span;
        for tensor in &layout.tensors {
            let same = of_teacher.tensors.iter().find(|same| same.name == tensor.name);
            let values = match same {
                Some(same) if tensor.span != output => same.span.of(self.teacher.params),
                _ => self.fit.rows(),
            };
            tensor.span.of_mut(&mut params).copy_from_slice(values);
        }
        (layout, params)
    }
}

/// The same configuration with a full output layer.
fn full_config(config: &ModelConfig) -> ModelConfig {
    ModelConfig { head: HeadConfig::default(), tie_embeddings: false, ..config.clone() }
}

/// Constants of update number `n`, from 1, when `share` of the budget is spent.
fn adamw_step(n: u64, share: f64) -> AdamwStep {
    let rate = (share / WARM_SHARE).min(1.0 - share).clamp(0.02, 1.0);
    // Gradients of rare tokens are as small as their probabilities.
    let options =
        AdamWOptions { beta2: 0.99, eps: 1e-10, weight_decay: 0.0, ..AdamWOptions::default() };
    options.step(n, LR * rate as f32, 1.0)
}
