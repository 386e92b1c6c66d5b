//! Spelling model of roots: character trigrams, fitted to weighted strings.
//!
//! P(c | a b) = (n(abc) + D P(c | b)) / (n(ab) + D), and so on down to single characters. A
//! string's own weight is subtracted from the counts before it is scored; otherwise a rare string
//! would seem likely because it was counted.

use super::interned::Interned;

/// Weight of the shorter context against the longer.
const BACKING: f64 = 4.0;

/// Marks the edge before and after every string.
const EDGE: u32 = 0;

/// The counts of a triple of characters.
#[derive(Clone, Copy, Debug)]
struct Triple {
    /// The pair (a, b), as a context.
    context: u32,
    /// The pair (b, c).
    pair: u32,
    before: u32,
    last: u32,
}

/// Strings as triples, and the counts of all n-grams.
#[derive(Debug)]
pub(super) struct Spelling {
    triples: Vec<Triple>,
    /// The concatenated triples of all strings, and the offset of each string.
    members: Vec<u32>,
    starts: Vec<u32>,
    n_chars: usize,
    n_triple: Vec<f64>,
    n_context: Vec<f64>,
    n_pair: Vec<f64>,
    n_before: Vec<f64>,
    n_last: Vec<f64>,
    n_all: f64,
}

impl Spelling {
    /// A model of these strings, each with weight 1.
    pub(super) fn new<'s>(strings: impl Iterator<Item = &'s str>) -> Spelling {
        let (mut chars, mut triples) = (Interned::default(), Interned::default());
        chars.id(None);
        let mut members = Vec::new();
        let mut starts = vec![0];
        for string in strings {
            let (mut a, mut b) = (EDGE, EDGE);
            for c in string.chars().map(Some).chain([None]) {
                let c = chars.id(c);
                members.push(triples.id((a, b, c)));
                (a, b) = (b, c);
            }
            starts.push(members.len() as u32);
        }
        let mut pairs = Interned::default();
        let triples: Vec<Triple> = triples
            .values()
            .iter()
            .map(|&(a, b, c)| Triple {
                context: pairs.id((a, b)),
                pair: pairs.id((b, c)),
                before: b,
                last: c,
            })
            .collect();
        let n_strings = starts.len() - 1;
        let mut model = Spelling {
            n_triple: vec![0.0; triples.len()],
            n_context: vec![0.0; pairs.len()],
            n_pair: vec![0.0; pairs.len()],
            n_before: vec![0.0; chars.len()],
            n_last: vec![0.0; chars.len()],
            n_all: 0.0,
            n_chars: chars.len(),
            triples,
            members,
            starts,
        };
        model.fit(std::iter::repeat_n(1.0, n_strings));
        model
    }

    /// Number of distinct characters, including the edge.
    pub(super) fn alphabet_len(&self) -> usize {
        self.n_chars
    }

    /// Recounts the strings with these weights, one per string.
    pub(super) fn fit(&mut self, weights: impl Iterator<Item = f64>) {
        for counts in [
            &mut self.n_triple,
            &mut self.n_context,
            &mut self.n_pair,
            &mut self.n_before,
            &mut self.n_last,
        ] {
            counts.fill(0.0);
        }
        self.n_all = 0.0;
        for (string, weight) in weights.enumerate() {
            for &member in &self.members[span(&self.starts, string)] {
                let triple = self.triples[member as usize];
                self.n_triple[member as usize] += weight;
                self.n_context[triple.context as usize] += weight;
                self.n_pair[triple.pair as usize] += weight;
                self.n_before[triple.before as usize] += weight;
                self.n_last[triple.last as usize] += weight;
                self.n_all += weight;
            }
        }
    }

    /// The natural logarithm of the probability of string number `string`, which was counted with
    /// weight `own`.
    pub(super) fn ln_probability(&self, string: usize, own: f64) -> f64 {
        let left = |count: f64| (count - own).max(0.0);
        let members = &self.members[span(&self.starts, string)];
        let n_all = (self.n_all - own * members.len() as f64).max(0.0);
        // The product of a word's probabilities is far above the smallest float, except for words
        // of hundreds of characters.
        let mut sum = 0.0;
        for &member in members {
            let triple = self.triples[member as usize];
            let one =
                (left(self.n_last[triple.last as usize]) + 1.0) / (n_all + self.n_chars as f64);
            let two = (left(self.n_pair[triple.pair as usize]) + BACKING * one)
                / (left(self.n_before[triple.before as usize]) + BACKING);
            let three = (left(self.n_triple[member as usize]) + BACKING * two)
                / (left(self.n_context[triple.context as usize]) + BACKING);
            sum += three.ln();
        }
        sum
    }

    /// Mean of -ln P over the characters of all strings, by the weights of the last fit.
    pub(super) fn nats_per_char(&self, weights: impl Iterator<Item = f64>) -> f64 {
        let (mut nats, mut n) = (0.0, 0.0);
        for (string, weight) in weights.enumerate().filter(|&(_, weight)| weight > 0.0) {
            nats -= weight * self.ln_probability(string, weight);
            n += weight * span(&self.starts, string).len() as f64;
        }
        // Leaving out a string leaves out only one of a triple's repeats in it, so a string of one
        // character over and over may come out as more than certain.
        if n > 0.0 { (nats / n).max(0.0) } else { (self.n_chars as f64).ln() }
    }
}

fn span(starts: &[u32], string: usize) -> std::ops::Range<usize> {
    starts[string] as usize..starts[string + 1] as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_one_character_is_at_most_certain() {
        let model = Spelling::new(["aaaaaaaaaaaaaaaaaaaaaaaaaaaa"].into_iter());
        assert!(model.nats_per_char([1.0].into_iter()) >= 0.0);
    }

    #[test]
    fn strings_similar_to_the_others_are_likely() {
        let strings = ["aba", "abab", "ababa", "abb", "qx"];
        let mut model = Spelling::new(strings.into_iter());
        assert_eq!(model.alphabet_len(), 5);
        let ln = |model: &Spelling, i| model.ln_probability(i, 1.0);
        assert!(ln(&model, 0) > ln(&model, 4));
        // Without the other strings, nothing is known about a string left out.
        model.fit([0.0, 0.0, 0.0, 0.0, 1.0].into_iter());
        let uniform = 3.0 * (1.0 / 5.0f64).ln();
        // A dozen roundings for each of three characters.
        assert!((ln(&model, 4) - uniform).abs() < 36.0 * f64::EPSILON * uniform.abs());
    }
}
