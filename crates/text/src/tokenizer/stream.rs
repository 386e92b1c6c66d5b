//! Streaming decoder: text from tokens one at a time, during generation.

use super::any_kind::{Tokenizer, VocabularyModel};

/// Decoder of ids one by one. Bytes of an incomplete character are held back until the rest
/// arrives. The concatenated output equals [`Tokenizer::decode`] of all ids.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// Bytes of an incomplete character.
    pending: Vec<u8>,
    /// Whether the next word needs a blank before it; in pre-tokenised text only.
    is_inside_line: bool,
}

impl<'a> StreamDecoder<'a> {
    /// A decoder at the beginning of a text. To continue a prompt, push the prompt's ids first and
    /// discard their text.
    pub fn new(tokenizer: &'a Tokenizer) -> StreamDecoder<'a> {
        StreamDecoder { tokenizer, pending: Vec::new(), is_inside_line: false }
    }

    /// The text completed by this token. An unknown id gives no text; bytes that are not UTF-8 give
    /// U+FFFD.
    pub fn push(&mut self, id: u32) -> String {
        self.append_bytes(id);
        self.take_complete()
    }

    /// The rest: U+FFFD if the ids end inside a character.
    pub fn finish(mut self) -> String {
        self.take_all()
    }

    /// Adds the bytes of a token to those pending.
    pub(super) fn append_bytes(&mut self, id: u32) {
        match &self.tokenizer.model {
            VocabularyModel::Bytes(model) => {
                if let Some(token) = model.tokens().get(id as usize) {
                    self.pending.extend_from_slice(token);
                }
            }
            VocabularyModel::Words(model) => {
                let Some(word) = model.words().get(id as usize) else { return };
                if id == model.end_of_line() {
                    self.pending.push(b'\n');
                    self.is_inside_line = false;
                } else {
                    if self.is_inside_line {
                        self.pending.push(b' ');
                    }
                    self.pending.extend_from_slice(word.as_bytes());
                    self.is_inside_line = true;
                }
            }
        }
    }

    /// Takes everything pending.
    pub(super) fn take_all(&mut self) -> String {
        let bytes = std::mem::take(&mut self.pending);
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into())
    }

    /// Takes everything pending except an incomplete character at the end.
    fn take_complete(&mut self) -> String {
        let mut text = String::new();
        let mut n_taken = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            n_taken += chunk.valid().len();
            let invalid = chunk.invalid();
            if invalid.is_empty() || may_go_on(invalid) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            n_taken += invalid.len();
        }
        self.pending.drain(..n_taken);
        text
    }
}

/// Whether these invalid bytes could become a character if more follow.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
