//! From a factored model to one with a full output layer, which other programs can read.
//!
//! The output matrix, (V, C) and without biases, starts where least squares put it, and then learns
//! the factored layer's distribution by gradient descent ([`PlainFit`]), while the blocks stay as they
//! are. Then all of the model goes on learning the text (`tune`). The embeddings are no
//! longer tied to the output.

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
pub use whole::{ConvertError, ConvertEvent, Stage, hold_out, run};

/// How long to fit.
#[derive(Clone, Copy, Debug)]
pub enum FitBudget {
    /// So many steps; the result depends on nothing else.
    Steps(u64),
    /// As many as there is time for.
    Time(Duration),
}

impl FitBudget {
    /// A part of it.
    pub fn part(self, share: f64) -> FitBudget {
        match self {
            FitBudget::Steps(n) => FitBudget::Steps((n as f64 * share).round() as u64),
            FitBudget::Time(time) => FitBudget::Time(time.mul_f64(share)),
        }
    }

    /// The share of it that is spent.
    fn share(self, n_steps: u64, began: Instant) -> f64 {
        match self {
            FitBudget::Steps(0) => 1.0,
            FitBudget::Steps(n) => n_steps as f64 / n as f64,
            FitBudget::Time(time) => began.elapsed().as_secs_f64() / time.as_secs_f64(),
        }
    }
}

/// How far fitting, or tuning, has come.
#[derive(Clone, Copy, Debug)]
pub struct FitProgress {
    /// Steps taken.
    pub step: u64,
    /// Share of the budget that is spent.
    pub share: f64,
    /// Of the step's tokens, per token: of fitting by how much the full layer's loss is above the
    /// factored one's, of tuning the loss.
    pub nats: f64,
    /// Tokens that were learnt from, all steps together.
    pub n_tok: u64,
}

/// Why there is no fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The output layer is full already.
    #[error("the model's output layer is not factored: there is nothing to convert")]
    NotFactored,
    /// Its input vectors are composed of parts, which a plain model's are not.
    #[error("the model's input vectors are composed of parts of words: no plain model can do that")]
    Composed,
    /// The model is damaged.
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

/// A full output layer on its way.
#[derive(Debug)]
pub struct Fitting<'a> {
    teacher: Model<'a>,
    batch_seqs: usize,
    inputs: Inputs,
    fit: PlainFit<'a>,
    n_steps: u64,
}

impl<'a> Fitting<'a> {
    /// The start of a full layer for the model `teacher`, from the text that `source` gives in batches
    /// of `batch_seqs` sequences.
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

    /// Takes steps until the budget is spent, or `report` returns that it is enough.
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

    /// The model as it is now: its table, and its parameters.
    pub fn model(&self) -> (Layout, AlignedVec<f32>) {
        let of_teacher = self.teacher.layout;
        let config = full_config(&of_teacher.config);
        let layout = Layout::new(&config).expect("only the output layer differs");
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

/// The same model with a full output layer.
fn full_config(config: &ModelConfig) -> ModelConfig {
    ModelConfig { head: HeadConfig::default(), tie_embeddings: false, ..config.clone() }
}

/// The update number `n`, from 1, when `share` of the budget is spent.
fn adamw_step(n: u64, share: f64) -> AdamwStep {
    let rate = (share / WARM_SHARE).min(1.0 - share).clamp(0.02, 1.0);
    // Gradients of rare tokens are as small as their probabilities.
    let options =
        AdamWOptions { beta2: 0.99, eps: 1e-10, weight_decay: 0.0, ..AdamWOptions::default() };
    options.step(n, LR * rate as f32, 1.0)
}
