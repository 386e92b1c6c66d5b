//! Class bigram model: counts, likelihood of the text, and gains from moving a word.
//!
//! The model is the class bigram of Brown et al. ("Class-based n-gram models of natural language",
//! Computational Linguistics 1992): `p(w | v) = p(class of w | class of v) p(w | class of w)`. With
//! all probabilities set to their relative frequencies and `f(x) = x ln x`, the text has
//!
//! ```text
//! ln p = sum of f(N(c, d)) over pairs of classes
//!      - sum of f(N(c, .)) over classes - sum of f(N(., d)) over classes
//!      + sum of f(N(w)) over words
//! ```
//!
//! The last sum does not depend on the classes; the rest is the objective.

use super::bigrams::Bigrams;
use super::x_ln_x::XLnX;

/// Marks a token without a class.
pub const NO_CLASS: u32 = u32::MAX;

/// Counts of pairs of classes, updated when words move.
#[derive(Debug)]
pub struct ClassBigrams<'a> {
    bigrams: &'a Bigrams,
    f: XLnX,
    n_classes: usize,
    class_of: Vec<u32>,
    /// (C) number of words of each class.
    sizes: Vec<usize>,
    /// (C, C) pairs: row = class of the predecessor. The transpose is stored too, so that a column
    /// over all classes is also one contiguous row.
    pairs: Side,
    pairs_transposed: Side,
    /// (C) pairs by class of the predecessor, and by class of the successor.
    as_predecessor: Vec<u32>,
    as_successor: Vec<u32>,
    /// The log-likelihood of the text in nats, up to a constant.
    objective: f64,
}

/// A matrix of counts, and the gain in likelihood of one more pair: `f(N + 1) - f(N)`.
#[derive(Debug)]
struct Side {
    counts: Vec<u32>,
    gain_of_one: Vec<f32>,
}

/// The neighbours of one word, without itself, summed by class.
#[derive(Clone, Debug, Default)]
pub struct Neighbourhood {
    left: ByClass,
    right: ByClass,
    /// Number of times that the word follows itself.
    itself: u32,
}

#[derive(Clone, Debug, Default)]
struct ByClass {
    /// (C) counts; zero except for `classes`.
    counts: Vec<u32>,
    /// The classes with a count.
    classes: Vec<u32>,
    total: u32,
}

impl ByClass {
    fn clear(&mut self, n_classes: usize) {
        self.classes.drain(..).for_each(|class| self.counts[class as usize] = 0);
        self.counts.resize(n_classes, 0);
        self.total = 0;
    }

    fn add(&mut self, class: u32, count: u32) {
        let sum = &mut self.counts[class as usize];
        if *sum == 0 {
            self.classes.push(class);
        }
        *sum += count;
        self.total += count;
    }

    fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.classes.iter().map(|class| (*class as usize, self.counts[*class as usize]))
    }
}

/// Scratch of [`ClassBigrams::gains`].
#[derive(Clone, Debug, Default)]
pub struct GainScratch {
    /// (C) terms of neighbours that occur once, the majority.
    ones: Vec<f32>,
    /// (C) gain in the objective if the word moved to each class.
    pub gains: Vec<f64>,
}

impl<'a> ClassBigrams<'a> {
    /// Counts the pairs of classes. Token `i` is in class `class_of[i]`, below `n_classes`, or
    /// [`NO_CLASS`].
    ///
    /// # Panics
    /// If `class_of` is not (V), a class is not below `n_classes`, or a token that is in a pair has
    /// no class.
    pub fn new(bigrams: &'a Bigrams, class_of: Vec<u32>, n_classes: usize) -> ClassBigrams<'a> {
        assert_eq!(class_of.len(), bigrams.vocab_size(), "ClassBigrams: class_of is not (V)");
        let f = XLnX::new(bigrams.n_pairs());
        let mut counts = vec![0; n_classes * n_classes];
        let (mut as_predecessor, mut as_successor) = (vec![0; n_classes], vec![0; n_classes]);
        let mut sizes = vec![0; n_classes];
        for (id, &class) in class_of.iter().enumerate().filter(|(_, class)| **class != NO_CLASS) {
            sizes[class as usize] += 1;
            for &(next, count) in bigrams.successors(id as u32) {
                let next = class_of[next as usize] as usize;
                counts[class as usize * n_classes + next] += count;
                as_predecessor[class as usize] += count;
                as_successor[next] += count;
            }
        }
        let transposed =
            (0..counts.len()).map(|i| counts[i % n_classes * n_classes + i / n_classes]);
        let transposed: Vec<u32> = transposed.collect();
        let side = |counts: Vec<u32>| {
            let gain_of_one = counts.iter().map(|n| gain_of_one(&f, *n)).collect();
            Side { counts, gain_of_one }
        };
        let (pairs, pairs_transposed) = (side(counts), side(transposed));
        let sum = |counts: &[u32]| counts.iter().map(|n| f.at(*n)).sum::<f64>();
        let objective = sum(&pairs.counts) - sum(&as_predecessor) - sum(&as_successor);
        ClassBigrams {
            bigrams,
            f,
            n_classes,
            class_of,
            sizes,
            pairs,
            pairs_transposed,
            as_predecessor,
            as_successor,
            objective,
        }
    }

    /// (V) class of each token.
    pub fn class_of(&self) -> &[u32] {
        &self.class_of
    }

    /// (C) number of words of each class.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Perplexity of the class bigram on the text it was counted from; 1 if there are no pairs.
    pub fn perplexity(&self) -> f64 {
        let words = (0..self.class_of.len()).map(|id| {
            let n = self.bigrams.predecessors(id as u32).iter().map(|e| e.1).sum();
            self.f.at(n)
        });
        let log_likelihood = self.objective + words.sum::<f64>();
        (-log_likelihood / self.bigrams.n_pairs().max(1) as f64).exp()
    }

    /// Fills `out` with the classes of the neighbours of `word`.
    pub fn neighbourhood(&self, word: u32, out: &mut Neighbourhood) {
        out.itself = 0;
        out.left.clear(self.n_classes);
        out.right.clear(self.n_classes);
        for &(next, count) in self.bigrams.successors(word) {
            if next == word {
                out.itself = count;
            } else {
                out.right.add(self.class_of[next as usize], count);
            }
        }
        for &(previous, count) in self.bigrams.predecessors(word) {
            if previous != word {
                out.left.add(self.class_of[previous as usize], count);
            }
        }
    }

    /// Fills `scratch.gains` with the gain in the objective if `word` moved to each class; 0 for
    /// its own. `around` is its neighbourhood.
    ///
    /// For class `b` the cells `(b, d)` gain the word's successors in `d`, the cells `(c, b)` its
    /// predecessors in `c`, and the cells of its own class lose the same. This is exact unless a
    /// cell changes twice, which needs neighbours in `b`: see [`Self::crossings`]. Cost: the number
    /// of classes around the word times C, mostly additions of rows. Accuracy: the rounding of f32.
    pub fn gains(&self, word: u32, around: &Neighbourhood, scratch: &mut GainScratch) {
        let n = self.n_classes;
        let f = &self.f;
        let own = self.class_of[word as usize] as usize;
        let GainScratch { ones, gains } = scratch;
        ones.clear();
        ones.resize(n, 0.0);
        gains.clear();
        gains.resize(n, 0.0);

        let sides = [(&around.right, &self.pairs_transposed), (&around.left, &self.pairs)];
        for (neighbours, side) in sides {
            for (class, count) in neighbours.iter() {
                let row = class * n..(class + 1) * n;
                if count == 1 {
                    let gain_of_one = &side.gain_of_one[row];
                    ones.iter_mut().zip(gain_of_one).for_each(|(sum, gain)| *sum += gain);
                } else {
                    let cells = &side.counts[row];
                    let gain = |cell: u32| f.at(cell + count) - f.at(cell);
                    gains.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += gain(*cell));
                }
            }
        }

        let (n_left, n_right) =
            (around.left.total + around.itself, around.right.total + around.itself);
        let leaving = self.loss_of_leaving(own, around)
            + self.change(self.as_predecessor[own], n_right)
            + self.change(self.as_successor[own], n_left);
        for (class, gain) in gains.iter_mut().enumerate() {
            let of_class = |totals: &[u32], n| f.at(totals[class] + n) - f.at(totals[class]);
            *gain += f64::from(ones[class]) + leaving
                - of_class(&self.as_predecessor, n_right)
                - of_class(&self.as_successor, n_left);
        }
        if around.itself > 0 {
            (0..n).for_each(|class| gains[class] += self.crossings(own, class, around));
        } else {
            let (left, right) = (&around.left, &around.right);
            let right_only = right.classes.iter().filter(|c| left.counts[**c as usize] == 0);
            for &class in left.classes.iter().chain(right_only) {
                gains[class as usize] += self.crossings(own, class as usize, around);
            }
        }
        gains[own] = 0.0;
    }

    /// `f(total) - f(total - n)`: the change of a class total's term when `n` leave it.
    fn change(&self, total: u32, n: u32) -> f64 {
        self.f.at(total) - self.f.at(total - n)
    }

    /// The gain of the cells of class `own` when the word leaves it, if no cell but the diagonal
    /// one changes twice.
    fn loss_of_leaving(&self, own: usize, around: &Neighbourhood) -> f64 {
        let cell = |row: usize, column: usize| self.pairs.counts[row * self.n_classes + column];
        let right = around.right.iter().filter(|(class, _)| *class != own);
        let left = around.left.iter().filter(|(class, _)| *class != own);
        let diagonal = around.right.counts[own] + around.left.counts[own] + around.itself;
        -right.map(|(class, n)| self.change(cell(own, class), n)).sum::<f64>()
            - left.map(|(class, n)| self.change(cell(class, own), n)).sum::<f64>()
            - self.change(cell(own, own), diagonal)
    }

    /// The correction of [`Self::gains`] for class `to`: the cells that change twice in a move from
    /// `own`, `(to, to)`, `(own, to)` and `(to, own)`.
    fn crossings(&self, own: usize, to: usize, around: &Neighbourhood) -> f64 {
        let cell = |row: usize, column: usize| self.pairs.counts[row * self.n_classes + column];
        let (left, right) = (&around.left.counts, &around.right.counts);
        let f = |x: u32| self.f.at(x);

        let both = cell(to, to);
        let diagonal = f(both + left[to] + right[to] + around.itself) + f(both)
            - f(both + left[to])
            - f(both + right[to]);
        // Each loses the word's counts in `own` and gains its counts in `to`.
        let crossing = |cell: u32, loss: u32, gain: u32| {
            f(cell - loss + gain) + f(cell) - f(cell - loss) - f(cell + gain)
        };
        diagonal
            + crossing(cell(own, to), right[to], left[own])
            + crossing(cell(to, own), left[to], right[own])
    }

    /// Moves `word` to class `to` and returns the exact gain in the objective. `around` is the
    /// neighbourhood of the word, which the move does not change.
    pub fn move_word(&mut self, word: u32, to: u32, around: &Neighbourhood) -> f64 {
        let before = self.objective;
        let from = std::mem::replace(&mut self.class_of[word as usize], to) as usize;
        let to = to as usize;
        self.sizes[from] -= 1;
        self.sizes[to] += 1;
        for (class, count) in around.right.iter() {
            self.move_pairs((from, class), (to, class), count);
        }
        for (class, count) in around.left.iter() {
            self.move_pairs((class, from), (class, to), count);
        }
        self.move_pairs((from, from), (to, to), around.itself);
        let itself = around.itself;
        for (totals, n) in [
            (&mut self.as_predecessor, around.right.total + itself),
            (&mut self.as_successor, around.left.total + itself),
        ] {
            let f = |x: u32| self.f.at(x);
            self.objective += f(totals[from]) + f(totals[to]);
            totals[from] -= n;
            totals[to] += n;
            self.objective -= f(totals[from]) + f(totals[to]);
        }
        self.objective - before
    }

    fn move_pairs(&mut self, from: (usize, usize), to: (usize, usize), count: u32) {
        let from_cell = self.pairs.counts[from.0 * self.n_classes + from.1];
        self.set(from, from_cell - count);
        let to_cell = self.pairs.counts[to.0 * self.n_classes + to.1];
        self.set(to, to_cell + count);
    }

    fn set(&mut self, (row, column): (usize, usize), count: u32) {
        let (cell, transposed) = (row * self.n_classes + column, column * self.n_classes + row);
        self.objective += self.f.at(count) - self.f.at(self.pairs.counts[cell]);
        let gain = gain_of_one(&self.f, count);
        self.pairs.counts[cell] = count;
        self.pairs.gain_of_one[cell] = gain;
        self.pairs_transposed.counts[transposed] = count;
        self.pairs_transposed.gain_of_one[transposed] = gain;
    }
}

fn gain_of_one(f: &XLnX, count: u32) -> f32 {
    (f.at(count + 1) - f.at(count)) as f32
}

/// Perplexity of the class bigram with these classes on the text of the counts: a cheap measure of
/// how well the class of a word predicts its neighbours.
///
/// # Panics
/// If `class_of` is not (V).
pub fn class_bigram_perplexity(bigrams: &Bigrams, class_of: &[u32]) -> f64 {
    let n_classes = class_of.iter().max().map_or(0, |class| *class as usize + 1);
    ClassBigrams::new(bigrams, class_of.to_vec(), n_classes).perplexity()
}

#[cfg(test)]
#[path = "class_bigrams_tests.rs"]
mod tests;
