//! Error of a model's numbers: which cannot be, and what would do.

/// A field of a [`ModelConfig`] that cannot be, and what would do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {found}: {expected}")]
pub struct ConfigError {
    /// Name of the field.
    pub field: &'static str,
    /// Its value.
    pub found: usize,
    /// What it must be.
    pub expected: String,
}

impl ConfigError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        "shape-refused"
    }
}
