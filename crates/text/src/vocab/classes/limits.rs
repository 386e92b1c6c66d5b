//! Class limits: number and size of classes.

use super::error::ClassError;
use super::method::ClassOptions;

/// Number of classes, and the largest number of words in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of classes.
    pub n_classes: usize,
    /// Largest number of words of a class.
    pub size_cap: usize,
}

/// Default size cap relative to the mean. A larger one costs time, since a token pays for all
/// members of its class, without improving quality.
const CAP_OVER_MEAN: usize = 4;

/// Largest number of classes. Memory grows with its square, and no vocabulary needs more.
const N_CLASSES_MAX: usize = 4096;

impl Limits {
    /// Limits for the `n_words` words of the vocabulary that occur. Defaults where `options` has
    /// none: [`default_n_classes`] of `n_words`, and `4 V / C` tokens in each.
    ///
    /// # Errors
    /// [`ClassError::Option`] if there are no classes or too many, or the words do not fit.
    pub fn new(
        n_words: usize,
        vocab_size: usize,
        options: &ClassOptions,
    ) -> Result<Limits, ClassError> {
        let wrong = |field, found: usize, expected| {
            Err(ClassError::Option { field, found: found.to_string(), expected })
        };
        let (n_words, vocab_size) = (n_words.max(1), vocab_size.max(1));
        if let Some(n) = options.n_classes.filter(|n| !(1..=N_CLASSES_MAX).contains(n)) {
            return wrong("n_classes", n, format!("1 to {N_CLASSES_MAX}"));
        }
        let n_classes = options.n_classes.unwrap_or_else(|| default_n_classes(n_words));
        let n_classes = n_classes.min(n_words);
        let size_cap = options.size_cap.unwrap_or((CAP_OVER_MEAN * vocab_size).div_ceil(n_classes));
        let least = n_words.div_ceil(n_classes);
        if size_cap < least {
            let expected = format!("{least} or more: {n_words} words in {n_classes} classes");
            return wrong("size_cap", size_cap, expected);
        }
        Ok(Limits { n_classes, size_cap: size_cap.min(vocab_size) })
    }
}

/// 1.4 times the square root of the vocabulary. The root itself minimises classes plus members, but
/// more classes predict better and cost little: see `docs/output-layers.md`.
pub fn default_n_classes(n_words: usize) -> usize {
    ((1.4 * (n_words as f64).sqrt()).round() as usize).clamp(1, N_CLASSES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(
        n_words: usize,
        vocab_size: usize,
        n_classes: Option<usize>,
        size_cap: Option<usize>,
    ) -> Result<Limits, ClassError> {
        let options =
            ClassOptions { size_cap, ..ClassOptions::new(Default::default(), n_classes, 1) };
        Limits::new(n_words, vocab_size, &options)
    }

    #[test]
    fn defaults_follow_the_number_of_words() {
        for (n_words, vocab_size, n_classes, size_cap) in [
            (33_278, 33_278, 255, 523),
            (10_000, 20_000, 140, 572),
            (0, 0, 1, 1),
            (0, 50_000, 1, 50_000),
            (1, 3, 1, 3),
        ] {
            let found = limits(n_words, vocab_size, None, None);
            assert_eq!(found, Ok(Limits { n_classes, size_cap }), "{n_words} of {vocab_size}");
        }
    }

    #[test]
    fn more_classes_than_words_are_reduced_to_the_number_of_words() {
        let found = limits(3, 5, Some(10), Some(usize::MAX));
        assert_eq!(found, Ok(Limits { n_classes: 3, size_cap: 5 }));
    }

    #[test]
    fn impossible_limits_are_refused() {
        let fault = |n, classes, cap| limits(n, n, classes, cap).unwrap_err().to_string();
        assert!(fault(10, Some(0), None).contains("`n_classes`: found 0"));
        assert!(fault(1 << 20, Some(5000), None).contains("1 to 4096"));
        let text = fault(10, Some(3), Some(3));
        assert!(text.contains("`size_cap`: found 3") && text.contains("4 or more"), "{text}");
    }
}
