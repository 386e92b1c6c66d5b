//! Word-level training: choice of the words, bytes and pieces in the vocabulary.
//!
//! A blank belongs to the word after it, as in GPT-2: ` house`. Separate blanks would make every
//! text 1.6 to 1.8 times as long, and tokenizer.json cannot express a mark for "no blank here". The
//! cost is that a word that also occurs without a blank (after a line end, a quote, a bracket) has
//! two forms. A form is in the vocabulary only if it occurs `min_count` times itself, so with
//! counts of 2 to 5 second forms are 6 to 12 % of the vocabulary (plays, Wikipedia). Rare forms are
//! spelt by pieces, which both forms share.
//!
//! Clitics (`'s`, `'ll`) are separate words, so that nouns do not need a second form with them.
//! Marks (`\p{M}`) belong to their letter. A run of line ends is one token. A run of punctuation is
//! one token if it is frequent, like any other word.
//!
//! Order of ids: special tokens, words by descending count, bytes that are not words, pieces.

use super::bpe::ByteBpe;
use super::bpe_train::{self, LearntMerges};
use super::count::{self, Counts, LEARNT_LEN_MAX};
use super::error::TextError;
use super::options::TrainOptions;
use super::parallel::Control;
use super::pretokenize::SplitRule;
use super::specials::Specials;
use rustc_hash::FxHashSet;

/// Trains a word-level tokeniser.
pub(super) fn train(
    options: &TrainOptions,
    texts: &[&str],
    specials: &Specials,
    control: &mut Control,
) -> Result<ByteBpe, TextError> {
    let counts = count::count_some(texts, SplitRule::Words, control)?;
    let learnt = learn_pieces(&counts, options.n_pieces(), control)?;
    let tokens = choose(options, &counts, specials, &learnt.tokens);
    ByteBpe::new(SplitRule::Words, tokens, |id| specials.contains(id), &learnt.merges)
}

/// Learns pieces from every distinct word counted once: pieces spell rare and new words, and these
/// resemble other rare words, which are most of the distinct words.
fn learn_pieces(
    counts: &Counts,
    n_pieces: usize,
    control: &Control,
) -> Result<LearntMerges, TextError> {
    let mut once = count::limited(counts);
    once.iter_mut().for_each(|(_, count)| *count = 1);
    bpe_train::learn(&once, 256 + n_pieces, 2, control)
}

/// The tokens by id. A word that is also a byte or a piece needs no further token.
fn choose(
    options: &TrainOptions,
    counts: &Counts,
    specials: &Specials,
    learnt: &[Box<[u8]>],
) -> Vec<Box<[u8]>> {
    let learnt_set: FxHashSet<&[u8]> = learnt.iter().map(|token| &**token).collect();
    let mut n_free = options.vocab_size - specials.tokens().len() - learnt.len();
    let mut tokens: Vec<Box<[u8]>> = specials.bytes().collect();
    let mut chosen: FxHashSet<&[u8]> = FxHashSet::default();
    for &(word, count) in counts {
        let is_learnt = learnt_set.contains(word.as_bytes());
        if count < options.min_count || (n_free == 0 && !is_learnt) {
            break;
        }
        if word.len() <= LEARNT_LEN_MAX {
            n_free -= !is_learnt as usize;
            chosen.insert(word.as_bytes());
            tokens.push(word.as_bytes().into());
        }
    }
    tokens.extend(learnt.iter().filter(|token| !chosen.contains(&***token)).cloned());
    tokens
}

#[cfg(test)]
mod tests {
    use super::super::options::TokenizerKind;
    use super::*;

    fn tokens(text: &str, vocab_size: usize, min_count: u64, n_pieces: usize) -> Vec<String> {
        let options = TrainOptions {
            vocab_size,
            min_count,
            n_pieces: Some(n_pieces),
            ..TrainOptions::new(TokenizerKind::Word)
        };
        let specials = Specials::new(vec![("<|endoftext|>".into(), 0)]);
        let model = train(&options, &[text], &specials, &mut Control::threads(1)).unwrap();
        model.tokens().iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn ids_are_words_by_descending_count_then_bytes_then_pieces() {
        let found = tokens("the cat. the dog, the cow. the the cat", 400, 1, 2);
        assert_eq!(
            found[..9],
            ["<|endoftext|>", " the", " cat", ".", " cow", " dog", ",", "the", "!"]
        );
        // Four words are neither bytes nor pieces; "he" and "the" are learnt as pieces.
        assert_eq!(found.len(), 1 + 256 + 4 + 2);
        assert_eq!(found.last().unwrap(), "he");
    }

    #[test]
    fn the_limits_hold() {
        assert_eq!(tokens("one two two three three three", 260, 1, 0).len(), 260);
        let found = tokens("one two two three three three", 400, 2, 0);
        assert_eq!(found[..4], ["<|endoftext|>", " three", " two", "!"]);
        let long = format!("{0} {0} short short", "x".repeat(300));
        assert!(tokens(&long, 400, 2, 0).iter().all(|token| token.len() < 300));
    }
}
