//! Sequence: one text in progress, as a key/value cache of every block and an input history.

use super::config::ModelConfig;
use super::inputs::{InputHistory, InputLayer, TextInputs};
use super::layout::Layout;
use kernels::attention::CacheShape;
use kernels::{AlignedVec, Precision};

/// Usual largest number of tokens of one pass; longer prompts are split.
pub(crate) const CHUNK: usize = 512;

/// Error: the text would exceed the model's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has {needed} tokens, the model's context holds {max_len}")]
pub struct ContextFull {
    /// Tokens that the text would have.
    pub needed: usize,
    /// Tokens that fit.
    pub max_len: usize,
}

/// Text in progress: the state that later tokens need.
///
/// It has no workspace. Any number of sequences share a [`Workspace`](crate::generate::Workspace),
/// which runs their new tokens together.
#[derive(Debug)]
pub struct Sequence {
    /// (L, K, words per key/value head) keys and values.
    cache: AlignedVec<u32>,
    shape: CacheShape,
    /// Tokens in the cache.
    len: usize,
    history: InputHistory,
}

/// Cache of one block of a sequence.
pub(super) struct BlockCache<'a> {
    /// (K, words per key/value head)
    pub words: &'a mut [u32],
    pub shape: CacheShape,
    /// Position of the first new token.
    pub start: usize,
}

impl Sequence {
    /// Empty text with capacity for `max_len` tokens, but at most the model's context.
    pub fn new(layout: &Layout, precision: Precision, max_len: usize) -> Sequence {
        let m = &layout.config;
        let max_len = max_len.min(m.seq_len).max(1);
        let shape = Sequence::cache_shape(m, precision, max_len);
        Sequence {
            cache: AlignedVec::zeroed(m.n_layers * shape.cache_words()),
            len: 0,
            history: InputHistory::new(layout, max_len, CHUNK.min(max_len)),
            shape,
        }
    }

    /// Shape of a block's cache for `max_len` tokens.
    pub(super) fn cache_shape(
        config: &ModelConfig,
        precision: Precision,
        max_len: usize,
    ) -> CacheShape {
        let ModelConfig { n_heads, n_kv_heads, head_dim, .. } = *config;
        CacheShape { n_heads, n_kv_heads, head_dim, max_len, precision }
    }

    /// Tokens processed so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Capacity in tokens.
    pub fn max_len(&self) -> usize {
        self.shape.max_len
    }

    /// Drops all but the first `len` tokens.
    pub fn rewind(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes of the cache.
    pub fn bytes(&self) -> usize {
        self.cache.size() * size_of::<u32>()
    }

    /// Checks that `n` more tokens fit.
    pub(super) fn check_capacity(&self, n: usize) -> Result<(), ContextFull> {
        let (needed, max_len) = (self.len + n, self.max_len());
        if needed > max_len { Err(ContextFull { needed, max_len }) } else { Ok(()) }
    }

    /// Input vectors of `tokens`, which come next.
    pub(super) fn inputs<'a>(
        &'a mut self,
        layer: &'a InputLayer,
        tokens: &[u32],
    ) -> TextInputs<'a> {
        self.history.take(layer, self.len, tokens)
    }

    /// Cache of block `l`.
    pub(super) fn block(&mut self, l: usize) -> BlockCache<'_> {
        let words = self.shape.cache_words();
        let words = &mut self.cache[l * words..(l + 1) * words];
        BlockCache { words, shape: self.shape, start: self.len }
    }

    /// Records that every block's cache holds `n` more tokens.
    pub(super) fn advance(&mut self, n: usize) {
        self.len += n;
    }
}
