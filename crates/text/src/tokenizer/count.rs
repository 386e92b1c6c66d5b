//! Pre-token counts of a text.

use super::error::TextError;
use super::parallel::{Control, map_texts};
use super::pretokenize::SplitRule;
use rustc_hash::FxHashMap;

/// Longest pre-token in training, in bytes. Longer ones (a drawn line, a sentence without blanks)
/// are cut into parts of this length, which bounds tokens and memory.
pub(super) const LEARNT_LEN_MAX: usize = 256;

/// Largest number of distinct pre-tokens in training: the most frequent ones. The rest is noise,
/// and learning merges takes a few hundred bytes for each.
pub(super) const N_LEARNT_MAX: usize = 1 << 21;

/// Distinct pre-tokens with their counts, by descending count, then ascending bytes.
pub(super) type Counts<'t> = Vec<(&'t str, u64)>;

/// Counts the pre-tokens into which `split` cuts the texts.
///
/// Memory is proportional to the number of distinct pre-tokens; the text is not copied. The result
/// does not depend on the number of threads.
///
/// # Errors
/// [`TextError::Cancelled`].
pub(super) fn count<'t, I: Iterator<Item = &'t str>>(
    texts: &[&'t str],
    split: impl Fn(&'t str) -> I + Sync,
    control: &mut Control,
) -> Result<Counts<'t>, TextError> {
    let mut total: FxHashMap<&str, u64> = FxHashMap::default();
    let count_chunks = |(): &mut (), chunks: &[&'t str]| {
        let mut counts: FxHashMap<&str, u64> = FxHashMap::default();
        for chunk in chunks {
            split(chunk).for_each(|piece| *counts.entry(piece).or_default() += 1);
        }
        counts
    };
    let add = |counts| {
        for (piece, count) in counts {
            *total.entry(piece).or_default() += count;
        }
        Ok::<_, TextError>(())
    };
    map_texts(texts, control, || (), count_chunks, add)?;
    Ok(in_order(total.into_iter().collect()))
}

/// [`count`] with a split rule, for texts with at least one pre-token.
///
/// # Errors
/// [`TextError::NoWords`], [`TextError::Cancelled`].
pub(super) fn count_some<'t>(
    texts: &[&'t str],
    rule: SplitRule,
    control: &mut Control,
) -> Result<Counts<'t>, TextError> {
    let counts = count(texts, |text| rule.split(text), control)?;
    if counts.is_empty() {
        return Err(TextError::NoWords { min_count: 1 });
    }
    control.check()?;
    Ok(counts)
}

/// Counts to learn merges from: parts of at most [`LEARNT_LEN_MAX`] bytes, at most
/// [`N_LEARNT_MAX`] of them.
pub(super) fn limited<'t>(counts: &Counts<'t>) -> Counts<'t> {
    let mut total: FxHashMap<&str, u64> = FxHashMap::default();
    for &(piece, count) in counts {
        let mut rest = piece;
        while !rest.is_empty() {
            let mut end = rest.len().min(LEARNT_LEN_MAX);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (part, after) = rest.split_at(end);
            *total.entry(part).or_default() += count;
            rest = after;
        }
    }
    let mut limited = in_order(total.into_iter().collect());
    limited.truncate(N_LEARNT_MAX);
    limited
}

fn in_order(mut counts: Counts<'_>) -> Counts<'_> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_do_not_depend_on_threads_or_on_how_text_is_cut() {
        let text = "a b a c ".repeat(200_000);
        let expected = vec![("a", 400_000), ("b", 200_000), ("c", 200_000)];
        for threads in [1, 2, 5] {
            let split = str::split_whitespace;
            let found = count(&[&text], split, &mut Control::threads(threads)).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn long_pretokens_are_learnt_in_parts() {
        let (long, short) = ("é".repeat(300), "éé");
        let counts = vec![(long.as_str(), 3), (short, 1)];
        let part = "é".repeat(128);
        let rest = "é".repeat(44);
        assert_eq!(limited(&counts), [(part.as_str(), 6), (rest.as_str(), 3), (short, 1)]);
    }
}
