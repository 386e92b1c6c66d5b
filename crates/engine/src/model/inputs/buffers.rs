//! Input lookups of a lane's micro-batch: the table rows that its input vectors are made of.

use super::distinct::Distinct;
use super::{InputLayer, Lookups};
use crate::model::config::ModelConfig;
use kernels::AlignedVec;

/// Buffers of a lane for its input vectors.
#[derive(Debug)]
pub struct InputBuffers {
    seq_len: usize,
    n_tables: usize,
    /// (N) input at each position.
    ids: AlignedVec<u32>,
    /// (N, K) rows of the n-grams that end at each position.
    ngrams: AlignedVec<u32>,
    /// Distinct inputs, if they are computed once each, which requires vectors that depend on the
    /// input alone.
    distinct: Option<Distinct>,
}

impl InputBuffers {
    /// Buffers for micro-batches of up to `n_rows` positions in sequences of `seq_len`;
    /// `n_distinct` is the number of possible inputs if distinct inputs are computed once each.
    pub fn new(
        config: &ModelConfig,
        n_rows: usize,
        seq_len: usize,
        n_distinct: Option<usize>,
    ) -> InputBuffers {
        let n_tables = config.ngrams.len();
        InputBuffers {
            seq_len,
            n_tables,
            ids: AlignedVec::zeroed(n_rows),
            ngrams: AlignedVec::zeroed(n_rows * n_tables),
            distinct: n_distinct.filter(|_| n_tables == 0).map(|n| Distinct::new(n_rows, n)),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let distinct = self.distinct.as_ref().map_or(0, Distinct::bytes);
        (self.ids.size() + self.ngrams.size()) * size_of::<u32>() + distinct
    }

    /// Finds the lookups of a micro-batch.
    pub fn find(&mut self, layer: &InputLayer, tokens: &[u32]) {
        self.find_ngrams(layer, tokens);
        let ids = &mut self.ids[..tokens.len()];
        match &layer.composed {
            None => ids.copy_from_slice(tokens),
            Some((_, composer)) => {
                let t = self.seq_len;
                for (tokens, ids) in tokens.chunks_exact(t).zip(ids.chunks_exact_mut(t)) {
                    composer.inputs(tokens, ids);
                }
            }
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.find(ids);
        }
    }

    /// Finds the n-gram rows (N, K) of a micro-batch; empty in a model without n-grams.
    pub fn find_ngrams(&mut self, layer: &InputLayer, tokens: &[u32]) -> &[u32] {
        let (t, k) = (self.seq_len, self.n_tables);
        let rows = &mut self.ngrams[..tokens.len() * k];
        if let Some((_, ngrams)) = &layer.ngrams {
            for (tokens, rows) in tokens.chunks_exact(t).zip(rows.chunks_exact_mut(t * k)) {
                ngrams.rows(tokens, rows);
            }
        }
        rows
    }

    /// The lookups of the first `n_rows` positions.
    pub fn lookups(&self, n_rows: usize) -> Lookups<'_> {
        Lookups { ids: &self.ids[..n_rows], ngrams: &self.ngrams[..n_rows * self.n_tables] }
    }

    /// Distinct inputs of the micro-batch, if they are computed once each.
    pub fn distinct(&self) -> Option<&Distinct> {
        self.distinct.as_ref()
    }
}
