//! Byte-level BPE encoding: tokens are bytes, whole pre-tokens, or merged from bytes.
//!
//! BPE proper merges every pre-token. Word and character level first look up the whole pre-token
//! (`ignore_merges` in tokenizer.json); pre-tokens outside the vocabulary fall back to merged
//! pieces and finally to single bytes. All 256 bytes are tokens, so every text can be encoded
//! losslessly.

use super::bytes;
use super::error::TextError;
use super::merge::{self, MergeQueue, Merges};
use super::pretokenize::SplitRule;
use rustc_hash::FxHashMap;

/// Longest pre-token that is cached, in bytes: longer ones seldom repeat.
const REMEMBERED_LEN_MAX: usize = 64;

/// Largest number of cached pre-tokens, to bound memory.
const N_REMEMBERED_MAX: usize = 1 << 16;

/// The two tokens of a merge, as bytes.
pub(super) type TokenPair = (Box<[u8]>, Box<[u8]>);

/// A vocabulary of byte strings with its split rule and merges.
#[derive(Clone, Debug)]
pub(super) struct ByteBpe {
    pub(super) split: SplitRule,
    /// Whether a pre-token of the vocabulary is one token regardless of the merges.
    pub(super) whole_first: bool,
    tokens: Vec<Box<[u8]>>,
    ids: FxHashMap<Box<[u8]>, u32>,
    byte_ids: Box<[u32; 256]>,
    merges: Merges,
}

impl ByteBpe {
    /// A model over `tokens` (token id = index). Special tokens are never looked up in text and may
    /// have any bytes. `merges` are pairs of tokens in the order in which they were learnt.
    ///
    /// # Errors
    /// [`TextError::Format`] if a token is repeated, a byte is missing, or a merge has a part or a
    /// result that is not a token.
    pub(super) fn new(
        split: SplitRule,
        tokens: Vec<Box<[u8]>>,
        is_special: impl Fn(u32) -> bool,
        merges: &[TokenPair],
    ) -> Result<ByteBpe, TextError> {
        let mut ids: FxHashMap<Box<[u8]>, u32> = FxHashMap::default();
        for (id, token) in (0..).zip(&tokens) {
            if !is_special(id) && ids.insert(token.clone(), id).is_some() {
                let found = format!("{:?} twice", bytes::to_alphabet(token));
                return Err(TextError::format("model.vocab", found, "each token once"));
            }
        }
        let mut byte_ids = Box::new([0; 256]);
        for byte in 0..=255 {
            let id = ids.get([byte].as_slice()).ok_or_else(|| {
                let found = format!("no token for byte 0x{byte:02X}");
                TextError::format("model.vocab", found, "a token for each of the 256 bytes")
            })?;
            byte_ids[byte as usize] = *id;
        }
        let whole_first = split != SplitRule::Gpt2;
        let mut model =
            ByteBpe { split, whole_first, tokens, ids, byte_ids, merges: Merges::default() };
        for (left, right) in merges {
            model.push_merge(left, right)?;
        }
        Ok(model)
    }

    fn push_merge(&mut self, left: &[u8], right: &[u8]) -> Result<(), TextError> {
        let id_of = |token: &[u8]| {
            self.ids.get(token).copied().ok_or_else(|| {
                let field = format!("model.merges[{}]", self.merges.pairs().len());
                let found = format!("{:?}", bytes::to_alphabet(token));
                TextError::format(field, found, "tokens of the vocabulary that form one")
            })
        };
        let pair = (id_of(left)?, id_of(right)?);
        let merged = id_of(&[left, right].concat())?;
        self.merges.push(pair, merged)
    }

    /// The same model with other ids: id `i` is the token that had the id `order[i]`.
    pub(super) fn reordered(&self, order: &[u32], is_special: impl Fn(u32) -> bool) -> ByteBpe {
        let token = |id: u32| self.tokens[id as usize].clone();
        let tokens = order.iter().map(|old| token(*old)).collect();
        let merges = self.merges().iter().map(|(left, right)| (token(*left), token(*right)));
        let merges: Vec<TokenPair> = merges.collect();
        ByteBpe::new(self.split, tokens, is_special, &merges)
            .expect("the tokens and merges of a model, each once")
    }

    /// The bytes of each token, by id.
    pub(super) fn tokens(&self) -> &[Box<[u8]>] {
        &self.tokens
    }

    /// The ordinary (not special) token with these bytes.
    pub(super) fn id_of(&self, bytes: &[u8]) -> Option<u32> {
        self.ids.get(bytes).copied()
    }

    /// The merges, as pairs of token ids, in the order learnt.
    pub(super) fn merges(&self) -> &[(u32, u32)] {
        self.merges.pairs()
    }

    /// An encoder, which caches pre-tokens.
    pub(super) fn encoder<'t>(&self) -> ByteEncoder<'_, 't> {
        ByteEncoder {
            model: self,
            known: FxHashMap::default(),
            known_ids: Vec::new(),
            symbols: Vec::new(),
            queue: MergeQueue::default(),
        }
    }
}

/// Encoder of text `'t` with a model `'m`; caches pre-tokens.
pub(super) struct ByteEncoder<'m, 't> {
    model: &'m ByteBpe,
    /// Start and end of the ids of a cached pre-token in `known_ids`.
    known: FxHashMap<&'t str, (u32, u32)>,
    known_ids: Vec<u32>,
    symbols: Vec<u32>,
    queue: MergeQueue,
}

impl<'t> ByteEncoder<'_, 't> {
    /// Appends the ids of `text`.
    pub(super) fn encode(&mut self, text: &'t str, ids: &mut Vec<u32>) {
        for piece in self.model.split.split(text) {
            self.encode_piece(piece, ids);
        }
    }

    fn encode_piece(&mut self, piece: &'t str, ids: &mut Vec<u32>) {
        if let &[byte] = piece.as_bytes() {
            return ids.push(self.model.byte_ids[byte as usize]);
        }
        if self.model.whole_first
            && let Some(&id) = self.model.ids.get(piece.as_bytes())
        {
            return ids.push(id);
        }
        if let Some(&(start, end)) = self.known.get(piece) {
            return ids.extend_from_slice(&self.known_ids[start as usize..end as usize]);
        }
        let first = ids.len();
        self.merge_piece(piece, ids);
        if piece.len() <= REMEMBERED_LEN_MAX && self.known.len() < N_REMEMBERED_MAX {
            let start = self.known_ids.len() as u32;
            self.known_ids.extend_from_slice(&ids[first..]);
            self.known.insert(piece, (start, self.known_ids.len() as u32));
        }
    }

    fn merge_piece(&mut self, piece: &str, ids: &mut Vec<u32>) {
        for part in piece.as_bytes().chunks(merge::LEN_MAX) {
            self.symbols.clear();
            self.symbols.extend(part.iter().map(|&byte| self.model.byte_ids[byte as usize]));
            self.model.merges.apply(&mut self.symbols, &mut self.queue);
            ids.extend_from_slice(&self.symbols);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(
        split: SplitRule,
        more: &[&str],
        merges: &[(&str, &str)],
    ) -> Result<ByteBpe, TextError> {
        let bytes = (0..=255).map(|byte| Box::from([byte]));
        let tokens = bytes.chain(more.iter().map(|token| token.as_bytes().into())).collect();
        let bytes_of = |&(left, right): &(&str, &str)| -> TokenPair {
            (left.as_bytes().into(), right.as_bytes().into())
        };
        let merges: Vec<TokenPair> = merges.iter().map(bytes_of).collect();
        ByteBpe::new(split, tokens, |_| false, &merges)
    }

    fn encode(model: &ByteBpe, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        model.encoder().encode(text, &mut ids);
        ids
    }

    #[test]
    fn whole_words_take_precedence_over_merges_at_word_level_only() {
        let (more, merges) = (["ab", "bc", "abc"], [("a", "b"), ("b", "c")]);
        let words = model(SplitRule::Words, &more, &merges).unwrap();
        assert_eq!(encode(&words, "abc"), [258]);
        let bpe = model(SplitRule::Gpt2, &more, &merges).unwrap();
        assert_eq!(encode(&bpe, "abc"), [256, 'c' as u32]);
        assert_eq!(encode(&bpe, "abc bcabc"), [256, 99, 32, 257, 256, 99]);
    }

    #[test]
    fn a_model_that_cannot_encode_every_text_is_refused() {
        assert!(model(SplitRule::Gpt2, &["a"], &[]).is_err(), "a token twice");
        assert!(model(SplitRule::Gpt2, &["ab"], &[("a", "bc")]).is_err(), "unknown right");
        assert!(model(SplitRule::Gpt2, &["ab"], &[("b", "a")]).is_err(), "unknown product");
        let tokens = (0..255).map(|byte| Box::from([byte])).collect();
        let missing = ByteBpe::new(SplitRule::Gpt2, tokens, |_| false, &[]);
        assert!(missing.unwrap_err().to_string().contains("0xFF"));
    }
}
