//! Class methods and their options.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Method of building word classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassMethod {
    /// Exchange clustering: maximises the likelihood of the text under the class bigram model.
    #[default]
    Exchange,
    /// K-means on word vectors from left and right neighbours.
    Kmeans,
    /// Bins of words of similar frequency; a control.
    Frequency,
    /// Random classes of equal size; a control.
    Random,
}

impl ClassMethod {
    /// All methods.
    pub const ALL: [ClassMethod; 4] =
        [ClassMethod::Exchange, ClassMethod::Kmeans, ClassMethod::Frequency, ClassMethod::Random];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            ClassMethod::Exchange => "exchange",
            ClassMethod::Kmeans => "kmeans",
            ClassMethod::Frequency => "frequency",
            ClassMethod::Random => "random",
        }
    }
}

impl fmt::Display for ClassMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options of building classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassOptions {
    /// The method.
    pub method: ClassMethod,
    /// Number of classes for the tokens that occur; by default `default_n_classes`. Tokens that do
    /// not occur get further classes.
    pub n_classes: Option<usize>,
    /// Largest number of tokens of a class; by default four times the mean.
    pub size_cap: Option<usize>,
    /// Seed of random choices.
    pub seed: u64,
}

impl ClassOptions {
    /// Options with the default cap.
    pub fn new(
        method: ClassMethod,
        n_classes: impl Into<Option<usize>>,
        seed: u64,
    ) -> ClassOptions {
        ClassOptions { method, n_classes: n_classes.into(), size_cap: None, seed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_and_options() {
        for method in ClassMethod::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.to_string());
        }
    }
}
