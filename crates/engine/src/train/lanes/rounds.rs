//! Lanes that share the gradients of the tables with a row for each token.
//!
//! So it is under every output layer but the full softmax, which alone has a gradient for every row
//! of its table anyway. A step goes in rounds: every lane runs its next micro-batch forward; under a
//! factored layer the softmax over the tokens of each class takes the rows of all lanes together;
//! every lane goes on backward. The shared gradients are added into class by class and lane by lane,
//! so the bits do not depend on which thread did what.

use super::lane_head::LaneHead;
use super::{Lane, SequenceSource, Touched};
use crate::head::LossSum;
use crate::head::factor::{LaneRows, Members, TableGrads};
use crate::head::sampled::Candidates;
use crate::model::{Layout, MicroShape, Model, Span, embedding_gradient};
use crate::train::step::StepPlan;
use kernels::{AlignedVec, Pool};
use text::vocab::ngrams::Ngrams;

/// What lanes share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The tokens of the classes, if the output layer has classes.
    members: Option<Members>,
    /// The tokens that targets are compared with, if these are not all.
    pub candidates: Option<Candidates>,
    /// What the step's batch uses.
    pub touched: Touched,
    /// Gradients of the tables, laid out as the parameters from `Layout::lane_len` on; of rows that
    /// take no part in a step it holds what earlier steps left.
    pub grads: AlignedVec<f32>,
}

impl Shared {
    /// What `n_lanes` lanes need, if they share anything.
    pub fn new(
        layout: &Layout,
        shape: &MicroShape,
        n_lanes: usize,
        threads: usize,
        training: bool,
    ) -> Option<Shared> {
        if layout.lane_len == layout.len {
            return None;
        }
        let n_rows = n_lanes * shape.n_rows();
        let n_grads = if training { layout.len - layout.lane_len } else { 0 };
        let members = layout.factor.is_some();
        let members =
            members.then(|| Members::new(layout, n_lanes, n_rows, shape.precision, threads));
        Some(Shared {
            members,
            candidates: None,
            touched: Touched::new(layout),
            grads: AlignedVec::zeroed(n_grads),
        })
    }

    /// The tokens of the classes, if the output layer has classes.
    pub fn members(&mut self) -> Option<&mut Members> {
        self.members.as_mut()
    }

    /// Name and bytes of the allocations.
    pub fn plan(&self) -> [(&'static str, usize); 3] {
        let grads = self.grads.len() * size_of::<f32>();
        let classes = self.members.as_ref().map_or(0, Members::bytes);
        let candidates = self.candidates.as_ref().map_or(0, Candidates::bytes);
        [("gradients of tables", grads), ("classes", classes), ("candidates", candidates)]
    }

    /// Finds out what the batch of a step uses.
    pub fn find_touched(
        &mut self,
        lanes: &mut [Lane],
        source: &dyn SequenceSource,
        step: u64,
        ngrams: Option<&Ngrams>,
    ) {
        self.touched.clear();
        for lane in lanes {
            for first in lane.sequences.clone().step_by(lane.buffers.shape.n_seqs) {
                let n_tok = lane.read(source, step, first..lane.sequences.end);
                let Lane { tokens, targets, buffers, .. } = &mut *lane;
                self.touched.add(&tokens[..n_tok], &targets[..n_tok]);
                if let Some(ngrams) = ngrams {
                    self.touched.add_ngrams(buffers.find_ngrams(ngrams, &tokens[..n_tok]));
                }
            }
        }
        self.touched.find_classes();
    }

    /// Forward and backward over every lane's sequences; gradients of the sum of losses are left in
    /// the lanes, and added into `grads`.
    pub fn accumulate(
        &mut self,
        model: Model,
        lanes: &mut [Lane],
        source: &dyn SequenceSource,
        plan: &StepPlan,
        pool: &mut Pool,
    ) {
        let Shared { members, candidates, grads, .. } = self;
        lanes.iter_mut().for_each(|lane| lane.begin_step(model.layout));
        if let Some(candidates) = candidates {
            candidates.draw(model, plan.step);
        }
        let candidates = candidates.as_ref();
        let n_rounds = lanes.iter().map(Lane::n_micro_batches).max().unwrap_or(0);
        for round in 0..n_rounds {
            pool.for_each(lanes, |_, lane| {
                let first = lane.first_of(round);
                lane.forward(model, candidates, source, plan, first);
            });
            if let Some(members) = members {
                let (n_lanes, view) = (lanes.len(), |i: usize| lanes[i].rows());
                let grads = table_grads(model.layout, grads);
                members.loss_and_gradient(model, grads, n_lanes, view, pool);
            }
            let members = members.as_ref();
            pool.for_each(lanes, |i, lane| {
                let first = lane.first_of(round);
                lane.backward(model, members.map(|members| (members, i)), plan, first);
            });
            for lane in lanes.iter_mut().filter(|lane| lane.n_tok > 0) {
                embedding_gradient(grads, model, lane.n_tok, &mut lane.buffers);
                if let LaneHead::Sampled(rows) = &lane.head {
                    let input = lane.buffers.head_input(lane.n_tok);
                    let targets = &lane.targets[..lane.n_tok];
                    rows.add_target_gradient(head_part(model.layout, grads), input, targets);
                }
            }
        }
        for lane in lanes.iter() {
            if let (LaneHead::Sampled(rows), Some(candidates)) = (&lane.head, candidates) {
                rows.add_gradient(head_part(model.layout, grads), candidates);
            }
        }
    }
}

/// Losses of sequences `0..sums.len()` of `source`, one to each of `sums`, without gradients, under
/// an output layer with classes.
pub(super) fn evaluate(
    members: &mut Members,
    model: Model,
    lanes: &mut [Lane],
    source: &dyn SequenceSource,
    sums: &mut [LossSum],
    pool: &mut Pool,
) {
    let (n_seqs, end) = (lanes[0].buffers.shape.n_seqs, sums.len());
    for first in (0..end).step_by(n_seqs * lanes.len()) {
        pool.for_each(lanes, |i, lane| {
            let first = (first + i * n_seqs).min(end);
            lane.n_tok = lane.read(source, 0, first..end);
            lane.evaluate_alone(model);
        });
        let (n_lanes, view) = (lanes.len(), |i: usize| lanes[i].rows());
        members.loss(model, n_lanes, view, pool);
        for (i, lane) in lanes.iter_mut().enumerate() {
            let LaneHead::Factor(sort) = &lane.head else { continue };
            let (acts, _, _) = lane.buffers.head(lane.n_tok);
            members.fetch_loss(i, sort, acts.loss);
            lane.write_sums(&mut sums[(first + i * n_seqs).min(end)..]);
        }
    }
}

/// A span of the parameters as a span of the tables' gradients.
fn shared_part(layout: &Layout, span: Span) -> Span {
    let start = layout.lane_len;
    Span { start: span.start - start, end: span.end - start }
}

/// The part of the tables' gradients that belongs to the matrix of a full softmax.
fn head_part<'a>(layout: &Layout, grads: &'a mut [f32]) -> &'a mut [f32] {
    shared_part(layout, layout.head.span).of_mut(grads)
}

/// The parts of the tables' gradients that belong to a factored output layer.
fn table_grads<'a>(layout: &Layout, grads: &'a mut [f32]) -> TableGrads<'a> {
    let factor = layout.factor.as_ref().expect("there are classes under a factored layer only");
    let parts = [factor.rows, factor.member_bias].map(|span| {
        let span = shared_part(layout, span);
        span.start..span.end
    });
    let parts = grads.get_disjoint_mut(parts);
    let [rows_acc, biases_acc] = parts.expect("the table gives every tensor its own place");
    TableGrads { rows_acc, biases_acc }
}

impl Lane {
    /// Its rows of the micro-batch at hand.
    fn rows(&self) -> LaneRows<'_> {
        let LaneHead::Factor(sort) = &self.head else {
            unreachable!("rows are sorted by class under a factored layer only")
        };
        LaneRows {
            sort,
            targets: &self.targets[..self.n_tok],
            input: self.buffers.head_input(self.n_tok),
        }
    }

    fn n_micro_batches(&self) -> usize {
        self.sequences.len().div_ceil(self.buffers.shape.n_seqs)
    }

    /// The first sequence of a round; the end of the lane's if it has none left.
    fn first_of(&self, round: usize) -> usize {
        (self.sequences.start + round * self.buffers.shape.n_seqs).min(self.sequences.end)
    }
}
