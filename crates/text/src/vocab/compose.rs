//! What input vectors are made of, where words are composed of their parts.
//!
//! The vector of a token is its own row and the mean of the rows of its parts: stem, affixes, case
//! (fastText's subwords, Bojanowski et al. 2017, arXiv:1607.04606, with morphemes for n-grams). A
//! word that is spelt by several tokens has parts too: each of its tokens but the first carries
//! those of what is spelt so far, so that the last has the whole word's. The first could not: a
//! model that predicts the next token must not see it.
//!
//! What stands at a place is thus a token, or a word so far. Both are numbered as *inputs*: those
//! below V are the tokens, the others the words that [`Composer::add_words`] has met.

use super::morphemes::{Codes, Feature, FeatureKind, MorphemeError};
use super::runs::{RUN_MAX, WordRuns};
use crate::corpus::TokenSource;
use kernels::composed::Composition;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Stands for features that have no row.
const NO_ROW: u32 = u32::MAX;

/// Tokens of a text that are looked at together.
const PIECE_LEN: usize = 1 << 16;

/// Turns token ids into inputs, and knows the parts of each.
#[derive(Clone, Debug)]
pub struct Composer {
    known: Arc<Known>,
    /// (I) the token of each input.
    own: Vec<u32>,
    /// (I + 1) where the parts of each input begin.
    starts: Vec<u32>,
    /// Rows of the table of parts.
    parts: Vec<u32>,
    /// The input that an input and a token after it make.
    longer: FxHashMap<(u32, u32), u32>,
}

/// What does not change as words are met.
#[derive(Debug)]
struct Known {
    codes: Codes,
    runs: WordRuns,
    /// The row of each feature.
    rows: Vec<u32>,
}

/// Whether a feature is a part, which has a row. That a token is itself its own row says.
fn is_part(feature: &Feature) -> bool {
    feature.kind != FeatureKind::Token
}

/// Rows of the table of parts that these codes need.
pub fn n_parts(codes: &Codes) -> usize {
    codes.features().iter().filter(|feature| is_part(feature)).count()
}

impl Composer {
    /// A composer of the tokens, and of no other words yet.
    ///
    /// # Errors
    /// [`MorphemeError::Format`] if the codes are not those of as many tokens.
    pub fn new(codes: Codes, runs: WordRuns) -> Result<Composer, MorphemeError> {
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

    /// A new input, of token `own` and the parts in `code`.
    fn push(&mut self, own: u32, code: &[u32]) -> u32 {
        let rows = code.iter().map(|feature| self.known.rows[*feature as usize]);
        self.parts.extend(rows.filter(|row| *row != NO_ROW));
        self.starts.push(self.parts.len() as u32);
        self.own.push(own);
        self.own.len() as u32 - 1
    }

    /// Makes inputs of the words in `ids` that are spelt by several tokens. Words that are there
    /// already cost nothing.
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

    /// The same for a whole text of tokens.
    pub fn add_words_of<T: TokenSource + ?Sized>(&mut self, tokens: &T) {
        let mut piece = vec![0; PIECE_LEN.min(tokens.len())];
        // Pieces overlap by a word, so that each is whole in one of them.
        for start in (0..tokens.len()).step_by(PIECE_LEN - RUN_MAX) {
            let piece = &mut piece[..PIECE_LEN.min(tokens.len() - start)];
            tokens.read(start, piece);
            self.add_words(piece);
        }
    }

    /// Writes the inputs that stand for the ids of one sequence. A word that
    /// [`Composer::add_words`] did not meet is taken token by token: what fills up a last, short
    /// sequence may look like one.
    ///
    /// # Panics
    /// If an id is not of the tokeniser.
    pub fn inputs(&self, ids: &[u32], inputs: &mut [u32]) {
        assert_eq!(ids.len(), inputs.len(), "Composer::inputs: one for each id");
        let n_tokens = self.known.runs.n_tokens() as u32;
        self.known.runs.find(ids, |t, start| {
            // The word up to here: one token, or an input of its own if it was met.
            let before = start.filter(|start| *start < t).map(|start| (start, inputs[t - 1]));
            let is_met = |&(start, before): &(usize, u32)| start + 1 == t || before >= n_tokens;
            let longer =
                before.filter(is_met).and_then(|(_, before)| self.longer.get(&(before, ids[t])));
            inputs[t] = longer.copied().unwrap_or(ids[t]);
        });
    }

    /// What inputs are made of.
    pub fn composition(&self) -> Composition<'_> {
        Composition { own: &self.own, starts: &self.starts, parts: &self.parts }
    }

    /// Inputs so far, I.
    pub fn n_inputs(&self) -> usize {
        self.own.len()
    }

    /// Rows of the table of parts.
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
        Composer::new(codes, WordRuns::of_tokens(tokens)).unwrap()
    }

    /// Own row and parts of every place.
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
    fn tokens_have_the_rows_of_their_parts_but_none_of_themselves() {
        let composer = composer();
        assert_eq!((composer.n_inputs(), composer.n_parts()), (8, 6));
        let found = made_of(&composer, &[0, 1, 2, 7]);
        // Features behind the token `<end>` have a row less than their number.
        assert_eq!(found, [(0, vec![3]), (1, vec![0]), (2, vec![0, 1]), (7, vec![4])]);
    }

    /// The parts of a word come with the token that completes them, never before.
    #[test]
    fn a_spelt_word_has_the_parts_of_what_is_spelt_so_far() {
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

    /// What stands at a place does not depend on what follows it, nor on what else was met.
    #[test]
    fn nothing_looks_ahead() {
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
    fn words_that_were_not_met_are_taken_token_by_token() {
        let mut composer = composer();
        composer.add_words(&[1, 3, 7, 7, 3, 6]);
        let found = made_of(&composer, &[1, 4, 3, 6]);
        let tokens = [1, 4, 3, 6].map(|id| made_of(&composer, &[id])[0].clone());
        assert_eq!(found, tokens);
    }

    #[test]
    fn codes_of_another_vocabulary_are_refused() {
        let composer = composer();
        let runs = WordRuns::of_tokens([(&b"a"[..], false)].into_iter());
        let codes = composer.known.codes.clone();
        let error = Composer::new(codes, runs).unwrap_err().to_string();
        assert!(error.contains("found 8 codes, expected 1, one for each token"), "{error}");
    }
}
