//! N-grams of a run: the sizes of their tables, and which n-grams have rows.

use super::error::RunError;
use crate::disk::{RealFs, commit_file};
use crate::train::settings::{VocabConfig, VocabSettings};
use std::ops::RangeInclusive;
use std::path::Path;
use text::corpus::{TokenFile, TokenSource};
use text::vocab::ngrams::{N_ROWS_MAX, NgramTable, Ngrams, ngram_tables};
use text::vocab::{NGRAMS_NAME, ngrams_bytes};

/// Tokens of the text per table row, which limits the number of rows: two thirds of the tokens of a
/// word-level text end an n-gram that occurs again, and about twenty such tokens share a row.
const TOKENS_OF_ROW: usize = 100;
const USUAL_ROWS: RangeInclusive<usize> = 1_000..=65_536;

/// Valid numbers of rows; with fewer than 64, n-grams are hardly distinguishable.
const ROWS: RangeInclusive<usize> = 64..=N_ROWS_MAX as usize;

/// Default for the fewest occurrences of an n-gram with rows: with a lower limit, a model that
/// reads a text several times memorises it (`docs/ngrams.md`).
const MIN_COUNT: usize = 8;

/// The n-gram part of the configuration, for a text of `n_tokens` tokens. Giving any of its numbers
/// turns n-grams on.
///
/// # Errors
/// [`RunError::Setting`] if the number of rows is out of range or the fewest occurrences is 0.
pub(super) fn resolve(given: &VocabSettings, n_tokens: usize) -> Result<VocabConfig, RunError> {
    let has_numbers = given.ngram_rows.is_some() || given.ngram_min_count.is_some();
    if !given.ngram_embed.unwrap_or(has_numbers) {
        return Ok(VocabConfig::default());
    }
    let usual = (n_tokens / TOKENS_OF_ROW).clamp(*USUAL_ROWS.start(), *USUAL_ROWS.end());
    let n_rows = given.ngram_rows.unwrap_or(usual);
    let min_count = given.ngram_min_count.unwrap_or(MIN_COUNT);
    let refuse = |field, found: usize, expected: String| {
        Err(RunError::Setting { field, found: found.to_string(), expected })
    };
    if !ROWS.contains(&n_rows) {
        return refuse("vocab.ngram_rows", n_rows, format!("{} to {}", ROWS.start(), ROWS.end()));
    }
    if min_count == 0 {
        let expected = "at least 1, which gives every n-gram of the text rows".to_string();
        return refuse("vocab.ngram_min_count", min_count, expected);
    }
    Ok(VocabConfig {
        ngram_embed: true,
        ngram_rows: Some(n_rows),
        ngram_min_count: Some(min_count),
        ..VocabConfig::default()
    })
}

/// Stores which n-grams of the text have rows, if `vocab` asks for n-grams; returns their tables.
///
/// # Errors
/// [`RunError`] if the file cannot be written.
pub(super) fn find(
    vocab: &VocabConfig,
    text: &TokenFile,
    dir: &Path,
) -> Result<Vec<NgramTable>, RunError> {
    let (Some(n_rows), Some(min_count)) = (vocab.ngram_rows, vocab.ngram_min_count) else {
        return Ok(Vec::new());
    };
    let mut ids = vec![0; text.len()];
    text.read(0, &mut ids);
    let heads = ngram_tables(n_rows);
    let ngrams = Ngrams::learn(&heads, &ids, min_count);
    let bytes = ngrams_bytes(&ngrams, &text.origin().tokenizer_hash);
    commit_file(&RealFs, &dir.join(NGRAMS_NAME), &bytes)?;
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_and_count(given: VocabSettings, n_tokens: usize) -> Option<(usize, usize)> {
        let found = resolve(&given, n_tokens).unwrap();
        assert_eq!(found.ngram_embed, found.ngram_rows.is_some());
        found.ngram_rows.zip(found.ngram_min_count)
    }

    #[test]
    fn tables_grow_with_the_text_and_a_given_number_turns_ngrams_on() {
        let given = VocabSettings::default();
        assert_eq!(rows_and_count(given.clone(), 1_000_000), None);
        let wanted = VocabSettings { ngram_embed: Some(true), ..given.clone() };
        for (n_tokens, n_rows) in [(0, 1_000), (2_088_628, 20_886), (1 << 30, 65_536)] {
            assert_eq!(rows_and_count(wanted.clone(), n_tokens), Some((n_rows, MIN_COUNT)));
        }
        let with_count = VocabSettings { ngram_min_count: Some(1), ..given.clone() };
        assert_eq!(rows_and_count(with_count.clone(), 0), Some((1_000, 1)));
        let with_rows = VocabSettings { ngram_rows: Some(64), ..given };
        assert_eq!(rows_and_count(with_rows, 0), Some((64, MIN_COUNT)));
        let refused = VocabSettings { ngram_embed: Some(false), ..with_count };
        assert_eq!(rows_and_count(refused, 0), None);
    }

    #[test]
    fn invalid_numbers_are_refused_by_name() {
        for (n_rows, min_count, parts) in [
            (63, 2, ["vocab.ngram_rows = 63", "64 to 4194304"]),
            (1 << 40, 2, ["vocab.ngram_rows = 1099511627776", "64 to"]),
            (64, 0, ["vocab.ngram_min_count = 0", "at least 1"]),
        ] {
            let given = VocabSettings {
                ngram_rows: Some(n_rows),
                ngram_min_count: Some(min_count),
                ..VocabSettings::default()
            };
            let fault = resolve(&given, 0).unwrap_err().to_string();
            assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
        }
    }
}
