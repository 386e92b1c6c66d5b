//! Composed inputs: token rows plus the rows of the parts of a word.
//!
//! The vector of a token is its own row and the mean of the rows of its parts: stem, affixes, case
//! (fastText's subwords, Bojanowski et al. 2017, arXiv:1607.04606, with morphemes for n-grams). A
//! word spelt by several tokens has parts too. Each of its tokens except the first has the parts of
//! the prefix spelt so far, so the last token has those of the whole word. Earlier tokens must not
//! have them: the model predicts the next token and must not see it.
//!
//! The *input* at a position is therefore a token or a word prefix. Inputs below V are the tokens;
//! the others are the word prefixes added by [`Composer::add_words`].

use super::morphemes::{Codes, Feature, FeatureKind, MorphemeError};
use super::word_spans::{WORD_SPAN_MAX, WordSpans};
use crate::corpus::TokenSource;
use kernels::composed::Composition;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Marks features without a row.
const NO_ROW: u32 = u32::MAX;

/// Number of tokens of a text that are processed at once.
const PIECE_LEN: usize = 1 << 16;

/// Map from token ids to inputs, with the parts of each input.
#[derive(Clone, Debug)]
pub struct Composer {
    known: Arc<Known>,
    /// (I) last token of each input.
    own: Vec<u32>,
    /// (I + 1) offsets of each input's parts in `parts`.
    starts: Vec<u32>,
    /// Row indices into the table of parts.
    parts: Vec<u32>,
    /// The input formed by an input and the token after it.
    longer: FxHashMap<(u32, u32), u32>,
}

/// The data that does not change when words are added.
#[derive(Debug)]
struct Known {
    codes: Codes,
    runs: WordSpans,
    /// The row of each feature.
    rows: Vec<u32>,
}

/// Whether a feature is a part, which has a row. The identity of a token has none: the token's own
/// row represents it.
fn is_part(feature: &Feature) -> bool {
    feature.kind != FeatureKind::Token
}

/// Number of rows of the table of parts for these codes.
pub fn n_parts(codes: &Codes) -> usize {
    codes.features().iter().filter(|feature| is_part(feature)).count()
}

impl Composer {
    /// A composer whose only inputs are the tokens.
    ///
    /// # Errors
    /// [`MorphemeError::Format`] if `codes` has another number of tokens.
    pub fn new(codes: Codes, runs: WordSpans) -> Result<Composer, MorphemeError> {
        let (found, expected) = (codes.n_tokens(), runs.n_tokens());
        if found != expected {
            return Err(MorphemeError::Format {
                field: "codes".to_string(),
                found: format!("{found} codes"),
                expected: format!("{expected}, one for each token of the tokeniser"),
            });
        }
        let mut n_rows = 0;
        let rows = codes.features().iter().map(|feature| {
            let row = if is_part(feature) { n_rows } else { NO_ROW };
            n_rows += u32::from(is_part(feature));
            row
        });
        let known = Known { rows: rows.collect(), codes, runs };
        let mut composer = Composer {
            known: Arc::new(known),
            own: Vec::new(),
            starts: vec![0],
            parts: Vec::new(),
            longer: FxHashMap::default(),
        };
        let known = Arc::clone(&composer.known);
        for id in 0..expected as u32 {
            composer.push(id, known.codes.of(id));
        }
        Ok(composer)
    }

    /// Adds an input with token `own` and the parts in `code`.
    fn push(&mut self, own: u32, code: &[u32]) -> u32 {
        let rows = code.iter().map(|feature| self.known.rows[*feature as usize]);
        self.parts.extend(rows.filter(|row| *row != NO_ROW));
        self.starts.push(self.parts.len() as u32);
        self.own.push(own);
        self.own.len() as u32 - 1
    }

    /// Adds inputs for the words in `ids` that are spelt by several tokens. Known words are not
    /// added again.
    ///
    /// # Panics
    /// If an id is not of the tokeniser.
    pub fn add_words(&mut self, ids: &[u32]) {
        let known = Arc::clone(&self.known);
        let mut before = 0;
        known.runs.find(ids, |t, start| {
            let id = ids[t];
            before = match (start.filter(|start| *start < t), self.longer.get(&(before, id))) {
                (None, _) => id,
                (Some(_), Some(input)) => *input,
                (Some(start), None) => {
                    let (code, _) = known.codes.code_text(&known.runs.spell(&ids[start..=t]));
                    let input = self.push(id, &code);
                    self.longer.insert((before, id), input);
                    input
                }
            };
        });
    }

    /// [`Composer::add_words`] for a whole text.
    pub fn add_words_of<T: TokenSource + ?Sized>(&mut self, tokens: &T) {
        let mut piece = vec![0; PIECE_LEN.min(tokens.len())];
        // Pieces overlap by the longest word, so every word is whole in one of them.
        for start in (0..tokens.len()).step_by(PIECE_LEN - WORD_SPAN_MAX) {
            let piece = &mut piece[..PIECE_LEN.min(tokens.len() - start)];
            tokens.read(start, piece);
            self.add_words(piece);
        }
    }

    /// Writes the inputs (T) of one sequence of ids (T). A word that was not added is read token by
    /// token: padding of a last, short sequence may look like one.
    ///
    /// # Panics
    /// If an id is not of the tokeniser.
    pub fn inputs(&self, ids: &[u32], inputs: &mut [u32]) {
        assert_eq!(ids.len(), inputs.len(), "Composer::inputs: one for each id");
        let n_tokens = self.known.runs.n_tokens() as u32;
        self.known.runs.find(ids, |t, start| {
            // The word prefix before `t`: one token, or an input if it was added.
            let before = start.filter(|start| *start < t).map(|start| (start, inputs[t - 1]));
            let is_met = |&(start, before): &(usize, u32)| start + 1 == t || before >= n_tokens;
            let longer =
                before.filter(is_met).and_then(|(_, before)| self.longer.get(&(before, ids[t])));
            inputs[t] = longer.copied().unwrap_or(ids[t]);
        });
    }

    /// Own rows and parts of all inputs.
    pub fn composition(&self) -> Composition<'_> {
        Composition { own: &self.own, starts: &self.starts, parts: &self.parts }
    }

    /// Number of inputs so far, I.
    pub fn n_inputs(&self) -> usize {
        self.own.len()
    }

    /// Number of rows of the table of parts.
    pub fn n_parts(&self) -> usize {
        n_parts(&self.known.codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Stems *run*, *sit* and an affix; tokens that spell ` runs`, `running` and so on.
    fn composer() -> Composer {
        let tokens = ["<end>", " run", " runs", "s", "ning", " si", "t", ","];
        let features = [
            ("stem", "run"),
            ("suffix", "s"),
            ("stem", "sit"),
            ("token", "<end>"),
            ("class", "special"),
            ("joint", ""),
            ("suffix", "ing"),
            ("token", ","),
        ];
        let codes = json!({
            "form": 1,
            "features": features,
            "codes": [[3, 4], [0], [0, 1], [1, 5], [5], [], [5], [5, 7]],
            "affixes": [[1, 1.0], [6, 1.0]],
            "changes": [],
            "nats_per_char": 3.0,
            "join_nats": 5.0,
            "has_blanks": true,
        });
        let tokens = tokens.iter().map(|token| (token.as_bytes(), *token == "<end>"));
        let codes = Codes::from_json(&codes).unwrap();
        Composer::new(codes, WordSpans::of_tokens(tokens)).unwrap()
    }

    /// Own row and parts of every position.
    fn made_of(composer: &Composer, ids: &[u32]) -> Vec<(u32, Vec<u32>)> {
        let mut inputs = vec![0; ids.len()];
        composer.inputs(ids, &mut inputs);
        let Composition { own, starts, parts } = composer.composition();
        let one = |input: usize| {
            let parts = &parts[starts[input] as usize..starts[input + 1] as usize];
            (own[input], parts.to_vec())
        };
        inputs.iter().map(|input| one(*input as usize)).collect()
    }

    #[test]
    fn tokens_have_the_rows_of_their_parts_but_none_for_their_identity() {
        let composer = composer();
        assert_eq!((composer.n_inputs(), composer.n_parts()), (8, 6));
        let found = made_of(&composer, &[0, 1, 2, 7]);
        // Features after that of the token `<end>` have a row one below their number.
        assert_eq!(found, [(0, vec![3]), (1, vec![0]), (2, vec![0, 1]), (7, vec![4])]);
    }

    /// A token has the parts of the prefix that it completes, never later ones.
    #[test]
    fn tokens_of_a_spelt_word_have_the_parts_of_the_prefix_so_far() {
        let mut composer = composer();
        let ids = [0, 5, 6, 3, 7, 1, 3, 0, 6, 3];
        composer.add_words(&ids);
        let found = made_of(&composer, &ids);
        assert_eq!(found[1], (5, vec![]), " si");
        assert_eq!(found[2], (6, vec![2]), " sit");
        assert_eq!(found[3], (3, vec![1, 2]), " sits");
        assert_eq!(found[6], (3, vec![0, 1]), " run and s are the parts of runs");
        assert_eq!(found[8..], [(6, vec![4]), (3, vec![1, 4])], "ts has no known stem");
        let known = composer.n_inputs();
        composer.add_words(&ids);
        assert_eq!(composer.n_inputs(), known);
    }

    /// The input at a position depends neither on later tokens nor on other words added.
    #[test]
    fn inputs_do_not_depend_on_later_tokens() {
        let ids = [1, 3, 7, 5, 6, 3, 3, 0, 3, 4, 1];
        let (fresh, mut other) = (composer(), composer());
        other.add_words(&[7, 6, 4, 3]);
        other.add_words(&ids);
        let whole = made_of(&other, &ids);
        for n in 1..ids.len() {
            let mut composer = fresh.clone();
            composer.add_words(&ids[..n]);
            assert_eq!(made_of(&composer, &ids[..n]), whole[..n], "{n}");
        }
    }

    #[test]
    fn a_long_text_is_read_in_pieces_that_miss_no_word() {
        let text: Vec<u32> =
            (0..2 * PIECE_LEN + 7).map(|t| [1, 3, 3, 4][t * 7919 % 13 % 4]).collect();
        let mut composer = composer();
        composer.add_words_of(&text[..]);
        let (n_met, found) = (composer.n_inputs(), made_of(&composer, &text));
        composer.add_words(&text);
        assert_eq!(composer.n_inputs(), n_met);
        assert_eq!(made_of(&composer, &text), found);
    }

    #[test]
    fn words_that_were_not_added_are_read_token_by_token() {
        let mut composer = composer();
        composer.add_words(&[1, 3, 7, 7, 3, 6]);
        let found = made_of(&composer, &[1, 4, 3, 6]);
        let tokens = [1, 4, 3, 6].map(|id| made_of(&composer, &[id])[0].clone());
        assert_eq!(found, tokens);
    }

    #[test]
    fn codes_of_another_vocabulary_are_refused() {
        let composer = composer();
        let runs = WordSpans::of_tokens([(&b"a"[..], false)].into_iter());
        let codes = composer.known.codes.clone();
        let error = Composer::new(codes, runs).unwrap_err().to_string();
        assert!(error.contains("found 8 codes, expected 1, one for each token"), "{error}");
    }
}
