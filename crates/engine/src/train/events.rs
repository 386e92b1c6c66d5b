//! Events of a run: everything that an observer (the command line, a server, a test) is told.

use super::plan::{StepError, StepReport};
use crate::checkpoint::Saved;
use crate::disk::{Rejected, SaveError};
use kernels::Stop;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An event of a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A long preparation is in progress.
    Preparing {
        /// Name of the work in progress.
        what: &'static str,
        /// Bytes done.
        done: u64,
        /// Bytes in total.
        of: u64,
    },
    /// Something that the user should know.
    Noticed(&'a Notice),
    /// The run is about to take its first step, fresh or resumed.
    Started(Started<'a>),
    /// A step was taken.
    Step(Metrics),
    /// A step was skipped; the parameters are unchanged.
    Skipped(&'a StepError),
    /// Held-out text was evaluated.
    Evaluated(Evaluation),
    /// The model wrote a sample.
    Sampled {
        /// Steps taken before it.
        step: u64,
        /// The prompt.
        prompt: &'a str,
        /// The text that the model wrote.
        text: &'a str,
    },
    /// A checkpoint is on disk.
    Saved(&'a Saved),
    /// A checkpoint could not be written; training continues.
    SaveFailed(&'a SaveError),
    /// Checkpoints that were rejected while looking for the newest sound one, with reasons.
    Rejected(&'a [Rejected]),
}

/// A fact about a run that the user should know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The text is too short to hold some of it out; all of it is trained on.
    NothingHeldOut {
        /// Bytes of the text.
        n_bytes: u64,
    },
    /// Files without text, which are left out.
    EmptyFiles {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Line ends of other systems became line feeds.
    LineEnds {
        /// How many.
        n: u64,
    },
    /// Characters written as letter and accent became one.
    Composed {
        /// How many.
        n: u64,
    },
    /// Two files have the same text.
    SameText {
        /// The first of them.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// Held-out text that is also trained on makes the held-out loss too low.
    Repeated {
        /// Share of the held-out text, from 0 to 1.
        share: f64,
    },
    /// The held-out text is of another kind than the training text.
    OtherKind {
        /// Bits per byte of training text, from counts of pairs of bytes in the training text.
        train_bits: f64,
        /// Bits per byte of held-out text, from the same counts.
        held_out_bits: f64,
    },
    /// Rows of earlier steps are missing from a file; the run goes on without them.
    RowsMissing {
        /// Name of the file in the run's folder.
        file: &'static str,
        /// Number of rows in it.
        found: u64,
        /// Number of rows that were written, or at least that.
        expected: u64,
    },
    /// The run was measured on held-out text, which is no longer there.
    HeldOutTextMissing,
    /// The text has the name of a special token in it, which is read as ordinary text.
    SpecialNames {
        /// The name.
        name: &'static str,
        /// Number of occurrences.
        n: usize,
    },
    /// The run has no checkpoint, so that it begins again; rows of the earlier attempt are kept.
    BeginsAgain {
        /// Where the rows are now.
        rows: PathBuf,
    },
    /// A text file of the run is not found; the run has its tokens and does not need it.
    TextMissing {
        /// Its path when the run began.
        path: PathBuf,
    },
    /// Training went wrong, so that it goes on from an earlier state, with half the learning rate.
    RolledBack {
        /// Steps taken.
        from: u64,
        /// Step of the state that it goes on from; 0 is the untrained model.
        to: u64,
        /// How often this has happened,
        n: u64,
        /// and how often it may.
        of: u64,
        /// Fault of the last step.
        why: String,
    },
}

/// The plan of a run as it starts.
#[derive(Debug)]
pub struct Started<'a> {
    /// The run's folder.
    pub dir: &'a Path,
    /// Its configuration.
    pub config: &'a super::settings::RunConfig,
    /// One line about its output layer.
    pub output_layer: String,
    /// Number of parameters.
    pub n_params: usize,
    /// Number of tokens to train on, and held out.
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
    /// Steps taken, including this one.
    pub step: u64,
    /// Complete epochs.
    pub epoch: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Mean loss of the step's batch.
    pub train_loss: f64,
    /// Learning rate.
    pub lr: f32,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Training time so far in seconds, over all sessions of the run.
    pub elapsed_s: f64,
    /// Tokens per second of this step.
    pub tok_s: f64,
    /// Share of the rows of embedding and output tables that the batch used; absent if every step
    /// uses all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_used: Option<f64>,
}

/// A measurement on held-out text: one row of `evals.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Steps taken before this evaluation.
    pub step: u64,
    /// Mean loss in nats per token.
    pub val_loss: f64,
    /// Number of tokens measured.
    pub n_tok: usize,
    /// Training time so far in seconds, over all sessions of the run.
    pub elapsed_s: f64,
    /// Bits per byte of text, if all of the held-out text was measured and none of it is lost to
    /// unknown words.
    pub bits_per_byte: Option<f64>,
    /// Share of unknown words among the tokens of the held-out text, from 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_share: f64,
    /// Whether this is the lowest loss so far.
    pub is_best: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// Observer of a run.
pub trait Observer {
    /// Receives every event, in order.
    fn event(&mut self, event: &Event);

    /// Polled between steps; `true` saves the run and ends it.
    fn should_stop(&self) -> bool;

    /// Request to end the work in progress at once, as Ctrl-C does; a step in progress is then
    /// discarded. It also ends the run, as [`Observer::should_stop`] does.
    fn stop(&self) -> Stop {
        Stop::default()
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// The observer asked the run to stop; it is saved.
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
