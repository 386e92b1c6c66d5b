//! Needs: settings that have an effect only beside another setting; one that would be ignored is refused.

use super::error::RunError;
use super::vocabulary::{OfHead, of_heads};
use crate::train::settings::Settings;

/// Refuses a setting that another one makes ineffective.
///
/// # Errors
/// [`RunError::Setting`] with the first such setting.
pub(super) fn check_needs(settings: &Settings) -> Result<(), RunError> {
    let vocab = &settings.vocab;
    let given: Vec<OfHead> =
        of_heads(vocab).into_iter().filter(|setting| setting.found.is_some()).collect();
    let chosen = vocab.head.or(given.first().map(|setting| setting.head));
    let ignored = given.into_iter().find(|setting| Some(setting.head) != chosen);
    if let (Some(OfHead { field, found, head }), Some(chosen)) = (ignored, chosen) {
        let expected = format!(
            "no value, since the output layer is {chosen}: it has an effect only with vocab.head = \"{head}\""
        );
        return Err(RunError::Setting { field, found: found.unwrap_or_default(), expected });
    }
    let of_ngrams =
        [("vocab.ngram_rows", vocab.ngram_rows), ("vocab.ngram_min_count", vocab.ngram_min_count)];
    let given = of_ngrams.into_iter().find_map(|(field, n)| Some((field, n?)));
    if let (Some((field, n)), Some(false)) = (given, vocab.ngram_embed) {
        let expected = "no value: it has an effect only with vocab.ngram_embed = true".to_owned();
        return Err(RunError::Setting { field, found: n.to_string(), expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The complaint about a table of settings.
    fn complaint(vocab: &str) -> Option<String> {
        let settings: Settings = toml::from_str(&format!("[vocab]\n{vocab}")).unwrap();
        check_needs(&settings).err().map(|error| error.to_string())
    }

    #[test]
    fn a_setting_without_effect_is_refused() {
        for (vocab, field) in [
            ("head = 'full'\nn_classes = 64", "vocab.n_classes = 64"),
            ("head = 'full'\nclasses = 'kmeans'", "vocab.classes = kmeans"),
            ("head = 'full'\ncutoffs = [5, 9]", "vocab.cutoffs = [5, 9]"),
            ("head = 'full'\nn_samples = 7", "vocab.n_samples = 7"),
            ("head = 'factor'\nn_samples = 7", "vocab.n_samples = 7"),
            ("head = 'factor'\ncutoffs = [5]", "vocab.cutoffs = [5]"),
            ("head = 'adaptive'\nn_classes = 3", "vocab.n_classes = 3"),
            ("head = 'sampled'\nn_classes = 3", "vocab.n_classes = 3"),
            ("cutoffs = [5]\nn_classes = 3", "vocab.n_classes = 3"),
            ("cutoffs = [5]\nn_samples = 3", "vocab.n_samples = 3"),
            ("n_samples = 3\nclasses = 'random'", "vocab.classes = random"),
            ("ngram_embed = false\nngram_rows = 64", "vocab.ngram_rows = 64"),
            ("ngram_embed = false\nngram_min_count = 2", "vocab.ngram_min_count = 2"),
        ] {
            let said = complaint(vocab).unwrap_or_default();
            assert!(said.contains(field) && said.contains("only with"), "{vocab}: {said}");
        }
    }

    #[test]
    fn a_setting_with_an_effect_is_accepted() {
        for vocab in [
            "",
            "head = 'full'",
            "n_classes = 3\nclasses = 'kmeans'",
            "head = 'factor'\nn_classes = 3",
            "head = 'adaptive'\ncutoffs = [5]",
            "cutoffs = [5]",
            "n_samples = 7",
            "ngram_rows = 64",
            "ngram_embed = true\nngram_min_count = 2",
            "ngram_embed = false",
            "head = 'full'\norder = 'spiral'\ncompose = true",
        ] {
            assert_eq!(complaint(vocab), None, "{vocab}");
        }
    }
}
