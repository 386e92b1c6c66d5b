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
use super::parallel::{Control, map_texts};
use super::specials::{END_OF_LINE, Specials, UNKNOWN};
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

    /// The id of `<unk>`.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Appends the ids of `text`.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        // A line end is not written as a word.
        let is_word = |id: &u32| *id != self.end_of_line;
        let id_or_unknown = |word| self.id_of(word).filter(is_word).unwrap_or(self.unknown);
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
    let mut words = count::count(texts, str::split_whitespace, control)?;
    // `<unk>` is what a text writes for an unknown word; other special names are unknown words.
    let is_word = |(word, _): &(&str, u64)| specials.id_of(word).is_none();
    let n_all: u64 = words.iter().map(|(_, count)| count).sum();
    words.retain(is_word);
    let n_lines = count_line_ends(texts, control)?;
    if n_all == 0 && n_lines == 0 {
        return Err(TextError::NoWords { min_count: 1 });
    }
    let n_words = options.vocab_size - specials.tokens().len();
    let is_kept = |&&(_, count): &&(&str, u64)| count >= options.min_count;
    let kept = words.iter().take(n_words).take_while(is_kept).count();
    let n_kept: u64 = words[..kept].iter().map(|(_, count)| count).sum();
    let count_of = |name: &str| match name {
        END_OF_LINE => n_lines,
        UNKNOWN => n_all - n_kept,
        _ => 0,
    };
    let counts = specials.tokens().iter().map(|(name, _)| (name.clone(), count_of(name)));
    let counts: Vec<(String, u64)> = counts.collect();

    let names = counts.iter().map(|(name, count)| (name.as_str(), *count));
    let mut all: Vec<(&str, u64)> = words[..kept].iter().copied().chain(names).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let model = WordList::new(all.iter().map(|&(word, _)| word.into()).collect())?;
    let with_id = |(name, _): &(String, u64)| (name.clone(), model.ids[name.as_str()]);
    let specials = Specials::new(counts.iter().map(with_id).collect());
    Ok((model, specials))
}

/// Number of line ends.
fn count_line_ends(texts: &[&str], control: &mut Control) -> Result<u64, TextError> {
    let mut total = 0;
    let count = |(): &mut (), chunks: &[&str]| {
        chunks.iter().flat_map(|chunk| chunk.bytes()).filter(|byte| *byte == b'\n').count() as u64
    };
    map_texts(
        texts,
        control,
        || (),
        count,
        |n| {
            total += n;
            Ok::<_, TextError>(())
        },
    )?;
    Ok(total)
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
