//! Class partition of a vocabulary, and the order of token ids that follows from it.

use super::error::ClassError;
use crate::corpus::permutation::{check_exactly_once, inverse};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::ops::Range;

/// Classes of tokens under new ids, contiguous within each class.
///
/// By default, classes are in order of descending mass (the number of tokens of the training text
/// in them), and tokens of a class in order of descending count. Frequent rows thus come first,
/// within the limits of contiguous classes. `vocab::order` has other orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredClasses")]
pub struct Classes {
    /// (V) the old id of each new id.
    pub order: Vec<u32>,
    /// (classes + 1) class `c` has the new ids `starts[c]..starts[c + 1]`. No class is empty.
    pub starts: Vec<u32>,
}

/// [`Classes`] as read from a file, unchecked.
#[derive(Deserialize)]
struct StoredClasses {
    order: Vec<u32>,
    starts: Vec<u32>,
}

impl TryFrom<StoredClasses> for Classes {
    type Error = ClassError;

    fn try_from(StoredClasses { order, starts }: StoredClasses) -> Result<Classes, ClassError> {
        let classes = Classes { order, starts };
        classes.check()?;
        Ok(classes)
    }
}

impl Classes {
    /// The classes in which token `i` is in class `class_of[i]` and was counted `counts[i]` times.
    /// Numbers of classes need not be dense. Ties go to the lower old id.
    ///
    /// # Panics
    /// If the two differ in length.
    pub fn new(class_of: &[u32], counts: &[u64]) -> Classes {
        assert_eq!(class_of.len(), counts.len(), "Classes::new: argument counts is not (V)");
        let n_given = class_of.iter().max().map_or(0, |c| *c as usize + 1);
        let mut mass = vec![0u64; n_given];
        let mut first = vec![u32::MAX; n_given];
        for (id, (&class, count)) in class_of.iter().zip(counts).enumerate() {
            mass[class as usize] += count;
            first[class as usize] = first[class as usize].min(id as u32);
        }
        let mut ranked: Vec<usize> = (0..n_given).filter(|c| first[*c] != u32::MAX).collect();
        ranked.sort_unstable_by_key(|c| (Reverse(mass[*c]), first[*c]));
        let mut rank = vec![0u32; n_given];
        ranked.iter().enumerate().for_each(|(r, c)| rank[*c] = r as u32);

        let rank_of = |id: u32| rank[class_of[id as usize] as usize];
        let mut order: Vec<u32> = (0..class_of.len() as u32).collect();
        order.sort_unstable_by_key(|&id| (rank_of(id), Reverse(counts[id as usize]), id));
        let is_start = |i: &usize| *i == 0 || rank_of(order[*i]) != rank_of(order[*i - 1]);
        let starts = (0..order.len()).filter(is_start).map(|i| i as u32);
        let starts = starts.chain([order.len() as u32]).collect();
        Classes { order, starts }
    }

    /// Checks that every id of `0..V` occurs once and no class is empty.
    ///
    /// # Errors
    /// [`ClassError::Stored`].
    pub fn check(&self) -> Result<(), ClassError> {
        let wrong = |field, found: String, expected: &str| {
            Err(ClassError::Stored { field, found, expected: expected.into() })
        };
        let n = self.order.len();
        if u32::try_from(n).is_err() {
            return wrong("order", format!("{n} ids"), "fewer than 2^32 ids");
        }
        if let Err(fault) = check_exactly_once(n, self.order.iter().map(|id| u64::from(*id))) {
            return wrong("order", fault.to_string(), "each id once");
        }
        let ends = (self.starts.first().copied(), self.starts.last().copied());
        if ends != (Some(0), Some(n as u32)) {
            return wrong("starts", format!("ends {ends:?}"), &format!("from 0 to {n}"));
        }
        if let Some(pair) = self.starts.windows(2).find(|pair| pair[0] >= pair[1]) {
            return wrong("starts", format!("{} after {}", pair[1], pair[0]), "rising numbers");
        }
        Ok(())
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of tokens in all classes.
    pub fn vocab_size(&self) -> usize {
        self.order.len()
    }

    /// The new ids of class `class`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn members(&self, class: usize) -> Range<usize> {
        self.starts[class] as usize..self.starts[class + 1] as usize
    }

    /// The class of the token with new id `new_id`: a binary search.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn class_of(&self, new_id: u32) -> usize {
        assert!((new_id as usize) < self.order.len(), "Classes::class_of: no token {new_id}");
        self.starts.partition_point(|start| *start <= new_id) - 1
    }

    /// (V) the new id of each old id.
    pub fn new_ids(&self) -> Vec<u32> {
        inverse(&self.order)
    }

    /// Number of tokens of the largest class.
    pub fn largest(&self) -> usize {
        (0..self.n_classes()).map(|c| self.members(c).len()).max().unwrap_or(0)
    }

    /// Mean number of rows of output weights per token: all classes, and the members of its own,
    /// `C + sum over classes of p(c) * |c|`. `counts` is (V) by old ids; if all are zero, tokens
    /// have equal weight.
    ///
    /// # Panics
    /// If `counts` is not (V).
    pub fn expected_rows(&self, counts: &[u64]) -> f64 {
        assert_eq!(counts.len(), self.order.len(), "expected_rows: argument counts is not (V)");
        let any = counts.iter().any(|count| *count > 0);
        let count_of = |new: usize| if any { counts[self.order[new] as usize] } else { 1 };
        let (mut total, mut rows) = (0.0, 0.0);
        for members in (0..self.n_classes()).map(|c| self.members(c)) {
            let mass = members.clone().map(count_of).sum::<u64>() as f64;
            total += mass;
            rows += mass * members.len() as f64;
        }
        self.n_classes() as f64 + if total > 0.0 { rows / total } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Classes {
        // Class 7 holds ids 1, 3, 4 (mass 9), class 2 ids 0, 5 (mass 9), class 9 id 2 (mass 0).
        Classes::new(&[2, 7, 9, 7, 7, 2], &[4, 2, 0, 5, 2, 5])
    }

    #[test]
    fn classes_fall_by_mass_and_members_by_count() {
        let classes = example();
        assert_eq!(classes.order, [5, 0, 3, 1, 4, 2]);
        assert_eq!(classes.starts, [0, 2, 5, 6]);
        classes.check().unwrap();
        assert_eq!((classes.n_classes(), classes.vocab_size(), classes.largest()), (3, 6, 3));
        assert_eq!([0, 1, 2, 4, 5].map(|id| classes.class_of(id)), [0, 0, 1, 1, 2]);
        let new_ids = classes.new_ids();
        assert!(
            classes.order.iter().enumerate().all(|(new, &old)| new_ids[old as usize] == new as u32)
        );
    }

    #[test]
    fn expected_rows_are_the_mean_over_the_text() {
        let counts = [4, 2, 0, 5, 2, 5];
        assert_eq!(example().expected_rows(&counts), 3.0 + (9.0 * 2.0 + 9.0 * 3.0) / 18.0);
        assert_eq!(example().expected_rows(&[0; 6]), 3.0 + (2.0 * 2.0 + 3.0 * 3.0 + 1.0) / 6.0);
    }

    #[test]
    fn no_tokens_make_no_classes() {
        let classes = Classes::new(&[], &[]);
        classes.check().unwrap();
        assert_eq!((classes.n_classes(), classes.largest()), (0, 0));
        assert_eq!(classes.expected_rows(&[]), 0.0);
    }

    #[test]
    fn stored_classes_are_read_back_and_planted_faults_are_reported() {
        let json = serde_json::to_string(&example()).unwrap();
        assert_eq!(serde_json::from_str::<Classes>(&json).unwrap(), example());
        let fault = |order: &[u32], starts: &[u32]| {
            let json = serde_json::json!({ "order": order, "starts": starts });
            serde_json::from_value::<Classes>(json).unwrap_err().to_string()
        };
        assert!(fault(&[0, 1, 1], &[0, 3]).contains("1 was visited twice"));
        assert!(fault(&[0, 1, 3], &[0, 3]).contains("3 is outside"));
        assert!(fault(&[0, 1, 2], &[0, 2]).contains("`starts`"));
        assert!(fault(&[0, 1, 2], &[1, 3]).contains("`starts`"));
        assert!(fault(&[0, 1, 2], &[0, 2, 2, 3]).contains("2 after 2"));
        assert!(fault(&[0, 1, 2], &[0, 3, 1, 3]).contains("1 after 3"));
        assert!(fault(&[0, 1, 2], &[]).contains("`starts`"));
    }
}
