//! Inputs of the output layer: hidden states that the blocks compute for a text.

use crate::head::FitBatch;
use crate::model::{Lane, MicroShape, Model, forward};
use crate::train::{SequenceSource, read_sequences};
use kernels::Pool;
use std::ops::Range;

/// Runs batches through the blocks, one micro-batch per thread.
#[derive(Debug)]
pub(super) struct Inputs {
    lanes: Vec<Lane>,
}

impl Inputs {
    /// For micro-batches of about `n_rows` tokens, independent of the number of threads.
    pub fn new(model: Model, n_rows: usize, threads: usize) -> Inputs {
        let config = &model.layout.config;
        let n_seqs = (n_rows / config.seq_len).max(1);
        let usual = MicroShape::new(config, config.seq_len, n_seqs, model.packed.precision());
        let shape = MicroShape { n_seqs, ..usual };
        let lane = |_| Lane::new(model.layout, shape.clone(), false);
        Inputs { lanes: (0..threads.max(1)).map(lane).collect() }
    }

    /// Largest number of tokens of a micro-batch.
    pub fn n_most(&self) -> usize {
        self.lanes[0].shape().n_rows()
    }

    /// Passes the sequences `sequences` of `step` to `take`, micro-batch by micro-batch.
    pub fn for_each(
        &mut self,
        model: Model,
        source: &dyn SequenceSource,
        (step, sequences): (u64, Range<usize>),
        pool: &mut Pool,
        mut take: impl FnMut(FitBatch, &mut Pool),
    ) {
        let n_seqs = self.lanes[0].shape().n_seqs;
        for first in sequences.clone().step_by(n_seqs * self.lanes.len()) {
            pool.for_each(&mut self.lanes, |i, lane| {
                let first = first + i * n_seqs;
                read_sequences(lane, source, step, first..sequences.end.max(first));
                if lane.n_rows() > 0 {
                    forward(model, None, lane);
                }
            });
            for lane in self.lanes.iter().filter(|lane| lane.n_rows() > 0) {
                take(FitBatch { rows: lane.output_input(), targets: lane.targets() }, pool);
            }
        }
    }
}
