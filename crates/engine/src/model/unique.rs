//! The different inputs of a micro-batch: what depends on the input alone is computed once for each.
//!
//! That is the first block's norm, its query-key-value product and its norm of queries and keys,
//! all of which stand before positions come in. Text repeats its tokens (of 1,024 tokens of English
//! words about 40 % are different, of characters 5 %), so the product has fewer rows; its results
//! are spread to the places of their tokens. In the backward pass the gradients of a token's places
//! are summed, in ascending order, and go through the product once: exact, since the product is
//! linear. An input is a token, or where vectors are composed perhaps a word. The same idea for
//! inference: Graef, "Transformer tricks: precomputing the first layer", 2024, arXiv:2402.13388.

use kernels::AlignedVec;

/// The different tokens of the micro-batch at hand.
#[derive(Debug)]
pub struct UniqueTokens {
    /// (N) the first `len` are the different ids, in the order in which they come.
    ids: AlignedVec<u32>,
    /// (N) for every place, which of `ids` stands there.
    index: AlignedVec<u32>,
    /// (I) for every id, its place in `ids` plus one, or 0 if it is not among them.
    place: AlignedVec<u32>,
    len: usize,
    n_rows: usize,
}

impl UniqueTokens {
    /// Room for micro-batches of up to `n_rows` inputs out of `n_inputs`.
    pub fn new(n_rows: usize, n_inputs: usize) -> UniqueTokens {
        UniqueTokens {
            ids: AlignedVec::zeroed(n_rows),
            index: AlignedVec::zeroed(n_rows),
            place: AlignedVec::zeroed(n_inputs),
            len: 0,
            n_rows: 0,
        }
    }

    /// Finds the different ones of `tokens`.
    ///
    /// # Panics
    /// If there are more than there is room for, or one is not below the number of inputs.
    pub fn find(&mut self, tokens: &[u32]) {
        assert!(tokens.len() <= self.index.len(), "UniqueTokens::find: more tokens than rows");
        for id in &self.ids[..self.len] {
            self.place[*id as usize] = 0;
        }
        self.len = 0;
        self.n_rows = tokens.len();
        for (index, &token) in self.index.iter_mut().zip(tokens) {
            let place = &mut self.place[token as usize];
            if *place == 0 {
                self.ids[self.len] = token;
                self.len += 1;
                *place = self.len as u32;
            }
            *index = *place - 1;
        }
    }

    /// (U) the different ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }

    /// (N) for every place, which of [`Self::ids`] stands there.
    pub fn index(&self) -> &[u32] {
        &self.index[..self.n_rows]
    }

    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        (self.ids.len() + self.index.len() + self.place.len()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_finds_its_token() {
        let mut unique = UniqueTokens::new(8, 10);
        for tokens in [&[3, 3, 7, 3, 0, 9, 7, 0][..], &[9, 9], &[], &[0, 1, 2, 3, 4, 5, 6, 7]] {
            unique.find(tokens);
            let mut expected: Vec<u32> = Vec::new();
            for token in tokens {
                if !expected.contains(token) {
                    expected.push(*token);
                }
            }
            assert_eq!(unique.ids(), expected);
            let spread: Vec<u32> =
                unique.index().iter().map(|i| unique.ids()[*i as usize]).collect();
            assert_eq!(spread, tokens);
        }
    }

    #[test]
    #[should_panic(expected = "more tokens than rows")]
    fn too_many_tokens_are_refused() {
        UniqueTokens::new(2, 10).find(&[1, 2, 3]);
    }
}
