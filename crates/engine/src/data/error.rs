//! What can be wrong with the text and the token files that a user gives.

/// An error about data; each says what was found, what was expected, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not enough tokens for one window and its last target.
    #[error(
        "the text has {found} tokens, and one training window needs {}; \
         give more text or lower seq_len (now {seq_len})",
        seq_len + 1
    )]
    TooFewTokens {
        /// Tokens that there are.
        found: usize,
        /// Tokens of a window.
        seq_len: usize,
    },
}
