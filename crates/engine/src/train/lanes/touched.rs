//! Which rows of the tables a batch uses: known before its first product.

use crate::model::Layout;
use kernels::cross_entropy::IGNORE;
use kernels::row_sums::NO_ROW;
use serde::Serialize;
use std::ops::Range;

/// The rows that a batch uses; as outputs, only under a factored output layer.
#[derive(Debug)]
pub struct Touched {
    /// By token: whether it is in the input.
    inputs: Vec<bool>,
    /// By token: whether it is among the targets.
    targets: Vec<bool>,
    /// By class: whether it has a target.
    classes: Vec<bool>,
    /// By class: its ids.
    ids: Vec<Range<usize>>,
    /// By row of the tables of n-grams: whether an n-gram of the input has it.
    ngrams: Vec<bool>,
}

/// Shares of the rows that a step's batch uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RowsUsed {
    /// As inputs, of all tokens.
    pub inputs: f64,
    /// As outputs: the rows of every class that has a target.
    pub outputs: f64,
    /// Either way, of the rows that there are: twice as many with untied tables.
    pub all: f64,
}

impl Touched {
    /// For the tokens of `layout`; nothing is used yet.
    pub fn new(layout: &Layout) -> Touched {
        let starts: &[u32] = layout.factor.as_ref().map_or(&[], |factor| &factor.starts);
        let ids: Vec<_> =
            starts.windows(2).map(|pair| pair[0] as usize..pair[1] as usize).collect();
        Touched {
            inputs: vec![false; layout.config.vocab_size],
            targets: vec![false; layout.config.vocab_size],
            classes: vec![false; ids.len()],
            ids,
            ngrams: vec![false; layout.config.n_ngram_rows()],
        }
    }

    /// Forgets the batch before.
    pub fn clear(&mut self) {
        self.inputs.fill(false);
        self.targets.fill(false);
        self.ngrams.fill(false);
    }

    /// Adds a part of the batch.
    pub fn add(&mut self, tokens: &[u32], targets: &[u32]) {
        tokens.iter().for_each(|token| self.inputs[*token as usize] = true);
        let targets = targets.iter().filter(|target| **target != IGNORE);
        targets.for_each(|target| self.targets[*target as usize] = true);
    }

    /// Adds rows of n-grams, or [`NO_ROW`].
    pub fn add_ngrams(&mut self, rows: &[u32]) {
        let rows = rows.iter().filter(|row| **row != NO_ROW);
        rows.for_each(|row| self.ngrams[*row as usize] = true);
    }

    /// Finds the classes of the targets, once all parts were added.
    pub fn find_classes(&mut self) {
        for (class, ids) in self.classes.iter_mut().zip(&self.ids) {
            *class = self.targets[ids.clone()].contains(&true);
        }
    }

    /// The tokens in the input, ascending.
    pub fn inputs(&self) -> impl Iterator<Item = usize> {
        places(&self.inputs)
    }

    /// The rows of n-grams in the input, ascending.
    pub fn ngrams(&self) -> impl Iterator<Item = usize> {
        places(&self.ngrams)
    }

    /// By class: whether it has a target.
    pub fn classes(&self) -> &[bool] {
        &self.classes
    }

    /// The ids of each class that has a target, ascending.
    pub fn outputs(&self) -> impl Iterator<Item = Range<usize>> {
        let classes = self.classes.iter().zip(&self.ids);
        classes.filter(|(used, _)| **used).map(|(_, ids)| ids.clone())
    }

    /// What the batch uses of the tables of a model with such embeddings, if it has classes.
    pub fn rows_used(&self, tie_embeddings: bool) -> Option<RowsUsed> {
        let n_used = |ids: Range<usize>| self.inputs[ids].iter().filter(|used| **used).count();
        let (n, n_inputs) = (self.inputs.len(), n_used(0..self.inputs.len()));
        let n_outputs: usize = self.outputs().map(|ids| ids.len()).sum();
        let n_both: usize = self.outputs().map(n_used).sum();
        let share = |n_used: usize, of: usize| n_used as f64 / of as f64;
        let used = RowsUsed {
            inputs: share(n_inputs, n),
            outputs: share(n_outputs, n),
            all: match tie_embeddings {
                true => share(n_inputs + n_outputs - n_both, n),
                false => share(n_inputs + n_outputs, 2 * n),
            },
        };
        (!self.classes.is_empty()).then_some(used)
    }
}

/// Where `used` is true, ascending.
fn places(used: &[bool]) -> impl Iterator<Item = usize> {
    used.iter().enumerate().filter_map(|(i, used)| used.then_some(i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HeadConfig, ModelConfig};
    use text::vocab::ngrams::ngram_heads;

    #[test]
    fn rows_of_inputs_and_of_classes_with_a_target_are_used() {
        let mut config = ModelConfig::new(10, 8, 1, 2);
        config.head = HeadConfig::Factor { class_starts: vec![0, 3, 4, 10] };
        config.ngrams = ngram_heads(12);
        let mut touched = Touched::new(&Layout::new(&config).unwrap());
        for _ in 0..2 {
            touched.clear();
            touched.add(&[1, 7, 7], &[3, IGNORE, 3]);
            touched.add(&[3], &[2]);
            touched.add_ngrams(&[NO_ROW, 12, 9, 12]);
            touched.find_classes();
            assert!(touched.ngrams().eq([9, 12]));
            assert!(touched.inputs().eq([1, 3, 7]));
            assert!(touched.outputs().eq([0..3, 3..4]));
            assert_eq!(touched.classes(), [true, true, false]);
            let used = RowsUsed { inputs: 0.3, outputs: 0.4, all: 0.5 };
            assert_eq!(touched.rows_used(true), Some(used));
            assert_eq!(touched.rows_used(false), Some(RowsUsed { all: 0.35, ..used }));
        }
    }
}
