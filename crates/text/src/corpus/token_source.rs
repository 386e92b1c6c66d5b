//! Token sources: random access to token ids, from a slice in memory or a token file.

use kernels::cross_entropy::IGNORE;

/// A fixed sequence of token ids.
pub trait TokenSource {
    /// Number of tokens.
    fn len(&self) -> usize;

    /// Fills `out` with the tokens from position `start` on.
    ///
    /// # Panics
    /// If fewer than `out.len()` tokens follow `start`.
    fn read(&self, start: usize, out: &mut [u32]);

    /// Replaces those of `targets`, the tokens from position `start` on, that only mark where a
    /// text begins by [`IGNORE`]: text is predicted after them, but they are not text.
    fn hide_beginnings(&self, _start: usize, _targets: &mut [u32]) {}

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

/// Replaces the targets at `positions`, which ascend, by [`IGNORE`]; the first target is at position
/// `start`.
pub(crate) fn hide(positions: &[usize], start: usize, targets: &mut [u32]) {
    let first = positions.partition_point(|position| *position < start);
    for position in &positions[first..] {
        match targets.get_mut(*position - start) {
            Some(target) => *target = IGNORE,
            None => return,
        }
    }
}
