//! Session: one text in progress with a workspace of its own.

use super::workspace::Workspace;
use crate::head::Distribution;
use crate::model::{ContextFull, Layout, Model, NewTokens, Sequence};
use kernels::{Pool, Precision};

/// A text in progress.
///
/// The model may be one that is being trained: a session reads the packed weights wherever they are.
/// Several texts at once are [`Sequence`]s that share a [`Workspace`].
#[derive(Debug)]
pub struct Session {
    sequence: Sequence,
    workspace: Workspace,
}

impl Session {
    /// An empty text with room for `max_len` tokens, to be fed with up to `threads` threads.
    pub fn new(layout: &Layout, precision: Precision, max_len: usize, threads: usize) -> Session {
        let sequence = Sequence::new(layout, precision, max_len);
        let workspace = Workspace::new(layout, precision, sequence.max_len(), threads);
        Session { sequence, workspace }
    }

    /// Tokens taken in so far.
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// Tokens that fit.
    pub fn max_len(&self) -> usize {
        self.sequence.max_len()
    }

    /// Forgets all but the first `len` tokens.
    pub fn rewind(&mut self, len: usize) {
        self.sequence.rewind(len);
    }

    /// Bytes of the cache and of the workspace.
    pub fn bytes(&self) -> (usize, usize) {
        (self.sequence.bytes(), self.workspace.bytes())
    }

    /// Takes `tokens` in and returns the logits (V) of what follows the last of them; unless the
    /// output layer is the full softmax these are log-probabilities.
    ///
    /// # Errors
    /// [`ContextFull`], with the text as it was.
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

    /// As [`Session::feed`], but what follows is computed as far as it is looked at.
    ///
    /// # Errors
    /// [`ContextFull`], with the text as it was.
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
