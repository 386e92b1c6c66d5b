//! Prompt: the ids of a text to continue, without the blank at its end.
//!
//! In training a word has the blank before it in its own token, so a blank alone at the end of a
//! prompt is a token that no word follows. It is left to the next token, which must then begin with
//! one: the simplest case of what is called token healing.

use text::tokenizer::Tokenizer;

/// A text to continue, as ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Its ids.
    pub ids: Vec<u32>,
    /// Whether a blank at its end is left to the first token that is written.
    pub owes_blank: bool,
}

impl Prompt {
    /// The prompt `text`, in which names of special tokens are ordinary text.
    pub fn new(tokenizer: &Tokenizer, text: &str) -> Prompt {
        let kept = text.strip_suffix(' ').filter(|_| tokenizer.owns_blanks());
        let ids = tokenizer.encode_ordinary(kept.unwrap_or(text));
        Prompt { ids, owes_blank: kept.is_some() }
    }

    /// Number of tokens at its beginning that a model whose context holds `max_len` does not see.
    pub fn n_left_out(&self, max_len: usize) -> usize {
        if self.ids.len() <= max_len { 0 } else { self.ids.len() - window(max_len) }
    }
}

/// Number of tokens of a longer text that are read at first: all that fit, and one to come.
pub(super) fn window(max_len: usize) -> usize {
    max_len.saturating_sub(1).max(1)
}
