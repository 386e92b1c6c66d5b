//! Data-parallel lanes: each runs its share of the batch with gradients of its own.
//!
//! The number of lanes is part of a run's configuration, never derived from the machine later: lane
//! i always gets the same sequences, and the lanes' gradients are summed in order. The number of
//! threads only decides which thread runs which lane.
//!
//! Lanes go through a step together, micro-batch by micro-batch and pass by pass, because the
//! output layer may work on the rows of all lanes at once. Some layers have tables of which a batch
//! uses only some rows; all lanes share one gradient of such a table and add into it in lane order.

use super::optim::StepGradients;
use crate::head::{Around, HeadLoss, LossSpec, LossSum};
use crate::model::{
    ActiveRows, Gradients, InputLayer, Lane, Layout, MicroShape, Model, Span, add_input_gradient,
    forward,
};
use kernels::{AlignedVec, Pool, Stop};
use std::ops::Range;

/// Source of batches: a pure function of (step, sequence).
pub trait SequenceSource: Sync {
    /// Writes sequence `index` of step `step`: T tokens and the target of each.
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]);
}

/// Configuration of [`Lanes`].
#[derive(Clone, Debug)]
pub struct LanesSpec<'a> {
    /// The largest micro-batch of a lane.
    pub shape: MicroShape,
    /// Number of lanes.
    pub n_lanes: usize,
    /// Sequences of a batch, split over the lanes.
    pub batch_seqs: usize,
    /// Number of threads that run the lanes.
    pub threads: usize,
    /// Seed of the output layer's random draws.
    pub seed: u64,
    /// (V) occurrences of each token in the text, for an output layer that samples by frequency.
    pub token_counts: &'a [u64],
}

/// All lanes, the buffers they share, and the threads that run them.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// By lane: its sequences of a batch.
    shares: Vec<Range<usize>>,
    head: Box<dyn HeadLoss>,
    /// By lane: the loss of the step so far.
    losses: Vec<LossSum>,
    /// Gradients of the shared tables, laid out as the parameters from `lane_len` on. Rows that are
    /// not active in a step keep stale values.
    shared_grads: AlignedVec<f32>,
    lane_len: usize,
    pool: Pool,
    stop: Stop,
}

impl Lanes {
    /// Lanes for training: `spec.n_lanes`, but no more than sequences in a batch, and at least one.
    pub fn new(layout: &Layout, spec: &LanesSpec) -> Lanes {
        let n_lanes = spec.n_lanes.min(spec.batch_seqs).max(1);
        let share = |i: usize| i * spec.batch_seqs / n_lanes;
        let shares = (0..n_lanes).map(|i| share(i)..share(i + 1)).collect();
        let head = LossSpec {
            shape: &spec.shape,
            n_lanes,
            threads: spec.threads,
            training: Some((spec.seed, spec.token_counts)),
        };
        Lanes::build(layout, head, shares)
    }

    /// One lane per thread, without gradients: for [`Lanes::evaluate`] only.
    pub fn for_evaluation(layout: &Layout, shape: &MicroShape, threads: usize) -> Lanes {
        let n_lanes = threads.max(1);
        let head = LossSpec { shape, n_lanes, threads, training: None };
        Lanes::build(layout, head, vec![0..0; n_lanes])
    }

    fn build(layout: &Layout, spec: LossSpec, shares: Vec<Range<usize>>) -> Lanes {
        let (n, training) = (shares.len(), spec.training.is_some());
        let n_shared = if training { layout.len - layout.lane_len } else { 0 };
        Lanes {
            lanes: (0..n).map(|_| Lane::new(layout, spec.shape.clone(), training)).collect(),
            shares,
            head: layout.head.loss(&spec),
            losses: vec![LossSum::default(); n],
            shared_grads: AlignedVec::zeroed(n_shared),
            lane_len: layout.lane_len,
            pool: Pool::new(spec.threads),
            stop: Stop::default(),
        }
    }

    /// Ends passes early from now on where `stop` is requested.
    pub fn stop_at(&mut self, stop: &Stop) {
        self.lanes.iter_mut().for_each(|lane| lane.stop = stop.clone());
        self.stop = stop.clone();
    }

    /// Whether a stop is requested; what the last passes computed must then not be used.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    /// Number of micro-batches of a step: that of the lane with the most sequences.
    pub fn n_micro_batches(&self) -> usize {
        let n_seqs = self.lanes[0].shape().n_seqs;
        self.shares.iter().map(|share| share.len().div_ceil(n_seqs)).max().unwrap_or(0)
    }

    /// Clears the accumulators of a step and prepares the output layer.
    pub fn begin_step(&mut self, model: Model, step: u64) {
        self.lanes.iter_mut().for_each(Lane::begin_step);
        self.losses.fill(LossSum::default());
        self.head.begin_step(model.weights(), step);
    }

    /// Runs micro-batch `number` of a step on every lane: reads it, then runs `forward`, the output
    /// layer's loss and gradient, and `backward`. A lane without sequences left gets no rows and
    /// runs no passes.
    ///
    /// Each pass is given the lane and the first sequence of its micro-batch. Gradients of shared
    /// tables are added in lane order.
    pub fn micro_batch(
        &mut self,
        model: Model,
        number: usize,
        read: impl Fn(&mut Lane, Range<usize>) + Sync,
        forward: impl Fn(&mut Lane, usize) + Sync,
        backward: impl Fn(&mut Lane, usize) + Sync,
    ) {
        if self.is_stopped() {
            return; // the sums are incomplete from here on; the step is refused
        }
        let Lanes { lanes, shares, head, losses, shared_grads, lane_len, pool, .. } = self;
        let first = |i: usize, lane: &Lane| {
            (shares[i].start + number * lane.shape().n_seqs).min(shares[i].end)
        };
        let around = Around {
            forward: &|i, lane| {
                let first = first(i, lane);
                read(lane, first..shares[i].end);
                if lane.n_rows() > 0 {
                    forward(lane, first);
                }
            },
            backward: &|i, lane| {
                if lane.n_rows() > 0 {
                    backward(lane, first(i, lane));
                }
            },
        };
        let mut shared = Gradients { start: *lane_len, values: shared_grads };
        let weights = model.weights();
        head.loss_and_gradient(weights, lanes, shared.reborrow(), number == 0, around, pool);
        for (i, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.n_rows() > 0) {
            losses[i].add(LossSum::of(&head.losses(i)[..lane.n_rows()], lane.targets()));
            if model.layout.shares_tables() {
                add_input_gradient(model, lane, &mut shared);
                head.add_shared_gradient(i, lane, shared.reborrow());
            }
        }
    }

    /// Adds the gradients of shared tables that the output layer kept until the last micro-batch.
    pub fn end_step(&mut self) {
        let Lanes { head, shared_grads, lane_len, .. } = self;
        head.end_step(Gradients { start: *lane_len, values: shared_grads });
    }

    /// Finds the rows of the shared tables that the batch of a step uses.
    pub(super) fn find_active(
        &mut self,
        active: &mut ActiveRows,
        layout: &Layout,
        inputs: &InputLayer,
        source: &dyn SequenceSource,
        step: u64,
    ) {
        active.clear();
        for (lane, share) in self.lanes.iter_mut().zip(&self.shares) {
            for first in share.clone().step_by(lane.shape().n_seqs) {
                if self.stop.is_requested() {
                    return;
                }
                read_sequences(lane, source, step, first..share.end);
                active.note_tokens(lane.tokens(), lane.targets());
                if let Some(ngrams) = layout.inputs.ngrams {
                    active.note_each(ngrams, lane.find_ngrams(inputs));
                }
            }
        }
        self.head.find_active(active);
    }

    /// Loss over sequences `0..n` of `source`, without gradients.
    ///
    /// Each sequence has its own sum, and these are added in order, so the bits depend neither on
    /// the number of lanes and threads nor on how sequences are grouped. Ends early if a stop is
    /// requested.
    pub fn evaluate(&mut self, model: Model, source: &dyn SequenceSource, n: usize) -> LossSum {
        let Lanes { lanes, head, pool, stop, .. } = self;
        let (n_seqs, t) = (lanes[0].shape().n_seqs, lanes[0].shape().seq_len);
        let mut total = LossSum::default();
        for first in (0..n).step_by(n_seqs * lanes.len()) {
            if stop.is_requested() {
                break;
            }
            let forward = |i: usize, lane: &mut Lane| {
                read_sequences(lane, source, 0, (first + i * n_seqs).min(n)..n);
                if lane.n_rows() > 0 {
                    forward(model, None, lane);
                }
            };
            head.loss(model.weights(), lanes, &forward, pool);
            for (i, lane) in lanes.iter().enumerate() {
                let rows = head.losses(i).chunks_exact(t).zip(lane.targets().chunks_exact(t));
                rows.for_each(|(losses, targets)| total.add(LossSum::of(losses, targets)));
            }
        }
        total
    }

    /// Loss of the batch: the lanes' sums, added in order.
    pub fn loss_sum(&self) -> LossSum {
        let mut sum = LossSum::default();
        self.losses.iter().for_each(|lane| sum.add(*lane));
        sum
    }

    /// Replaces the loss of the batch, in nats over all its tokens: for tests.
    #[doc(hidden)]
    pub fn plant_loss(&mut self, nats: f64) {
        self.losses.iter_mut().for_each(|loss| loss.nats = 0.0);
        self.losses[0].nats = nats;
    }

    /// Gradients of the step, and the threads.
    pub fn gradients(&mut self) -> (StepGradients<'_>, &mut Pool) {
        let Lanes { lanes, shared_grads, pool, .. } = self;
        (StepGradients { lanes, shared: shared_grads }, pool)
    }

    /// Gradient of the parameters in `span`, summed over all lanes; valid after the optimiser has
    /// summed them.
    pub fn summed_grad(&self, span: Span) -> &[f32] {
        match span.start.checked_sub(self.lane_len) {
            Some(start) => &self.shared_grads[start..start + span.len()],
            None => span.of(&self.lanes[0].grads),
        }
    }

    /// The output layer's loss, and the threads.
    pub(super) fn head(&mut self) -> (&dyn HeadLoss, &mut Pool) {
        (&*self.head, &mut self.pool)
    }

    /// The threads.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Name and bytes of the allocations, all lanes together.
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let n_lanes = self.lanes.len();
        let of_lanes = self.lanes[0].memory().map(|(name, bytes)| (name, bytes * n_lanes));
        let shared = ("gradients of tables", self.shared_grads.size() * size_of::<f32>());
        let all = of_lanes.into_iter().chain(self.head.memory()).chain([shared]);
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// Reads the first of `sequences` into a lane, as many as its micro-batch holds.
pub(crate) fn read_sequences(
    lane: &mut Lane,
    source: &dyn SequenceSource,
    step: u64,
    sequences: Range<usize>,
) {
    let (t, n_seqs) = (lane.shape().seq_len, lane.shape().n_seqs.min(sequences.len()));
    let (tokens, targets) = lane.begin_micro_batch(n_seqs);
    let rows = tokens.chunks_exact_mut(t).zip(targets.chunks_exact_mut(t));
    for (index, (tokens, targets)) in sequences.zip(rows) {
        source.fill(step, index, tokens, targets);
    }
}
