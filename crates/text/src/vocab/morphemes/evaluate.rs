//! Evaluation of segmentations: precision and recall of boundaries, and a suffix list as control.

/// Counts of found and true boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoundaryScore {
    /// Boundaries found.
    pub n_found: usize,
    /// Number of true boundaries.
    pub n_gold: usize,
    /// Number of found boundaries that are true.
    pub n_correct: usize,
}

impl BoundaryScore {
    /// The share of found boundaries that are true; 1 if none was found.
    pub fn precision(&self) -> f64 {
        share(self.n_correct, self.n_found)
    }

    /// The share of true boundaries that were found; 1 if there are none.
    pub fn recall(&self) -> f64 {
        share(self.n_correct, self.n_gold)
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        share(2 * self.n_correct, self.n_found + self.n_gold)
    }
}

fn share(n: usize, of: usize) -> f64 {
    if of == 0 { 1.0 } else { n as f64 / of as f64 }
}

/// Counts the boundaries of all words. `found` and `gold` have each word's cuts, as numbers of
/// characters before them, strictly ascending.
///
/// # Panics
/// If the lengths differ.
pub fn evaluate<'a>(
    found: impl ExactSizeIterator<Item = &'a [usize]>,
    gold: impl ExactSizeIterator<Item = &'a [usize]>,
) -> BoundaryScore {
    assert_eq!(found.len(), gold.len(), "evaluate: found and gold are of different words");
    let mut score = BoundaryScore::default();
    for (found, gold) in found.zip(gold) {
        score.n_found += found.len();
        score.n_gold += gold.len();
        score.n_correct += found.iter().filter(|cut| gold.contains(cut)).count();
    }
    score
}

/// Common English suffixes.
const SUFFIXES: [&str; 24] = [
    "s", "es", "ed", "ing", "er", "ers", "est", "ly", "ness", "less", "ful", "able", "ible",
    "ment", "tion", "ion", "ity", "al", "ous", "ive", "ism", "ist", "ize", "ise",
];

/// Shortest stem that the control leaves, in characters.
const STEM_CHARS_MIN: usize = 3;

/// The control: repeatedly cuts off the longest suffix of a fixed list, while a stem is left.
pub fn suffix_list_cuts(word: &str) -> Vec<usize> {
    let mut stem = word;
    let mut cuts = Vec::new();
    let rest_of = |stem: &str, suffix: &str| {
        let rest = stem.strip_suffix(suffix)?;
        (rest.chars().count() >= STEM_CHARS_MIN).then_some(rest.len())
    };
    while let Some(len) = SUFFIXES.iter().filter_map(|suffix| rest_of(stem, suffix)).min() {
        stem = &stem[..len];
        cuts.push(stem.chars().count());
    }
    cuts.reverse();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(found: &[&[usize]], gold: &[&[usize]]) -> BoundaryScore {
        evaluate(found.iter().copied(), gold.iter().copied())
    }

    #[test]
    fn planted_errors_lower_the_scores_as_computed() {
        let gold: [&[usize]; 4] = [&[4], &[2, 6], &[], &[3]];
        let perfect = score(&gold, &gold);
        assert_eq!((perfect.precision(), perfect.recall(), perfect.f1()), (1.0, 1.0, 1.0));

        let missed = score(&[&[4], &[2], &[], &[3]], &gold);
        assert_eq!((missed.precision(), missed.recall()), (1.0, 0.75));
        let added = score(&[&[4], &[2, 6], &[5], &[3]], &gold);
        assert_eq!((added.precision(), added.recall()), (0.8, 1.0));
        let moved = score(&[&[4], &[2, 6], &[], &[4]], &gold);
        assert_eq!((moved.precision(), moved.recall(), moved.f1()), (0.75, 0.75, 0.75));
        let other_word = score(&[&[2, 6], &[4], &[], &[3]], &gold);
        assert_eq!(other_word.n_correct, 1);
        assert_eq!(score(&[&[], &[], &[], &[]], &gold).f1(), 0.0);
    }

    #[test]
    fn the_control_cuts_by_its_list() {
        for (word, cuts) in [
            ("walking", vec![4]),
            ("carelessness", vec![4, 8]),
            ("sing", vec![]),
            ("bakers", vec![3]),
            ("house", vec![]),
            ("élèves", vec![4]),
        ] {
            assert_eq!(suffix_list_cuts(word), cuts, "{word}");
        }
    }
}
