//! BPE training: merges from the trainer of the `tokenizers` crate, and byte-level BPE proper.

use super::bpe::{ByteBpe, TokenPair};
use super::bytes;
use super::count::{self, Counts};
use super::error::TextError;
use super::options::TrainOptions;
use super::parallel::{Control, apart};
use super::pretokenize::SplitRule;
use super::specials::Specials;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use tokenizers::models::bpe::{BPE, BpeTrainer};

/// Learnt tokens (the 256 bytes in alphabet order, then the results of merges) and merges.
pub(super) struct LearntMerges {
    pub(super) tokens: Vec<Box<[u8]>>,
    /// Pairs of tokens, in the order learnt.
    pub(super) merges: Vec<TokenPair>,
}

/// Trains byte-level BPE with GPT-2's split rule. Special tokens take the first ids.
pub(super) fn train(
    options: &TrainOptions,
    texts: &[&str],
    specials: &Specials,
    control: &mut Control,
) -> Result<ByteBpe, TextError> {
    let counts = count::count_some(texts, SplitRule::Gpt2, control)?;
    let n_specials = specials.tokens().len();
    let learnt = learn(
        &count::limited(&counts),
        options.vocab_size - n_specials,
        options.min_count,
        control,
    )?;
    let tokens = specials.bytes().chain(learnt.tokens.iter().cloned()).collect();
    ByteBpe::new(SplitRule::Gpt2, tokens, |id| specials.contains(id), &learnt.merges)
}

/// Learns at most `n_tokens` tokens, including the 256 bytes, from pre-tokens and their counts. A
/// pair is merged only if it occurs at least `min_count` times.
///
/// # Errors
/// [`TextError::Learn`] if the trainer fails, for which no cause is known; as [`apart`].
pub(super) fn learn(
    counts: &Counts,
    n_tokens: usize,
    min_count: u64,
    control: &Control,
) -> Result<LearntMerges, TextError> {
    let failed = |found: String| TextError::Learn { found };
    let divisor = divisor(counts);
    let trainer = BpeTrainer::builder()
        .vocab_size(n_tokens)
        .min_frequency((min_count / divisor).max(1))
        .show_progress(false)
        .initial_alphabet(bytes::in_alphabet_order().map(bytes::char_of).collect())
        .build();
    let words = counts.iter().filter(|&&(_, count)| count >= divisor);
    let words = words
        .map(|&(word, count)| (bytes::to_alphabet(word.as_bytes()).into(), count / divisor))
        .collect();
    // The trainer does not look whether it should stop.
    let written = apart(control, move || {
        let mut model = BPE::default();
        trainer.do_train(&words, &mut model).map_err(|e| e.to_string())?;
        serde_json::to_vec(&model).map_err(|e| e.to_string())
    })?;
    let written = written.map_err(failed)?;
    let trained: Trained = serde_json::from_slice(&written).map_err(|e| failed(e.to_string()))?;
    let read = |token: &str| {
        let bytes = bytes::from_alphabet(token).map(Vec::into_boxed_slice);
        bytes.ok_or_else(|| failed(format!("token {token:?} is outside the alphabet")))
    };
    let merges = trained.merges.iter().map(|(left, right)| Ok((read(left)?, read(right)?)));
    let mut vocab: Vec<(&String, &u32)> = trained.vocab.iter().collect();
    vocab.sort_unstable_by_key(|&(_, id)| id);
    let tokens = vocab.into_iter().map(|(token, _)| read(token));
    Ok(LearntMerges {
        tokens: tokens.collect::<Result<_, _>>()?,
        merges: merges.collect::<Result<_, _>>()?,
    })
}

/// Divisor of all counts, needed because the trainer sums them in `i32`.
fn divisor(counts: &Counts) -> u64 {
    let n_pairs = |word: &str| word.len().saturating_sub(1) as u64;
    let total: u64 = counts.iter().map(|&(word, count)| n_pairs(word).saturating_mul(count)).sum();
    total.div_ceil(i32::MAX as u64).max(1)
}

/// The trainer's result, read from its JSON: there is no other access to the merges.
#[derive(Deserialize)]
struct Trained {
    vocab: FxHashMap<String, u32>,
    merges: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(learnt: &LearntMerges) -> Vec<String> {
        learnt.tokens[256..].iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect()
    }

    #[test]
    fn the_most_frequent_pairs_are_learnt() {
        let counts = vec![(" low", 5), (" lower", 2), (" newest", 6), (" widest", 3)];
        let learnt = learn(&counts, 256 + 4, 1, &Control::threads(1)).unwrap();
        assert_eq!(strings(&learnt), ["es", "est", "lo", " lo"]);
        assert_eq!(learnt.merges[1], (b"es".as_slice().into(), b"t".as_slice().into()));
        assert_eq!(strings(&learn(&counts, 1000, 8, &Control::threads(1)).unwrap()), ["es", "est"]);
    }

    #[test]
    fn learning_twice_gives_the_same() {
        let text: String = (0..3000u64).map(|i| format!(" {}", i * i * 7919 % 100_003)).collect();
        let counts =
            count::count(&[&text], |t| SplitRule::Gpt2.split(t), &mut Control::threads(2)).unwrap();
        let first = learn(&counts, 1500, 1, &Control::threads(1)).unwrap();
        for _ in 0..3 {
            let again = learn(&counts, 1500, 1, &Control::threads(1)).unwrap();
            assert!(first.tokens == again.tokens && first.merges == again.merges);
        }
    }

    #[test]
    fn counts_beyond_32_bits_are_scaled() {
        let counts = vec![("ab", 1 << 40), ("cd", 1 << 39), ("ef", 1)];
        assert!(divisor(&counts) > 700);
        assert_eq!(strings(&learn(&counts, 1000, 1, &Control::threads(1)).unwrap()), ["ab", "cd"]);
    }
}
