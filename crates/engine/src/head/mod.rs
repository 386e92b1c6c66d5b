//! Output layer: from hidden states (N, C) to losses and their gradient (N, C), and to
//! distributions.
//!
//! The rest of the program sees four types. [`HeadConfig`] says which layer a model has.
//! [`OutputLayer`] knows where its tensors lie. [`HeadLoss`] computes losses over the micro-batches
//! of all lanes, and [`Predictor`] distributions at single positions; each owns its buffers. The
//! set of layers is known in this folder only, and `lay_out` selects among them:
//!
//! - `full`: one softmax over the vocabulary; it may be trained on a sample of it (`sampled`).
//! - `factor`: a softmax over classes, and one over the tokens of the target's class.
//! - `adaptive`: a softmax over the most frequent tokens and clusters of the others, and one over
//!   the tokens of each cluster.
//!
//! A new layer is a file here, variants in `config` and an arm of `lay_out`; `docs/architecture.md`
//! has the whole list.

mod adaptive;
mod arithmetic;
mod class;
mod config;
mod distribution;
mod factor;
mod full;
mod loss_sum;
pub mod sampled;
mod softmax;

pub use config::{HeadConfig, HeadName};
pub use distribution::Distribution;
pub(crate) use factor::plain_fit::micro_rows;
pub use factor::{Expansion, FitBatch, PlainFit};
pub use loss_sum::LossSum;

use crate::model::{
    ActiveRows, Gradients, Lane, LaneOutput, MicroShape, ModelConfig, PackedMatrix, Span,
    TableBuilder, Weights,
};
use kernels::{Pool, Precision, Rows};
use std::fmt::Debug;
use std::sync::Arc;

/// An output layer: its tensors and their use.
pub trait OutputLayer: Debug + Send + Sync {
    /// Its matrices, in the order of [`Matrix::index`](crate::model::Matrix::index).
    fn matrices(&self) -> Vec<PackedMatrix>;

    /// Words of panels that its backward products need in a lane of this shape.
    fn panel_words(&self, shape: &MicroShape) -> usize;

    /// Whether the rows of a shared table that the layer reads are known before a step's passes;
    /// `None` if it does not read the table.
    fn knows_rows(&self, _table: Span) -> Option<bool> {
        None
    }

    /// A fit of a full softmax to this layer, from micro-batches of up to `n_most` rows; `None` if
    /// the layer cannot be converted.
    fn plain_fit<'a>(
        &'a self,
        _weights: Weights<'a>,
        _n_most: usize,
        _threads: usize,
    ) -> Option<PlainFit<'a>> {
        None
    }

    /// Initialises parameters that depend on token counts (V) in the text.
    fn init(&self, _params: &mut [f32], _counts: &[u64]) {}

    /// One line for the plan of a run and the inspection of a model.
    fn describe(&self, model: &ModelConfig) -> String;

    /// The layer's loss over lanes.
    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss>;

    /// The layer for one position of each text, with operands of this format.
    fn predictor(&self, precision: Precision) -> Box<dyn Predictor>;
}

/// Configuration of a [`HeadLoss`].
#[derive(Clone, Debug)]
pub struct LossSpec<'a> {
    /// The largest micro-batch of a lane.
    pub shape: &'a MicroShape,
    /// Number of lanes.
    pub n_lanes: usize,
    /// Number of threads.
    pub threads: usize,
    /// For training: the seed of random draws, and the occurrences of each token (V) in the text.
    pub training: Option<(u64, &'a [u64])>,
}

/// A pass of one lane before or after its loss, given the lane's number; runs on any thread.
pub type LanePass<'a> = dyn Fn(usize, &mut Lane) + Sync + 'a;

/// Passes of a lane around the loss.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Reads the lane's micro-batch and computes the layer's input in the lane.
    pub forward: &'a LanePass<'a>,
    /// Continues from the gradient of the layer's input.
    pub backward: &'a LanePass<'a>,
}

impl Around<'_> {
    /// Runs both passes and `loss` between them in every lane, given the lane's buffers, for a layer
    /// in which each lane works alone. No lane waits for another in between.
    ///
    /// # Panics
    /// If there are not as many buffers as lanes.
    pub fn lane_by_lane<B: Send>(
        self,
        pool: &mut Pool,
        buffers: &mut [B],
        lanes: &mut [Lane],
        loss: impl Fn(&mut B, LaneOutput) + Sync,
    ) {
        pool.for_each_pair(buffers, lanes, |i, buffers, lane| {
            (self.forward)(i, lane);
            loss(buffers, lane.output());
            (self.backward)(i, lane);
        });
    }
}

/// Loss of an output layer over the micro-batches of all lanes.
pub trait HeadLoss: Debug + Send + Sync {
    /// Finds the parts of the layer that the current batch uses, from the targets noted in
    /// `active`, and notes their rows of shared tables there.
    fn find_active(&mut self, _active: &mut ActiveRows) {}

    /// Whether the step's batch uses this part of the layer
    /// ([`ReadBy::StepsThatUse`](crate::model::ReadBy::StepsThatUse)).
    fn is_active(&self, _part: usize) -> bool {
        true
    }

    /// Prepares a step; the rows that it uses are caught up.
    fn begin_step(&mut self, _weights: Weights, _step: u64) {}

    /// Runs between the passes of every lane. Stores the losses of its micro-batch; writes the
    /// gradient of the layer's input to the lane; adds the gradients of the layer's weights to the
    /// lane's own (if `is_first`, overwrites those of matrices) and to those of the shared tables.
    ///
    /// Gradients are of the *sum* of losses; the step divides by the token count once.
    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        shared_acc: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    );

    /// Adds the gradients of shared tables that lane `i` stored for this micro-batch. Called in
    /// lane order, each time after the lane's input-vector gradients were added.
    fn add_shared_gradient(&self, _i: usize, _lane: &Lane, _shared_acc: Gradients) {}

    /// Adds the gradients of shared tables that were kept until the step's last micro-batch.
    fn end_step(&mut self, _shared_acc: Gradients) {}

    /// Computes and stores the losses of every lane's micro-batch after its forward pass, without
    /// gradients.
    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool);

    /// (N) losses of lane `i`'s micro-batch in nats; 0 at positions without a target.
    fn losses(&self, i: usize) -> &[f32];

    /// Name and bytes of the allocations.
    fn memory(&self) -> Vec<(&'static str, usize)>;
}

/// An output layer for one position of each text of a batch.
pub trait Predictor: Debug + Send {
    /// Computes what the distributions of all texts need, given the layer's inputs, (S, C): the
    /// products that can be made for all texts at once.
    fn prepare(&mut self, weights: Weights, inputs: Rows, pool: &mut Pool);

    /// Distribution of the next token of text `i`, given the same inputs as [`Predictor::prepare`].
    fn distribution<'a>(
        &'a mut self,
        weights: Weights<'a>,
        inputs: Rows<'a>,
        i: usize,
        pool: &'a mut Pool,
    ) -> Distribution<'a>;

    /// Bytes of the allocations.
    fn bytes(&self) -> usize;
}

/// Lays out the output layer of `config`, and the embeddings if they must come after it.
/// `n_samples` is the number of tokens that a full layer is trained on, if not all.
pub(crate) fn lay_out(
    config: &ModelConfig,
    n_samples: Option<usize>,
    table: &mut TableBuilder,
) -> Arc<dyn OutputLayer> {
    match &config.head {
        HeadConfig::Full => match n_samples {
            None => Arc::new(full::Full::lay_out(config, table)),
            Some(n) => Arc::new(sampled::Sampled::lay_out(config, n, table)),
        },
        HeadConfig::Factor { class_starts } => {
            Arc::new(factor::Factored::lay_out(config, class_starts, table))
        }
        HeadConfig::Adaptive { cutoffs } => {
            Arc::new(adaptive::Adaptive::lay_out(config, cutoffs, table))
        }
    }
}
