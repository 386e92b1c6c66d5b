//! Target counts: how much text the targets of a token sequence stand for.

use crate::corpus::TokenSource;
use crate::tokenizer::Tokenizer;
use kernels::cross_entropy::IGNORE;

/// Bytes and unknown words of targets: of all tokens but the first and those that mark a beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Number of targets.
    pub n_tok: usize,
    /// Bytes of text that they stand for.
    pub n_bytes: usize,
    /// Targets that stand for any unknown word, so that the text is lost.
    pub n_unknown: usize,
}

impl TargetCounts {
    /// Counts those targets for whose position `is_counted`.
    pub fn of<S: TokenSource + ?Sized>(
        tokens: &S,
        tokenizer: &Tokenizer,
        is_counted: impl Fn(usize) -> bool,
    ) -> TargetCounts {
        let (mut counts, mut targets) = (TargetCounts::default(), [0; 4096]);
        for start in (1..tokens.len()).step_by(targets.len()) {
            let targets = &mut targets[..(tokens.len() - start).min(4096)];
            tokens.read(start, targets);
            tokens.hide_beginnings(start, targets);
            for (_, &id) in
                (start..).zip(&*targets).filter(|&(at, id)| *id != IGNORE && is_counted(at))
            {
                counts.n_tok += 1;
                counts.n_bytes += tokenizer.token_bytes(id);
                counts.n_unknown += usize::from(tokenizer.unknown_id() == Some(id));
            }
        }
        counts
    }

    /// Share of the targets that stand for unknown words, from 0 to 1.
    pub fn unknown_share(&self) -> f64 {
        self.n_unknown as f64 / self.n_tok.max(1) as f64
    }

    /// Bits per byte of text, given the loss of all targets in nats; `None` where text is lost,
    /// because unknown words are easy to predict and would count as text.
    pub fn bits_per_byte(&self, nats: f64) -> Option<f64> {
        (self.n_unknown == 0).then(|| nats / std::f64::consts::LN_2 / self.n_bytes.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Control, Document, TokenizerKind, TrainOptions};

    fn counts(kind: TokenizerKind, learnt: &str, text: &str) -> TargetCounts {
        let options = TrainOptions { vocab_size: 400, min_count: 1, ..TrainOptions::new(kind) };
        let tokenizer = Tokenizer::train(&options, &[learnt], &mut Control::threads(1)).unwrap();
        let document = Document { text, ends: true };
        let encoded = tokenizer.encode_all(&[document], false, &mut Control::threads(1)).unwrap();
        TargetCounts::of(&encoded, &tokenizer, |_| true)
    }

    #[test]
    fn every_byte_is_counted_and_no_mark() {
        let text = "One day.\n\nTwo days, and more of them.\n".repeat(1000);
        for kind in [TokenizerKind::Word, TokenizerKind::Bpe, TokenizerKind::Char] {
            let found = counts(kind, &text, &text);
            assert_eq!((found.n_bytes, found.n_unknown), (text.len(), 0), "{kind}");
        }
        let found = counts(TokenizerKind::Char, &text, &text);
        assert_eq!(found.n_tok, text.len() + 1, "every character and the end");
        assert_eq!(
            found.bits_per_byte(2.0 * std::f64::consts::LN_2 * text.len() as f64),
            Some(2.0)
        );
    }

    #[test]
    fn unknown_words_leave_no_bits_per_byte() {
        let known = counts(TokenizerKind::Split, "a b c\n", "a b\n");
        assert_eq!((known.n_tok, known.n_bytes, known.unknown_share()), (3, 5, 0.0));
        let lost = counts(TokenizerKind::Split, "a b c\n", "a x y\n");
        assert_eq!((lost.n_unknown, lost.unknown_share(), lost.bits_per_byte(1.0)), (2, 0.5, None));
    }
}
