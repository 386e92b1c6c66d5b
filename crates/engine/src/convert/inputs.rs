//! The inputs of the output layer: what the blocks make of text, micro-batch by micro-batch.

use crate::head::softmax;
use crate::model::{LaneBuffers, MicroShape, Model, forward};
use crate::train::SequenceSource;
use kernels::{Pool, Rows};
use std::ops::Range;

/// Runs batches through the blocks, on each thread a micro-batch.
#[derive(Debug)]
pub(super) struct Inputs {
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    buffers: LaneBuffers,
    /// (R) and what follows each.
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// Tokens of the micro-batch at hand.
    n_tok: usize,
}

/// A micro-batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    /// (R, C) inputs of the layer.
    pub rows: Rows<'a>,
    /// (R) what follows each token.
    pub targets: &'a [u32],
}

impl Inputs {
    /// For micro-batches of about `n_rows` tokens, the same for any number of threads.
    pub fn new(model: Model, n_rows: usize, threads: usize) -> Inputs {
        let config = &model.layout.config;
        let n_seqs = (n_rows / config.seq_len).max(1);
        let usual = MicroShape::new(config, config.seq_len, n_seqs, model.packed.precision());
        let shape = MicroShape { n_seqs, ..usual };
        let lane = || Lane {
            tokens: vec![0; shape.n_rows()],
            targets: vec![0; shape.n_rows()],
            n_tok: 0,
            buffers: LaneBuffers::new(model.layout, shape.clone(), false),
        };
        Inputs { lanes: (0..threads.max(1)).map(|_| lane()).collect() }
    }

    /// Tokens of a micro-batch, at most.
    pub fn n_most(&self) -> usize {
        self.lanes[0].tokens.len()
    }

    /// Hands sequences `sequences` of `step` to `take`, a micro-batch after the other.
    pub fn for_each(
        &mut self,
        model: Model,
        source: &dyn SequenceSource,
        (step, sequences): (u64, Range<usize>),
        pool: &mut Pool,
        mut take: impl FnMut(Batch, &mut Pool),
    ) {
        let n_seqs = self.lanes[0].buffers.shape.n_seqs;
        for first in sequences.clone().step_by(n_seqs * self.lanes.len()) {
            pool.for_each(&mut self.lanes, |i, lane| {
                let first = first + i * n_seqs;
                lane.run(model, source, step, first..(first + n_seqs).min(sequences.end));
            });
            for lane in self.lanes.iter().filter(|lane| lane.n_tok > 0) {
                let rows = lane.buffers.head_input(lane.n_tok);
                take(Batch { rows, targets: &lane.targets[..lane.n_tok] }, pool);
            }
        }
    }
}

impl Lane {
    /// Runs some sequences up to the output layer.
    fn run(
        &mut self,
        model: Model,
        source: &dyn SequenceSource,
        step: u64,
        sequences: Range<usize>,
    ) {
        let t = self.buffers.shape.seq_len;
        self.n_tok = sequences.len() * t;
        let rows = self.tokens.chunks_exact_mut(t).zip(self.targets.chunks_exact_mut(t));
        for (i, (tokens, targets)) in sequences.zip(rows) {
            source.fill(step, i, tokens, targets);
        }
        if self.n_tok > 0 {
            forward(model, &self.tokens[..self.n_tok], None, &mut self.buffers);
            softmax::input(model, self.n_tok, &mut self.buffers);
        }
    }
}
