//! How many classes, and how large they may be.

use super::error::ClassError;

/// How many classes there may be, and how many words in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of classes.
    pub n_classes: usize,
    /// Most words of a class.
    pub size_cap: usize,
}

/// By default a class may be this many times as large as the mean: more costs time, since a token
/// pays for all members of its class, and wins no quality.
const CAP_OVER_MEAN: usize = 4;

impl Limits {
    /// Limits for `n_words` words, from what was asked for: by default the square root of `n_words`
    /// classes, and four times their mean size.
    ///
    /// # Errors
    /// [`ClassError::Option`] if there are no classes, or the words do not fit.
    pub fn new(
        n_words: usize,
        n_classes: Option<usize>,
        size_cap: Option<usize>,
    ) -> Result<Limits, ClassError> {
        let n_words = n_words.max(1);
        if n_classes == Some(0) {
            return Err(ClassError::Option {
                field: "n_classes",
                found: "0".into(),
                expected: "1 or more".into(),
            });
        }
        let n_classes = n_classes.unwrap_or_else(|| default_n_classes(n_words)).min(n_words);
        let least = n_words.div_ceil(n_classes);
        let size_cap = size_cap.unwrap_or((CAP_OVER_MEAN * n_words).div_ceil(n_classes));
        if size_cap < least {
            return Err(ClassError::Option {
                field: "size_cap",
                found: size_cap.to_string(),
                expected: format!("{least} or more: {n_words} words in {n_classes} classes"),
            });
        }
        Ok(Limits { n_classes, size_cap })
    }
}

/// About as many classes as a class has members, which makes classes plus members fewest.
pub fn default_n_classes(n_words: usize) -> usize {
    ((n_words as f64).sqrt().round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_number_of_words() {
        let limits = |n| Limits::new(n, None, None).unwrap();
        assert_eq!(limits(33_278), Limits { n_classes: 182, size_cap: 732 });
        assert_eq!(limits(0), Limits { n_classes: 1, size_cap: 4 });
        assert_eq!(limits(1), Limits { n_classes: 1, size_cap: 4 });
        let more_classes_than_words = Limits::new(3, Some(10), Some(1)).unwrap();
        assert_eq!(more_classes_than_words, Limits { n_classes: 3, size_cap: 1 });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let fault = |n, classes, cap| Limits::new(n, classes, cap).unwrap_err().to_string();
        assert!(fault(10, Some(0), None).contains("`n_classes`: found 0"));
        let text = fault(10, Some(3), Some(3));
        assert!(text.contains("`size_cap`: found 3") && text.contains("4 or more"), "{text}");
    }
}
