//! Word list of pre-tokenised text: words between blanks, `<eos>` for each end of line.
//!
//! For corpora that are published as tokens, such as WikiText: each word between blanks is a token,
//! `<unk>` in the text is the unknown word, and the vocabulary of the training text is exactly that
//! of the literature. Decoded text has single blanks.
//!
//! Order of ids: descending count, special tokens included.

use super::count;
use super::error::TextError;
use super::options::TrainOptions;
use super::parallel::Control;
use super::specials::{END_OF_LINE, Specials, TextPart, UNKNOWN};
use rustc_hash::FxHashMap;

/// A vocabulary of words.
#[derive(Clone, Debug)]
pub(super) struct WordList {
    words: Vec<Box<str>>,
    ids: FxHashMap<Box<str>, u32>,
    end_of_line: u32,
    unknown: u32,
}

impl WordList {
    /// A model over `words` (id = index), including the special tokens.
    ///
    /// # Errors
    /// [`TextError::Format`] if a word is repeated, or `<eos>` or `<unk>` is missing.
    pub(super) fn new(words: Vec<Box<str>>) -> Result<WordList, TextError> {
        let mut ids: FxHashMap<Box<str>, u32> = FxHashMap::default();
        for (id, word) in (0..).zip(&words) {
            if ids.insert(word.clone(), id).is_some() {
                let found = format!("{word:?} twice");
                return Err(TextError::format("model.vocab", found, "each word once"));
            }
        }
        let id_of = |name: &str| {
            let missing =
                || TextError::format("model.vocab", format!("no {name}"), "<eos> and <unk>");
            ids.get(name).copied().ok_or_else(missing)
        };
        let (end_of_line, unknown) = (id_of(END_OF_LINE)?, id_of(UNKNOWN)?);
        Ok(WordList { words, ids, end_of_line, unknown })
    }

    /// The same words with other ids: id `i` is the word that had the id `order[i]`.
    pub(super) fn reordered(&self, order: &[u32]) -> WordList {
        let words = order.iter().map(|old| self.words[*old as usize].clone()).collect();
        WordList::new(words).expect("the words of a list, each once")
    }

    /// The words, by id.
    pub(super) fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// The id of a word of the list.
    pub(super) fn id_of(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// The id of `<eos>`.
    pub(super) fn end_of_line(&self) -> u32 {
        self.end_of_line
    }

    /// Appends the ids of `text`.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let id_or_unknown = |word| self.id_of(word).unwrap_or(self.unknown);
        for line in text.split_inclusive('\n') {
            ids.extend(line.split_whitespace().map(id_or_unknown));
            if line.ends_with('\n') {
                ids.push(self.end_of_line);
            }
        }
    }
}

/// Trains: counts words, and assigns ids by descending count. Dropped words count as `<unk>`.
pub(super) fn train(
    options: &TrainOptions,
    texts: &[&str],
    specials: &Specials,
    control: &mut Control,
) -> Result<(WordList, Specials), TextError> {
    let words = count::count(texts, specials, str::split_whitespace, control)?;
    let mut counts = count_specials(texts, specials, control)?;
    if words.is_empty() && counts.iter().all(|&(_, count)| count == 0) {
        return Err(TextError::NoWords { min_count: 1 });
    }
    let n_words = options.vocab_size - counts.len();
    let is_kept = |&&(_, count): &&(&str, u64)| count >= options.min_count;
    let kept = words.iter().take(n_words).take_while(is_kept).count();
    let n_dropped: u64 = words[kept..].iter().map(|(_, count)| count).sum();
    for (name, count) in &mut counts {
        *count += if name == UNKNOWN { n_dropped } else { 0 };
    }

    let names = counts.iter().map(|(name, count)| (name.as_str(), *count));
    let mut all: Vec<(&str, u64)> = words[..kept].iter().copied().chain(names).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let model = WordList::new(all.iter().map(|&(word, _)| word.into()).collect())?;
    let with_id = |(name, _): &(String, u64)| (name.clone(), model.ids[name.as_str()]);
    let specials = Specials::new(counts.iter().map(with_id).collect());
    Ok((model, specials))
}

/// Number of occurrences of each special token in the text; `<eos>` also counts line ends.
fn count_specials(
    texts: &[&str],
    specials: &Specials,
    control: &mut Control,
) -> Result<Vec<(String, u64)>, TextError> {
    let names = specials.tokens();
    let mut counts: Vec<(String, u64)> = names.iter().map(|(name, _)| (name.clone(), 0)).collect();
    let is_end_of_line: Vec<bool> = names.iter().map(|(name, _)| name == END_OF_LINE).collect();
    for text in texts {
        control.check()?;
        for part in specials.split(text) {
            match part {
                TextPart::Text(text) => {
                    let n_lines = text.bytes().filter(|&byte| byte == b'\n').count() as u64;
                    for ((_, count), is_end) in counts.iter_mut().zip(&is_end_of_line) {
                        *count += if *is_end { n_lines } else { 0 };
                    }
                }
                // Before training, the id of a special token is its index in the list.
                TextPart::Special(id) => counts[id as usize].1 += 1,
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::super::options::TokenizerKind;
    use super::*;

    fn trained(text: &str, vocab_size: usize, min_count: u64) -> WordList {
        let kind = TokenizerKind::Split;
        let options = TrainOptions { vocab_size, min_count, ..TrainOptions::new(kind) };
        let names = options.special_names().into_iter().zip(0..).collect();
        let specials = Specials::new(names);
        train(&options, &[text], &specials, &mut Control::threads(1)).unwrap().0
    }

    fn words(model: &WordList) -> Vec<&str> {
        model.words().iter().map(|word| &**word).collect()
    }

    #[test]
    fn ids_fall_with_counts_and_special_tokens_count() {
        let text = " a b a <unk> c\n \n a <unk> b\n";
        assert_eq!(words(&trained(text, 100, 1)), ["<eos>", "a", "<unk>", "b", "c"]);
        // Two distinct words with three occurrences are dropped, which makes five <unk>.
        assert_eq!(words(&trained(text, 3, 1)), ["<unk>", "<eos>", "a"]);
        assert_eq!(words(&trained(text, 100, 2)), ["<eos>", "<unk>", "a", "b"]);
    }

    #[test]
    fn words_and_line_ends_are_encoded() {
        let model = trained("a b\n\n c", 100, 1);
        let mut ids = Vec::new();
        model.encode("c  a\t\r\n\n d b", &mut ids);
        let found: Vec<&str> = ids.iter().map(|&id| &*model.words()[id as usize]).collect();
        assert_eq!(found, ["c", "a", "<eos>", "<eos>", "<unk>", "b"]);
    }
}
