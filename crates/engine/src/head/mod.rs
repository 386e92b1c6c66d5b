//! Output layer: from the blocks' (N, C) to losses and their gradient (N, C), and to distributions.
//!
//! Four things are all that the rest of the program sees. [`HeadConfig`] says which layer a model
//! has. [`OutputLayer`] knows where its tensors lie. [`HeadLoss`] is the layer at work on the
//! micro-batches of all lanes, and [`Predictor`] the layer at work on single positions; each owns its
//! memory. Which layers there are is known in this folder, and chosen from in `lay_out` alone:
//!
//! - [`full`]: one softmax over the vocabulary; it may be trained on a sample of it ([`sampled`]).
//! - [`factor`]: a softmax over classes, and one over the tokens of the right class.
//! - [`adaptive`]: a softmax over the most frequent tokens and clusters of the others, and one over
//!   the tokens of a cluster.
//!
//! A new layer is a file here, a variant of [`HeadConfig`] and a line of `lay_out`.

mod adaptive;
mod arithmetic;
mod class;
mod config;
mod describe;
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
    ActiveRows, Gradients, Lane, MicroShape, ModelConfig, PackedMatrix, Span, TableBuilder, Weights,
};
use kernels::{Pool, Precision, Rows};
use std::fmt::Debug;
use std::sync::Arc;

/// An output layer: where its tensors lie and what they are for.
pub trait OutputLayer: Debug + Send + Sync {
    /// Its matrices, in the order of [`Matrix::index`](crate::model::Matrix::index).
    fn matrices(&self) -> Vec<PackedMatrix>;

    /// Words of panels that its backward products take in a lane of this shape.
    fn panel_words(&self, shape: &MicroShape) -> usize;

    /// Whether it is known before a step's passes which rows of one of the shared tables the layer
    /// reads; `None` if it does not read the table.
    fn knows_rows(&self, _table: Span) -> Option<bool> {
        None
    }

    /// A fit of a full softmax to this layer, from micro-batches of up to `n_most` rows, if it is a
    /// layer that can be converted so.
    fn plain_fit<'a>(
        &'a self,
        _weights: Weights<'a>,
        _n_most: usize,
        _threads: usize,
    ) -> Option<PlainFit<'a>> {
        None
    }

    /// Writes what the counts of a text's tokens (V) tell into fresh parameters.
    fn init(&self, _params: &mut [f32], _counts: &[u64]) {}

    /// The layer at work on lanes.
    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss>;

    /// The layer at work on single positions, with operands of this format.
    fn predictor(&self, precision: Precision) -> Box<dyn Predictor>;
}

/// What a [`HeadLoss`] is for.
#[derive(Clone, Debug)]
pub struct LossSpec<'a> {
    /// The largest micro-batch of a lane.
    pub shape: &'a MicroShape,
    /// Lanes.
    pub n_lanes: usize,
    /// Threads that work on them.
    pub threads: usize,
    /// For training: seed of what is drawn, and how often each token (V) occurs in the text.
    pub training: Option<(u64, &'a [u64])>,
}

/// What is done with a lane before its loss or after it, given its number; any thread may do it.
pub type LanePass<'a> = dyn Fn(usize, &mut Lane) + Sync + 'a;

/// The passes of lanes around the loss. A layer in which each lane works alone runs all three lane by
/// lane, without waiting for the other lanes in between.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Reads the lane's micro-batch, and leaves the layer's input there.
    pub forward: &'a LanePass<'a>,
    /// Goes on from the gradient of the layer's input.
    pub backward: &'a LanePass<'a>,
}

/// An output layer at work on the micro-batches of all lanes.
pub trait HeadLoss: Debug + Send + Sync {
    /// Finds what of the layer the batch of a step uses, whose targets were noted in `active`, and
    /// notes the rows of shared tables there.
    fn find_active(&mut self, _active: &mut ActiveRows) {}

    /// Whether the step's batch uses this part of the layer
    /// ([`ReadBy::StepsThatUse`](crate::model::ReadBy::StepsThatUse)).
    fn is_active(&self, _part: usize) -> bool {
        true
    }

    /// Prepares a step, when its rows are up to date.
    fn begin_step(&mut self, _weights: Weights, _step: u64) {}

    /// Between the passes of every lane: the losses of its micro-batch, kept here; the gradient of
    /// the layer's input, written to the lane; and the gradients of the layer's weights, added to the
    /// lane's own (`is_first`: matrices' overwritten) and to those of the shared tables.
    ///
    /// Gradients are of the *sum* of losses: the step divides by the token count once.
    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        shared_acc: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    );

    /// Adds the gradients of shared tables that micro-batch of lane `i` has kept: lanes take turns,
    /// each after the gradients of its input vectors.
    fn add_shared_gradient(&self, _i: usize, _lane: &Lane, _shared_acc: Gradients) {}

    /// Adds the gradients of shared tables that were kept until the last micro-batch of the step.
    fn end_step(&mut self, _shared_acc: Gradients) {}

    /// Losses of every lane's micro-batch, kept here, after its forward pass and without gradients.
    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool);

    /// (N) the losses in nats of the micro-batch of lane `i`, 0 where there is no target.
    fn losses(&self, i: usize) -> &[f32];

    /// Name and bytes of the allocations.
    fn memory(&self) -> Vec<(&'static str, usize)>;
}

/// An output layer at work on single positions.
pub trait Predictor: Debug + Send {
    /// The distribution of the next token, given (C) the layer's input.
    fn predict<'a>(
        &'a mut self,
        weights: Weights<'a>,
        input: Rows<'a>,
        pool: &'a mut Pool,
    ) -> Distribution<'a>;

    /// Bytes of the allocations.
    fn bytes(&self) -> usize;
}

/// Lays out the output layer of `config`, and with it the embeddings where they come behind it;
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
