//! Data-parallel lanes: each runs its share of the batch with gradients of its own.
//!
//! The number of lanes is part of a run's configuration, never taken from the machine afterwards:
//! lane i always has the same sequences, and lanes' gradients are summed in order. How many threads
//! there are decides only who runs which lane.

mod lane_head;
mod rounds;
mod touched;

use super::step::StepPlan;
use crate::head::LossSum;
use crate::head::factor::Members;
use crate::head::sampled::{Candidates, SampledRows};
use crate::head::softmax;
use crate::model::{Dropout, LaneBuffers, Layout, MicroShape, Model, Span, backward, forward};
use kernels::Pool;
use lane_head::LaneHead;
use rounds::Shared;
use std::ops::Range;
use text::vocab::ngrams::Ngrams;
pub use touched::{RowsUsed, Touched};

/// Where batches come from: a pure function of (step, sequence).
pub trait SequenceSource: Sync {
    /// Writes sequence `index` of step `step`: T tokens and what follows each.
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]);
}

/// One lane: its memory, and its share of the batch.
#[derive(Debug)]
pub struct Lane {
    /// Gradients, activations, workspace.
    pub buffers: LaneBuffers,
    /// The sequences of a batch that are this lane's.
    sequences: Range<usize>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// Tokens of the micro-batch at hand.
    n_tok: usize,
    head: LaneHead,
    loss: LossSum,
}

/// All lanes and the threads that run them.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// What they share, unless the output layer is the full softmax.
    shared: Option<Shared>,
    pool: Pool,
}

impl Lane {
    fn new(layout: &Layout, shape: &MicroShape, sequences: Range<usize>, training: bool) -> Lane {
        Lane {
            buffers: LaneBuffers::new(layout, shape.clone(), training),
            sequences,
            tokens: vec![0; shape.n_rows()],
            targets: vec![0; shape.n_rows()],
            n_tok: 0,
            head: LaneHead::new(layout, shape, training),
            loss: LossSum::default(),
        }
    }

    /// Forward and backward over the lane's sequences, micro-batch by micro-batch; gradients of the
    /// sum of losses are left in the lane.
    fn accumulate(&mut self, model: Model, source: &dyn SequenceSource, plan: &StepPlan) {
        self.begin_step(model.layout);
        for first in self.sequences.clone().step_by(self.buffers.shape.n_seqs) {
            self.forward(model, None, source, plan, first);
            self.backward(model, None, plan, first);
        }
    }

    fn begin_step(&mut self, layout: &Layout) {
        self.buffers.begin_step(layout);
        self.loss = LossSum::default();
    }

    /// Reads the micro-batch that begins with sequence `first` and runs it forward, as far as a lane
    /// can alone; if there are no more sequences, `n_tok` is 0 and nothing is done.
    fn forward(
        &mut self,
        model: Model,
        candidates: Option<&Candidates>,
        source: &dyn SequenceSource,
        plan: &StepPlan,
        first: usize,
    ) {
        self.n_tok = self.read(source, plan.step, first..self.sequences.end);
        let is_first = first == self.sequences.start;
        let Lane { buffers, tokens, targets, head, n_tok, .. } = self;
        let (tokens, targets) = (&tokens[..*n_tok], &targets[..*n_tok]);
        if *n_tok > 0 {
            forward(model, tokens, dropout(plan, first), buffers);
            softmax::input(model, *n_tok, buffers);
        }
        head.loss_and_gradient(model, candidates, targets, is_first, buffers);
    }

    /// Runs the micro-batch backward that [`Lane::forward`] just ran, with what lane number `i`
    /// gets from `members`, if the output layer has any.
    fn backward(
        &mut self,
        model: Model,
        members: Option<(&Members, usize)>,
        plan: &StepPlan,
        first: usize,
    ) {
        let is_first = first == self.sequences.start;
        let Lane { buffers, targets, head, n_tok, loss, .. } = self;
        if *n_tok == 0 {
            return;
        }
        let (acts, _, _) = buffers.head(*n_tok);
        if let (Some((members, i)), LaneHead::Factor(sort)) = (members, head) {
            members.fetch(i, sort, acts.loss, acts.dinput);
        }
        loss.add(LossSum::of(acts.loss, &targets[..*n_tok]));
        softmax::input_backward(model, *n_tok, buffers);
        backward(model, *n_tok, dropout(plan, first), is_first, buffers);
    }

    /// Losses of sequences from number `first` of `source` on, one to each of `sums`, without
    /// gradients.
    fn evaluate(
        &mut self,
        model: Model,
        source: &dyn SequenceSource,
        first: usize,
        sums: &mut [LossSum],
    ) {
        let (n_seqs, end) = (self.buffers.shape.n_seqs, first + sums.len());
        for (batch, sums) in sums.chunks_mut(n_seqs).enumerate() {
            self.n_tok = self.read(source, 0, first + batch * n_seqs..end);
            self.evaluate_alone(model);
            self.write_sums(sums);
        }
    }

    /// Writes the losses of the micro-batch at hand, one sum for each of its sequences.
    fn write_sums(&mut self, sums: &mut [LossSum]) {
        let seq_len = self.buffers.shape.seq_len;
        let (head, _, _) = self.buffers.head(self.n_tok);
        let targets = self.targets[..self.n_tok].chunks_exact(seq_len);
        let rows = head.loss.chunks_exact(seq_len).zip(targets);
        for (sum, (loss, targets)) in sums.iter_mut().zip(rows) {
            *sum = LossSum::of(loss, targets);
        }
    }

    /// Losses of the micro-batch at hand, without gradients, as far as a lane can tell alone.
    fn evaluate_alone(&mut self, model: Model) {
        let Lane { buffers, tokens, targets, head, n_tok, .. } = self;
        if *n_tok > 0 {
            forward(model, &tokens[..*n_tok], None, buffers);
            softmax::input(model, *n_tok, buffers);
        }
        head.loss(model, &targets[..*n_tok], buffers);
    }

    /// Reads the first sequences of `sequences`, as many as a micro-batch takes; returns how many
    /// tokens those are.
    fn read(&mut self, source: &dyn SequenceSource, step: u64, sequences: Range<usize>) -> usize {
        let (t, n_seqs) = (self.buffers.shape.seq_len, self.buffers.shape.n_seqs);
        let rows = self.tokens.chunks_exact_mut(t).zip(self.targets.chunks_exact_mut(t));
        let n_here = n_seqs.min(sequences.len());
        for (index, (tokens, targets)) in sequences.zip(rows.take(n_here)) {
            source.fill(step, index, tokens, targets);
        }
        n_here * t
    }
}

/// The masks of a micro-batch, keyed by seed, step and its first sequence.
fn dropout(plan: &StepPlan, first_sequence: usize) -> Option<Dropout> {
    use kernels::rng::{Purpose, Rng};
    let key = Rng::new(plan.seed, Purpose::Dropout, plan.step).u64_at(first_sequence as u64);
    (plan.dropout > 0.0).then_some(Dropout { rate: plan.dropout, key })
}

impl Lanes {
    /// `n_lanes` lanes that share batches of `batch_seqs` sequences, run by `threads` threads.
    pub fn new(
        layout: &Layout,
        shape: &MicroShape,
        n_lanes: usize,
        batch_seqs: usize,
        threads: usize,
    ) -> Lanes {
        let n_lanes = n_lanes.clamp(1, batch_seqs);
        let share = |i: usize| i * batch_seqs / n_lanes;
        let lanes =
            (0..n_lanes).map(|i| Lane::new(layout, shape, share(i)..share(i + 1), true)).collect();
        let shared = Shared::new(layout, shape, n_lanes, threads, true);
        Lanes { lanes, shared, pool: Pool::new(threads) }
    }

    /// Has the lanes train on `candidates`, for a layout [`Layout::for_sampling`].
    ///
    /// # Panics
    /// If it is another layout.
    pub fn train_on(&mut self, candidates: Candidates, layout: &Layout) {
        assert!(layout.samples_head(), "Lanes::train_on: the layout is not for sampling");
        for lane in &mut self.lanes {
            let n = candidates.ids().len();
            lane.head = LaneHead::Sampled(SampledRows::new(layout, &lane.buffers.shape, n));
        }
        self.shared.as_mut().expect("lanes share the tables' gradients").candidates =
            Some(candidates);
    }

    /// A lane for each of `threads` threads, without gradients: for [`Lanes::evaluate`] only.
    pub fn for_evaluation(layout: &Layout, shape: &MicroShape, threads: usize) -> Lanes {
        let n_lanes = threads.max(1);
        let lanes = (0..n_lanes).map(|_| Lane::new(layout, shape, 0..0, false)).collect();
        let shared = Shared::new(layout, shape, n_lanes, threads, false);
        Lanes { lanes, shared, pool: Pool::new(threads) }
    }

    /// Finds out which rows of the tables the batch of a step uses, if lanes share any; `ngrams` finds
    /// those of n-grams, if the model has any.
    pub fn find_touched(
        &mut self,
        source: &dyn SequenceSource,
        step: u64,
        ngrams: Option<&Ngrams>,
    ) {
        if let Some(shared) = &mut self.shared {
            shared.find_touched(&mut self.lanes, source, step, ngrams);
        }
    }

    /// What [`Lanes::find_touched`] found.
    pub fn touched(&self) -> Option<&Touched> {
        self.shared.as_ref().map(|shared| &shared.touched)
    }

    /// Forward and backward over the batch of `plan`'s step; gradients of the sum of losses are left
    /// in the lanes, and those of tables are added into the one that they share.
    pub fn accumulate(&mut self, model: Model, source: &dyn SequenceSource, plan: &StepPlan) {
        let Lanes { lanes, shared, pool } = self;
        match shared {
            None => pool.for_each(lanes, |_, lane| lane.accumulate(model, source, plan)),
            Some(shared) => shared.accumulate(model, lanes, source, plan, pool),
        }
    }

    /// Runs `f` on every lane, on any thread.
    pub fn for_each(&mut self, f: impl Fn(&mut Lane) + Sync) {
        self.pool.for_each(&mut self.lanes, |_, lane| f(lane));
    }

    /// The batch's loss: lanes' sums in order.
    pub fn loss_sum(&self) -> LossSum {
        let mut sum = LossSum::default();
        self.lanes.iter().for_each(|lane| sum.add(lane.loss));
        sum
    }

    /// Loss over sequences `0..n` of `source`, without gradients.
    ///
    /// Each sequence has a sum of its own and these are added up in order: the bits depend neither
    /// on how many lanes and threads there are, nor on how sequences are put together.
    pub fn evaluate(&mut self, model: Model, source: &dyn SequenceSource, n: usize) -> LossSum {
        let Lanes { lanes, shared, pool } = self;
        let mut sums = vec![LossSum::default(); n];
        if let Some(members) = shared.as_mut().and_then(Shared::members) {
            rounds::evaluate(members, model, lanes, source, &mut sums, pool);
        } else {
            let n_lanes = lanes.len();
            let share = |i: usize| i * n / n_lanes..(i + 1) * n / n_lanes;
            let shares: Vec<_> = (0..n_lanes).map(share).collect();
            pool.for_each_range_with(lanes, [&mut sums], &shares, |i, lane, [sums]| {
                lane.evaluate(model, source, shares[i].start, sums);
            });
        }
        let mut total = LossSum::default();
        sums.into_iter().for_each(|sum| total.add(sum));
        total
    }

    /// The gradient of the parameters in `span`: after `AdamW::sum_over_lanes`, the sum over all
    /// lanes.
    pub fn summed_grad(&self, span: Span) -> &[f32] {
        let own = &self.lanes[0].buffers.grads;
        match &self.shared {
            Some(shared) if span.start >= own.len() => {
                &shared.grads[span.start - own.len()..span.end - own.len()]
            }
            _ => span.of(own),
        }
    }

    /// The lanes, the gradients that they share, and the threads.
    pub(super) fn parts(&mut self) -> (&mut [Lane], &mut [f32], &mut Pool) {
        let shared = self.shared.as_mut().map_or(&mut [][..], |shared| &mut shared.grads);
        (&mut self.lanes, shared, &mut self.pool)
    }

    /// What the batch uses of the tables that lanes share, their gradient, and the threads.
    pub(super) fn tables(&mut self) -> Option<(&Touched, &mut [f32], &mut Pool)> {
        let shared = self.shared.as_mut()?;
        Some((&shared.touched, &mut shared.grads[..], &mut self.pool))
    }

    /// The threads.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Name and bytes of the lanes' allocations, all lanes together.
    pub fn plan(&self) -> Vec<(&'static str, usize)> {
        let (n_lanes, lane) = (self.lanes.len(), &self.lanes[0]);
        let one = lane.buffers.plan().into_iter().chain([("output layer", lane.head.bytes())]);
        let shared = self.shared.iter().flat_map(Shared::plan);
        let all = one.map(|(name, bytes)| (name, bytes * n_lanes)).chain(shared);
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }
}
