//! The output layer as one lane works on it.

use crate::head::adaptive::Tail;
use crate::head::factor::ClassSort;
use crate::head::sampled::{Candidates, SampledRows};
use crate::head::softmax;
use crate::model::{LaneBuffers, Layout, MicroShape, Model};

/// What a lane keeps for the output layer beside its buffers.
#[derive(Debug)]
pub(super) enum LaneHead {
    /// Nothing: all is one softmax.
    Full,
    /// Its rows by class; the tokens of a class are for all lanes together.
    Factor(ClassSort),
    /// Its clusters.
    Adaptive(Tail),
    /// Its rows against some of the tokens.
    Sampled(SampledRows),
}

impl LaneHead {
    /// What a lane of this shape needs.
    pub fn new(layout: &Layout, shape: &MicroShape, training: bool) -> LaneHead {
        if let Some(factor) = &layout.factor {
            return LaneHead::Factor(ClassSort::new(shape.n_rows(), factor.members.len()));
        }
        Tail::new(layout, shape, training).map_or(LaneHead::Full, LaneHead::Adaptive)
    }

    /// Losses of the rows of `targets` and the gradient of the layer's input, left in the lane, and
    /// the gradients of the layer's weights that are the lane's own. Under a factored layer these
    /// are of the classes only. No targets are no work, but no rows of an earlier micro-batch stay.
    pub fn loss_and_gradient(
        &mut self,
        model: Model,
        candidates: Option<&Candidates>,
        targets: &[u32],
        is_first: bool,
        lane: &mut LaneBuffers,
    ) {
        match self {
            LaneHead::Full => softmax::loss_and_gradient(model, targets, is_first, lane),
            LaneHead::Factor(sort) => {
                sort_by_class(sort, model, targets);
                softmax::loss_and_gradient(model, sort.outputs(), is_first, lane);
            }
            LaneHead::Adaptive(tail) => tail.loss_and_gradient(model, targets, is_first, lane),
            LaneHead::Sampled(rows) => {
                let candidates = candidates.expect("lanes that are sampled have candidates");
                rows.loss_and_gradient(model, candidates, targets, is_first, lane);
            }
        }
    }

    /// Losses as [`LaneHead::loss_and_gradient`] leaves them, without gradients.
    pub fn loss(&mut self, model: Model, targets: &[u32], lane: &mut LaneBuffers) {
        match self {
            LaneHead::Full | LaneHead::Sampled(_) => softmax::loss(model, targets, lane),
            LaneHead::Factor(sort) => {
                sort_by_class(sort, model, targets);
                softmax::loss(model, sort.outputs(), lane);
            }
            LaneHead::Adaptive(tail) => tail.loss(model, targets, lane),
        }
    }

    /// Bytes of its allocations.
    pub fn bytes(&self) -> usize {
        match self {
            LaneHead::Full => 0,
            LaneHead::Factor(sort) => sort.bytes(),
            LaneHead::Adaptive(tail) => tail.bytes(),
            LaneHead::Sampled(rows) => rows.bytes(),
        }
    }
}

fn sort_by_class(sort: &mut ClassSort, model: Model, targets: &[u32]) {
    let factor = model.layout.factor.as_ref();
    sort.sort(targets, &factor.expect("a lane sorts its rows under a factored layer").starts);
}
