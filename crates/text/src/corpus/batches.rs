//! Batches of training windows: a pure function of (seed, step, index in the batch).
//!
//! The tokens are cut into windows of `seq_len` tokens plus the one that follows, the target of the
//! last. Each epoch shifts the cuts by a random offset and visits its windows in a random order,
//! each exactly once. A batch may cross the end of an epoch. There is no state: a resumed run asks
//! for the next step.

use super::Error;
use super::permutation::Permutation;
use super::token_source::TokenSource;
use kernels::cross_entropy::IGNORE;
use kernels::rng::{Purpose, Rng};

/// The order of training windows over one token source.
#[derive(Clone, Debug)]
pub struct Batches {
    seq_len: usize,
    batch_sequences: usize,
    n_windows: usize,
    offset_max: usize,
    seed: u64,
}

impl Batches {
    /// Windows of `seq_len` tokens over `n_tokens`, `batch_sequences` of them in each step.
    ///
    /// There is one window fewer than would fit, so that every epoch can shift the cuts by up to
    /// `seq_len - 1` tokens and all epochs have the same number of windows.
    ///
    /// # Errors
    /// [`Error::TooFewTokens`] if one window and its last target do not fit.
    ///
    /// # Panics
    /// If `seq_len` or `batch_sequences` is 0.
    pub fn new(
        n_tokens: usize,
        seq_len: usize,
        batch_sequences: usize,
        seed: u64,
    ) -> Result<Batches, Error> {
        assert!(seq_len > 0, "Batches: seq_len is 0");
        assert!(batch_sequences > 0, "Batches: batch_sequences is 0");
        if n_tokens <= seq_len {
            return Err(Error::TooFewTokens { found: n_tokens, seq_len });
        }
        let n_windows = (n_tokens / seq_len - 1).max(1);
        let offset_max = (n_tokens - 1 - n_windows * seq_len).min(seq_len - 1);
        Ok(Batches { seq_len, batch_sequences, n_windows, offset_max, seed })
    }

    /// Number of windows in each epoch.
    pub fn n_windows(&self) -> usize {
        self.n_windows
    }

    /// Number of sequences in each step.
    pub fn batch_sequences(&self) -> usize {
        self.batch_sequences
    }

    /// The epoch of sequence `i` of `step`, and its index within the epoch.
    fn epoch_index(&self, step: u64, i: usize) -> (u64, u64) {
        assert!(i < self.batch_sequences, "Batches: sequence {i} of {}", self.batch_sequences);
        let sequence = u128::from(step) * self.batch_sequences as u128 + i as u128;
        let n_windows = self.n_windows as u128;
        ((sequence / n_windows) as u64, (sequence % n_windows) as u64)
    }

    /// The epoch, from 0, that the first sequence of `step` belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        self.epoch_index(step, 0).0
    }

    /// Epoch and window number (`0..n_windows`) of sequence `i` of `step`. A run logs these to show
    /// that it saw each window once.
    ///
    /// # Panics
    /// If `i` is not below `batch_sequences`.
    pub fn window_id(&self, step: u64, i: usize) -> (u64, u64) {
        let (epoch, index) = self.epoch_index(step, i);
        let order = Permutation::new(self.n_windows as u64, &self.epoch_rng(epoch));
        (epoch, order.at(index))
    }

    /// Position of the first token of sequence `i` of `step`.
    ///
    /// # Panics
    /// If `i` is not below `batch_sequences`.
    pub fn window(&self, step: u64, i: usize) -> usize {
        let (epoch, window) = self.window_id(step, i);
        // Words 0..8 choose the order.
        let offset = self.epoch_rng(epoch).below_at(8, self.offset_max as u64 + 1);
        offset as usize + window as usize * self.seq_len
    }

    /// Writes sequence `i` of `step`: `tokens` (T) and `targets` (T), which are one position ahead
    /// and [`IGNORE`] at beginnings.
    ///
    /// # Panics
    /// If a slice is not `seq_len` long, `i` is not below `batch_sequences`, or `source` has
    /// fewer tokens than given to [`Batches::new`].
    pub fn fill<S: TokenSource + ?Sized>(
        &self,
        source: &S,
        step: u64,
        i: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) {
        assert_eq!(tokens.len(), self.seq_len, "fill: tokens is not (T)");
        assert_eq!(targets.len(), self.seq_len, "fill: targets is not (T)");
        let start = self.window(step, i);
        source.read(start, tokens);
        source.read(start + 1, targets);
        source.hide_beginnings(start + 1, targets);
    }

    fn epoch_rng(&self, epoch: u64) -> Rng {
        Rng::new(self.seed, Purpose::DataOrder, epoch)
    }
}

/// Consecutive windows over held-out tokens: every token but the first is a target exactly once.
#[derive(Clone, Debug)]
pub struct EvalWindows {
    n_tokens: usize,
    seq_len: usize,
}

impl EvalWindows {
    /// Windows of `seq_len` tokens over `n_tokens`.
    ///
    /// # Errors
    /// [`Error::TooFewTokens`] if there are fewer than two tokens.
    ///
    /// # Panics
    /// If `seq_len` is 0.
    pub fn new(n_tokens: usize, seq_len: usize) -> Result<EvalWindows, Error> {
        assert!(seq_len > 0, "EvalWindows: seq_len is 0");
        if n_tokens < 2 {
            return Err(Error::TooFewTokens { found: n_tokens, seq_len: 1 });
        }
        Ok(EvalWindows { n_tokens, seq_len })
    }

    /// Number of windows; the last may be partly filled.
    pub fn n_windows(&self) -> usize {
        (self.n_tokens - 1).div_ceil(self.seq_len)
    }

    /// Writes window `w` and returns its number of tokens that are followed by another. The last
    /// window is padded with token 0 and target [`IGNORE`], which beginnings have, too.
    ///
    /// # Panics
    /// If `w` is not below `n_windows`, or a slice is not `seq_len` long.
    pub fn fill<S: TokenSource + ?Sized>(
        &self,
        source: &S,
        w: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> usize {
        assert!(w < self.n_windows(), "fill: window {w} of {}", self.n_windows());
        assert_eq!(tokens.len(), self.seq_len, "fill: tokens is not (T)");
        assert_eq!(targets.len(), self.seq_len, "fill: targets is not (T)");
        let start = w * self.seq_len;
        let n_targets = self.seq_len.min(self.n_tokens - 1 - start);
        source.read(start, &mut tokens[..n_targets]);
        source.read(start + 1, &mut targets[..n_targets]);
        source.hide_beginnings(start + 1, &mut targets[..n_targets]);
        tokens[n_targets..].fill(0);
        targets[n_targets..].fill(IGNORE);
        n_targets
    }

    /// At most `n` window numbers, evenly spaced: a fixed sample for frequent evaluation.
    pub fn evenly_spaced(&self, n: usize) -> impl ExactSizeIterator<Item = usize> + Clone + use<> {
        let all = self.n_windows();
        let n = n.min(all);
        (0..n).map(move |k| (k as u128 * all as u128 / n as u128) as usize)
    }
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
