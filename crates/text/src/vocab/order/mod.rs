//! Token orders: the assignment of ids, which is the order of rows in memory.
//!
//! An order depends on the count of a token and on its position in the word plane (`plane`). The
//! ids of a class of a factored output layer are contiguous: an order first sorts the classes, each
//! like one token, and then the tokens within each class.
//!
//! There are two ideas. *Hot rows first*: a batch reads a few rows often, and they share cache
//! lines and pages if frequent tokens are adjacent. *Neighbours together*: tokens with similar use
//! share pages, whatever their frequency. `docs/spiral.md` has measurements of both.

mod plane;
mod sort;

use super::classes::{ClassError, Classes, count_tokens};
use crate::corpus::TokenSource;
use kernels::Pool;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An order of token ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenOrder {
    /// By descending frequency.
    Frequency,
    /// Along Ulam's spiral: the frequency of a token determines its ring, and its direction in the
    /// word plane determines its position on the ring.
    ///
    /// The token of frequency rank n is on the ring of the spiral's point n, so ring r holds 8r
    /// tokens, and the first `(2r + 1)^2` ids are the same tokens as by frequency. Only the order
    /// along a ring differs: tokens with similar use are adjacent there, and have about the same
    /// direction on all rings.
    Spiral,
    /// Along Hilbert's curve through the word plane, whatever their frequency: tokens with similar
    /// use have close ids. Tokens that do not occur come last.
    Hilbert,
    /// Random: the control.
    Random,
}

impl TokenOrder {
    /// All orders.
    pub const ALL: [TokenOrder; 4] =
        [TokenOrder::Frequency, TokenOrder::Spiral, TokenOrder::Hilbert, TokenOrder::Random];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            TokenOrder::Frequency => "frequency",
            TokenOrder::Spiral => "spiral",
            TokenOrder::Hilbert => "hilbert",
            TokenOrder::Random => "random",
        }
    }

    fn needs_plane(self) -> bool {
        matches!(self, TokenOrder::Spiral | TokenOrder::Hilbert)
    }
}

impl fmt::Display for TokenOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Sort key of a token or a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    /// Number of occurrences in the text.
    pub count: u64,
    /// Position in the word plane; (0, 0), the centre, if nothing is known.
    pub position: [f64; 2],
}

/// Sort keys of a vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Marks {
    /// (V) keys by current id.
    pub marks: Vec<Mark>,
    /// Seed of random choices.
    pub seed: u64,
}

impl Marks {
    /// The sort keys for `order`, from a text. `goes_on(done, of)` is called after each step; once
    /// it returns false the work ends. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`ClassError`]: a token outside the vocabulary, or cancelled.
    pub fn of_text<T: TokenSource + ?Sized>(
        order: TokenOrder,
        tokens: &T,
        vocab_size: usize,
        seed: u64,
        pool: &mut Pool,
        goes_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Marks, ClassError> {
        let counts = count_tokens(tokens, vocab_size)?;
        let positions = if order.needs_plane() {
            plane::positions(tokens, &counts, seed, pool, goes_on)?
        } else {
            vec![[0.0; 2]; vocab_size]
        };
        let mark = |(count, position)| Mark { count, position };
        Ok(Marks { marks: counts.into_iter().zip(positions).map(mark).collect(), seed })
    }

    /// (V) the old id of each new id.
    pub fn order(&self, order: TokenOrder) -> Vec<u32> {
        sort::sorted(order, &self.marks, self.seed, 0)
    }

    /// The same classes, with classes sorted by `order`, and tokens sorted by `order` within each
    /// class.
    ///
    /// # Panics
    /// If `classes` has another number of tokens.
    pub fn order_classes(&self, order: TokenOrder, classes: &Classes) -> Classes {
        assert_eq!(
            classes.vocab_size(),
            self.marks.len(),
            "order_classes: classes of other tokens"
        );
        let members = |class: usize| &classes.order[classes.members(class)];
        let marks_of = |class: usize| -> Vec<Mark> {
            members(class).iter().map(|id| self.marks[*id as usize]).collect()
        };
        let centres: Vec<Mark> = (0..classes.n_classes()).map(|c| centre(&marks_of(c))).collect();
        let mut ordered = Classes { order: Vec::with_capacity(self.marks.len()), starts: vec![0] };
        for class in sort::sorted(order, &centres, self.seed, 0) {
            let stream = u64::from(class) + 1;
            let sorted = sort::sorted(order, &marks_of(class as usize), self.seed, stream);
            let members = members(class as usize);
            ordered.order.extend(sorted.iter().map(|i| members[*i as usize]));
            ordered.starts.push(ordered.order.len() as u32);
        }
        ordered
    }
}

/// The key of a class: the total count, and the centre of mass of its tokens.
fn centre(marks: &[Mark]) -> Mark {
    let (mut count, mut sum) = (0, [0.0; 2]);
    for mark in marks {
        count += mark.count;
        sum.iter_mut().zip(mark.position).for_each(|(sum, x)| *sum += mark.count as f64 * x);
    }
    let position = sum.map(|x| if count > 0 { x / count as f64 } else { 0.0 });
    Mark { count, position }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::{Purpose, Rng};

    /// Four classes of 100 tokens with descending counts, at random positions.
    fn example() -> (Marks, Classes) {
        let rng = Rng::new(1, Purpose::Test, 0);
        let position = |i: u64| [rng.f64_at(2 * i) - 0.5, rng.f64_at(2 * i + 1) - 0.5];
        let mark =
            |i: u64| Mark { count: rng.u64_at(1000 + i) % 100 * (i % 4), position: position(i) };
        let marks: Vec<Mark> = (0..100).map(mark).collect();
        let counts: Vec<u64> = marks.iter().map(|mark| mark.count).collect();
        let class_of: Vec<u32> = (0..100).map(|i| (i % 4) as u32).collect();
        (Marks { marks, seed: 1 }, Classes::new(&class_of, &counts))
    }

    fn sets(classes: &Classes) -> Vec<Vec<u32>> {
        let set = |class| {
            let mut ids = classes.order[classes.members(class)].to_vec();
            ids.sort_unstable();
            ids
        };
        let mut sets: Vec<Vec<u32>> = (0..classes.n_classes()).map(set).collect();
        sets.sort();
        sets
    }

    #[test]
    fn classes_stay_whole_and_contiguous() {
        let (marks, classes) = example();
        let mut found = Vec::new();
        for order in TokenOrder::ALL {
            let ordered = marks.order_classes(order, &classes);
            ordered.check().unwrap();
            assert_eq!(sets(&ordered), sets(&classes), "{order}");
            assert_eq!(ordered, marks.order_classes(order, &classes), "{order}");
            found.push(ordered.order);
        }
        found.dedup();
        assert_eq!(found.len(), TokenOrder::ALL.len(), "all orders differ");
        assert_ne!(
            sets(&Classes { order: marks.order(TokenOrder::Random), ..classes.clone() }),
            sets(&classes)
        );
    }

    #[test]
    fn classes_are_found_in_the_order_of_frequency() {
        let (marks, classes) = example();
        assert_eq!(marks.order_classes(TokenOrder::Frequency, &classes), classes);
    }

    #[test]
    fn the_key_of_a_class_is_at_its_centre_of_mass() {
        let mark = |count, x| Mark { count, position: [x, -x] };
        assert_eq!(centre(&[mark(1, 1.0), mark(3, 5.0), mark(0, 9.0)]), mark(4, 4.0));
        assert_eq!(centre(&[mark(0, 3.0)]), mark(0, 0.0));
    }

    #[test]
    fn names_are_those_of_files() {
        for order in TokenOrder::ALL {
            assert_eq!(serde_json::to_value(order).unwrap(), order.name());
        }
    }
}
