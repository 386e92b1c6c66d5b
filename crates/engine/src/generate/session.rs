//! Session: one text in progress with a workspace of its own.

use super::workspace::Workspace;
use crate::head::Distribution;
use crate::memory::{self, MemoryError};
use crate::model::{ContextFull, Layout, Model, NewTokens, Sequence};
use kernels::aligned::plan;
use kernels::{Pool, Precision};

/// Text in progress.
///
/// The model may be in training: a session reads packed weights wherever they are. For several
/// texts at once, use [`Sequence`]s that share a [`Workspace`].
#[derive(Debug)]
pub struct Session {
    sequence: Sequence,
    workspace: Workspace,
}

impl Session {
    /// Empty text with capacity for `max_len` tokens, computed by up to `threads` threads.
    pub fn new(layout: &Layout, precision: Precision, max_len: usize, threads: usize) -> Session {
        let sequence = Sequence::new(layout, precision, max_len);
        let workspace = Workspace::new(layout, precision, sequence.max_len(), threads);
        Session { sequence, workspace }
    }

    /// As [`Session::new`], if there is memory for it.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn within_memory(
        layout: &Layout,
        precision: Precision,
        max_len: usize,
        threads: usize,
    ) -> Result<Session, MemoryError> {
        let make = || Session::new(layout, precision, max_len, threads);
        let (cache, workspace) = plan(make).bytes();
        memory::check(cache.saturating_add(workspace), 0)?;
        Ok(make())
    }

    /// Tokens processed so far.
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// Capacity in tokens.
    pub fn max_len(&self) -> usize {
        self.sequence.max_len()
    }

    /// Drops all but the first `len` tokens.
    pub fn rewind(&mut self, len: usize) {
        self.sequence.rewind(len);
    }

    /// Bytes of the cache and of the workspace.
    pub fn bytes(&self) -> (usize, usize) {
        (self.sequence.bytes(), self.workspace.bytes())
    }

    /// Appends `tokens` and returns the logits (V) of the next token; unless the output layer is
    /// the full softmax, these are log-probabilities.
    ///
    /// # Errors
    /// [`ContextFull`]; the text is then unchanged.
    ///
    /// # Panics
    /// If `tokens` is empty or one is not below the vocabulary's size.
    pub fn feed<'a>(
        &'a mut self,
        model: Model<'a>,
        pool: &'a mut Pool,
        tokens: &[u32],
    ) -> Result<&'a [f32], ContextFull> {
        Ok(self.feed_next(model, pool, tokens)?.into_logits())
    }

    /// As [`Session::feed`], but returns a distribution that is computed on demand.
    ///
    /// # Errors
    /// [`ContextFull`]; the text is then unchanged.
    ///
    /// # Panics
    /// As [`Session::feed`].
    pub fn feed_next<'a>(
        &'a mut self,
        model: Model<'a>,
        pool: &'a mut Pool,
        tokens: &[u32],
    ) -> Result<Distribution<'a>, ContextFull> {
        let mut batch = [NewTokens { sequence: &mut self.sequence, tokens }];
        Ok(self.workspace.step(model, pool, &mut batch)?.into_distribution(0))
    }
}
