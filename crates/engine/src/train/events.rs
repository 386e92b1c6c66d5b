//! What a run tells whoever watches it; the command line, a server and a test all see the same.

use super::plan::{StepError, StepReport};
use crate::checkpoint::Saved;
use crate::disk::{Rejected, SaveError};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A long preparation is under way: bytes done, of how many.
    Preparing {
        /// What is being done.
        what: &'static str,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        of: u64,
    },
    /// The run is about to take its first step, now or again.
    Started(Started<'a>),
    /// A step was taken.
    Step(Metrics),
    /// A step was skipped: parameters are as before it.
    Skipped(&'a StepError),
    /// Held-out text was evaluated.
    Evaluated(Evaluation),
    /// The model wrote a sample.
    Sampled {
        /// Steps taken before it.
        step: u64,
        /// What it continues.
        prompt: &'a str,
        /// What it wrote.
        text: &'a str,
    },
    /// A checkpoint is on disk.
    Saved(&'a Saved),
    /// A checkpoint could not be written; training goes on.
    SaveFailed(&'a SaveError),
    /// Checkpoints that were passed over, and why.
    Rejected(&'a [Rejected]),
}

/// The plan of a run as it starts.
#[derive(Debug)]
pub struct Started<'a> {
    /// The run's folder.
    pub dir: &'a Path,
    /// Its configuration.
    pub config: &'a super::settings::RunConfig,
    /// Parameters.
    pub n_params: usize,
    /// Tokens to train on, and held out.
    pub n_tokens: (usize, usize),
    /// Steps already taken.
    pub step: u64,
    /// Name and bytes of every allocation.
    pub memory: Vec<(&'static str, usize)>,
}

/// One row of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metrics {
    /// Version of the row.
    pub v: u32,
    /// Steps taken, this one included.
    pub step: u64,
    /// Passes over the text that are complete.
    pub epoch: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Mean loss of the step's batch.
    pub train_loss: f64,
    /// Learning rate.
    pub lr: f32,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Training time so far, all sittings together.
    pub elapsed_s: f64,
    /// Speed of this step.
    pub tok_s: f64,
    /// Share of the rows of embeddings and of the output layer that the batch used, where they need
    /// not all be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_used: Option<f64>,
}

/// A measurement on held-out text: one row of `evals.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Steps taken before it.
    pub step: u64,
    /// Mean loss per token.
    pub val_loss: f64,
    /// Tokens measured.
    pub n_tok: usize,
    /// Training time so far, all sittings together.
    pub elapsed_s: f64,
    /// Bits per byte of text, where all of the held-out text was measured.
    pub bits_per_byte: Option<f64>,
    /// Whether it is the lowest so far.
    pub is_best: bool,
}

/// Watches a run.
pub trait Observer {
    /// Is told of everything, in order.
    fn event(&mut self, event: &Event);

    /// Asked between steps; true ends the run in order, saved.
    fn should_stop(&self) -> bool;
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// It was told to stop; it is saved.
    Stopped {
        /// Steps taken.
        step: u64,
    },
}

impl Metrics {
    pub(super) fn new(
        step: u64,
        epoch: u64,
        tokens: u64,
        report: StepReport,
        lr: f32,
        elapsed: Duration,
        step_time: Duration,
    ) -> Metrics {
        let StepReport { loss_nats, grad_norm, n_tok, rows_used } = report;
        let tok_s = n_tok as f64 / step_time.as_secs_f64();
        let elapsed_s = elapsed.as_secs_f64();
        Metrics {
            v: 1,
            step,
            epoch,
            tokens,
            train_loss: loss_nats,
            lr,
            grad_norm,
            elapsed_s,
            tok_s,
            rows_used: rows_used.map(|used| used.all),
        }
    }
}
