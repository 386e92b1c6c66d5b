//! Token sources: random access to token ids, from a slice in memory or a token file.

/// A fixed sequence of token ids.
pub trait TokenSource {
    /// Number of tokens.
    fn len(&self) -> usize;

    /// Fills `out` with the tokens from position `start` on.
    ///
    /// # Panics
    /// If fewer than `out.len()` tokens follow `start`.
    fn read(&self, start: usize, out: &mut [u32]);

    /// Whether there are no tokens.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl TokenSource for [u32] {
    fn len(&self) -> usize {
        <[u32]>::len(self)
    }

    fn read(&self, start: usize, out: &mut [u32]) {
        out.copy_from_slice(&self[start..start + out.len()]);
    }
}
