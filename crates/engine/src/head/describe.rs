//! Description of an output layer, for the plan of a run and the inspection of a model.

use super::HeadConfig;
use crate::model::ModelConfig;
use text::thousands;
use text::vocab::classes::ClassMethod;

impl ModelConfig {
    /// One line about the model's output layer; for a run also the number of tokens that targets
    /// are compared with, if not all, and the method that found its classes.
    pub fn describe_output(
        &self,
        n_samples: Option<usize>,
        found_by: Option<ClassMethod>,
    ) -> String {
        let v = thousands(self.vocab_size);
        match (&self.head, n_samples) {
            (HeadConfig::Full, None) => {
                let share = 100.0 * self.full_head_share();
                format!("softmax over all {v} tokens, {share:.0} % of the arithmetic")
            }
            (HeadConfig::Full, Some(n)) => format!(
                "softmax over all {v} tokens, trained on {} of them a step: losses of steps are \
                 estimates",
                thousands(n)
            ),
            (HeadConfig::Factor { class_starts }, _) => {
                let n_classes = class_starts.len() - 1;
                let by = found_by.map_or(String::new(), |method| format!(" by {method}"));
                format!(
                    "factored, {} classes{by}: about {:.1} times as fast as a full softmax",
                    thousands(n_classes),
                    self.factored_gain(n_classes)
                )
            }
            (HeadConfig::Adaptive { cutoffs }, _) => format!(
                "adaptive, {} frequent tokens and {} clusters of others",
                thousands(cutoffs.first().map_or(0, |n| *n as usize)),
                cutoffs.len()
            ),
        }
    }
}
