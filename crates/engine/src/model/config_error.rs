//! Error of a model configuration: the invalid field, its value and the valid values.

/// An invalid field of a [`ModelConfig`](super::ModelConfig).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {found}: {expected}")]
pub struct ConfigError {
    /// Name of the field.
    pub field: &'static str,
    /// Its value.
    pub found: String,
    /// Description of valid values.
    pub expected: String,
}

impl ConfigError {
    /// Error of the field `field` with the value `found`.
    pub(crate) fn new(
        field: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> ConfigError {
        ConfigError { field, found: found.to_string(), expected: expected.into() }
    }

    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        "shape-refused"
    }
}
