//! Lanes under a factored output layer, which works on the rows of all of them at once.
//!
//! A step goes in rounds: every lane runs its next micro-batch forward, up to the softmax over
//! classes; the softmax over the tokens of each class takes the rows of all lanes together; every
//! lane goes on backward. The tables with a row for each token have one gradient, added into class
//! by class and lane by lane, so the bits do not depend on which thread did what.

use super::{Lane, SequenceSource, Touched, dropout};
use crate::head::LossSum;
use crate::head::factor::{LaneRows, MemberGrads, Members};
use crate::head::softmax;
use crate::model::{Layout, MicroShape, Model, Span, backward, embedding_gradient, forward};
use crate::train::step::StepPlan;
use kernels::{AlignedVec, Pool};

/// What lanes share.
#[derive(Debug)]
pub(super) struct Shared {
    members: Members,
    /// What the step's batch uses.
    pub touched: Touched,
    /// Gradients of the tables, laid out as the parameters from `Layout::lane_len` on; of rows that
    /// the batch does not use it holds what earlier steps left.
    pub grads: AlignedVec<f32>,
}

impl Shared {
    /// What `n_lanes` lanes need, if the output layer is factored.
    pub fn new(
        layout: &Layout,
        shape: &MicroShape,
        n_lanes: usize,
        threads: usize,
        training: bool,
    ) -> Option<Shared> {
        layout.factor.as_ref()?;
        let n_rows = n_lanes * shape.n_rows();
        let n_grads = if training { layout.len - layout.lane_len } else { 0 };
        Some(Shared {
            members: Members::new(layout, n_lanes, n_rows, shape.precision, threads),
            touched: Touched::new(layout),
            grads: AlignedVec::zeroed(n_grads),
        })
    }

    /// Name and bytes of the allocations.
    pub fn plan(&self) -> [(&'static str, usize); 2] {
        let grads = self.grads.len() * size_of::<f32>();
        [("gradients of tables", grads), ("classes", self.members.bytes())]
    }

    /// Finds out what the batch of a step uses.
    pub fn find_touched(&mut self, lanes: &mut [Lane], source: &dyn SequenceSource, step: u64) {
        self.touched.clear();
        for lane in lanes {
            for first in lane.sequences.clone().step_by(lane.buffers.shape.n_seqs) {
                let n_tok = lane.read(source, step, first..lane.sequences.end);
                self.touched.add(&lane.tokens[..n_tok], &lane.targets[..n_tok]);
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
        for lane in &mut *lanes {
            lane.buffers.begin_step(model.layout);
            lane.loss = LossSum::default();
        }
        let n_rounds = lanes.iter().map(Lane::n_micro_batches).max().unwrap_or(0);
        for round in 0..n_rounds {
            pool.for_each(lanes, |_, lane| lane.round_forward(model, source, plan, round));
            let (n_lanes, view) = (lanes.len(), |i: usize| lanes[i].rows());
            let grads = member_grads(model.layout, &mut self.grads);
            self.members.loss_and_gradient(model, grads, n_lanes, view, pool);
            let members = &self.members;
            pool.for_each(lanes, |i, lane| lane.round_backward(model, members, i, plan, round));
            for lane in lanes.iter_mut().filter(|lane| lane.n_tok > 0) {
                embedding_gradient(&mut self.grads, model, lane.n_tok, &mut lane.buffers);
            }
        }
    }

    /// Losses of sequences `0..sums.len()` of `source`, one to each of `sums`, without gradients.
    pub fn evaluate(
        &mut self,
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
                lane.evaluate_classes(model);
            });
            let (n_lanes, view) = (lanes.len(), |i: usize| lanes[i].rows());
            self.members.loss(model, n_lanes, view, pool);
            for (i, lane) in lanes.iter_mut().enumerate() {
                let seq_len = lane.buffers.shape.seq_len;
                let (acts, _, _) = lane.buffers.head(lane.n_tok);
                if let Some(sort) = &lane.sort {
                    self.members.fetch(i, sort, acts.loss, None);
                }
                let targets = lane.targets[..lane.n_tok].chunks_exact(seq_len);
                let rows = acts.loss.chunks_exact(seq_len).zip(targets);
                for (sum, (loss, targets)) in sums.iter_mut().skip(first + i * n_seqs).zip(rows) {
                    *sum = LossSum::of(loss, targets);
                }
            }
        }
    }
}

/// A span of the parameters as a span of the tables' gradients.
fn shared_part(layout: &Layout, span: Span) -> Span {
    let start = layout.lane_len;
    Span { start: span.start - start, end: span.end - start }
}

/// The parts of the tables' gradients that belong to the output layer.
fn member_grads<'a>(layout: &Layout, grads: &'a mut [f32]) -> MemberGrads<'a> {
    let factor = layout.factor.as_ref().expect("lanes share gradients of a factored layer");
    let parts = [factor.rows, factor.member_bias].map(|span| {
        let span = shared_part(layout, span);
        span.start..span.end
    });
    let parts = grads.get_disjoint_mut(parts);
    let [rows_acc, biases_acc] = parts.expect("the table gives every tensor its own place");
    MemberGrads { rows_acc, biases_acc }
}

impl Lane {
    /// Its rows of the micro-batch at hand.
    fn rows(&self) -> LaneRows<'_> {
        LaneRows {
            sort: self.sort.as_ref().expect("a lane under a factored layer sorts its rows"),
            targets: &self.targets[..self.n_tok],
            input: self.buffers.head_input(self.n_tok),
        }
    }

    fn n_micro_batches(&self) -> usize {
        self.sequences.len().div_ceil(self.buffers.shape.n_seqs)
    }

    /// The first sequence of a round.
    fn first_of(&self, round: usize) -> usize {
        (self.sequences.start + round * self.buffers.shape.n_seqs).min(self.sequences.end)
    }

    /// Reads the round's micro-batch and runs it up to the softmax over classes.
    fn round_forward(
        &mut self,
        model: Model,
        source: &dyn SequenceSource,
        plan: &StepPlan,
        round: usize,
    ) {
        let first = self.first_of(round);
        self.n_tok = self.read(source, plan.step, first..self.sequences.end);
        let Lane { buffers, tokens, targets, sort: Some(sort), n_tok, .. } = self else { return };
        let (tokens, targets) = (&tokens[..*n_tok], &targets[..*n_tok]);
        sort.sort(targets, class_starts(model.layout));
        if targets.is_empty() {
            return; // another lane has more sequences
        }
        forward(model, tokens, dropout(plan, first), buffers);
        softmax::input(model, *n_tok, buffers);
        softmax::loss_and_gradient(model, sort.classes(), round == 0, buffers);
    }

    /// Takes what the classes gave and runs the round's micro-batch backward.
    fn round_backward(
        &mut self,
        model: Model,
        members: &Members,
        index: usize,
        plan: &StepPlan,
        round: usize,
    ) {
        let first = self.first_of(round);
        let Lane { buffers, targets, sort: Some(sort), n_tok, loss, .. } = self else { return };
        if *n_tok == 0 {
            return;
        }
        let (acts, _, _) = buffers.head(*n_tok);
        members.fetch(index, sort, acts.loss, Some(acts.dinput));
        loss.add(LossSum::of(acts.loss, &targets[..*n_tok]));
        softmax::input_backward(model, *n_tok, buffers);
        backward(model, *n_tok, dropout(plan, first), round == 0, buffers);
    }

    /// The forward pass and losses of the classes of targets.
    fn evaluate_classes(&mut self, model: Model) {
        let Lane { buffers, tokens, targets, sort: Some(sort), n_tok, .. } = self else { return };
        sort.sort(&targets[..*n_tok], class_starts(model.layout));
        if *n_tok == 0 {
            return;
        }
        forward(model, &tokens[..*n_tok], None, buffers);
        softmax::input(model, *n_tok, buffers);
        softmax::loss(model, sort.classes(), buffers);
    }
}

fn class_starts(layout: &Layout) -> &[u32] {
    layout.factor.as_ref().map_or(&[], |factor| &factor.starts)
}
