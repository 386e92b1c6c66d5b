//! Words similar to a word: by shared primes, and by embedding.

use super::{Vocabulary, VocabularyError};
use crate::formats::ModelFolderError;
use crate::nearest::{DotTable, normalise};
use lattice::{CodeIndex, FactorCode, Neighbour, Searcher};
use serde::Serialize;
use std::time::{Duration, Instant};
use text::vocab::{Parts, all_shown};

/// The word to search for.
#[derive(Clone, Debug)]
pub struct Query {
    /// The word as given.
    pub word: String,
    /// Its token; `None` for a word outside the vocabulary.
    pub id: Option<u32>,
    /// The product of the primes of its parts; `None` if tokens have no parts.
    pub code: Option<FactorCode>,
    /// Its parts, for display.
    pub parts: Vec<String>,
}

/// A token that shares primes with the word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByCode {
    /// The token.
    pub id: u32,
    /// The token, for display.
    pub word: String,
    /// `log gcd / log lcm` of the two codes.
    pub similarity: f64,
    /// The parts that both words have, for display.
    pub shared: Vec<String>,
}

/// A token whose embedding has a large cosine with the word's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByEmbedding {
    /// The token.
    pub id: u32,
    /// The token, for display.
    pub word: String,
    /// The cosine of the angle between the two embeddings.
    pub cosine: f32,
}

/// Time that a search took.
#[derive(Clone, Copy, Debug)]
pub struct SearchTime {
    /// To make the index, once.
    pub index: Duration,
    /// To search.
    pub search: Duration,
}

/// Tokens similar to a word, the most similar first.
#[derive(Clone, Debug)]
pub struct Similar<T> {
    /// The tokens; not the word's own.
    pub found: Vec<T>,
    /// Number of tokens that were searched; 0 if none could be.
    pub n_searched: usize,
    /// Number of tokens whose mean was searched for.
    pub n_pieces: usize,
    /// Time that it took.
    pub time: SearchTime,
}

impl Vocabulary {
    /// The query for a word as typed. The parts of a word outside the vocabulary are those of its
    /// spelling.
    pub fn query(&self, word: &str) -> Query {
        let id = self.find(word);
        let coded = self.parts.as_ref().map(|parts| match id {
            Some(id) => {
                let code = parts.primes.all()[id as usize].clone();
                let shown = parts.all_shown(&code);
                (code, shown)
            }
            None => {
                let (known, unknown) = parts.codes.code_text(&self.as_token(word));
                let code = parts.primes.of_text(&known, unknown.len());
                let known = known.iter().map(|&f| &parts.codes.features()[f as usize]);
                (code, all_shown(known.chain(&unknown)))
            }
        });
        let (code, parts) = coded.unzip();
        Query { word: word.to_owned(), id, code, parts: parts.unwrap_or_default() }
    }

    /// Up to `top` tokens most similar to a word by their codes; `None` if tokens have no parts.
    pub fn similar_by_code(&self, query: &Query, top: usize) -> Option<Similar<ByCode>> {
        let (parts, code): (&Parts, &FactorCode) = (self.parts.as_ref()?, query.code.as_ref()?);
        let start = Instant::now();
        let index = CodeIndex::new(parts.primes.all());
        let mut time = SearchTime { index: start.elapsed(), search: Duration::ZERO };
        let mut searcher = Searcher::new(&index);
        let start = Instant::now();
        let found = searcher.nearest(code, top.saturating_add(1).min(index.len()));
        time.search = start.elapsed();
        let row = |neighbour: Neighbour| ByCode {
            id: neighbour.index as u32,
            word: self.name(neighbour.index as u32),
            similarity: neighbour.similarity,
            shared: parts.all_shown(&code.gcd(&parts.primes.all()[neighbour.index])),
        };
        let others = found.into_iter().filter(|found| Some(found.index as u32) != query.id);
        let found = others.take(top).map(row).collect();
        Some(Similar { found, n_searched: index.len(), n_pieces: 1, time })
    }

    /// Up to `top` tokens whose embeddings have the largest cosine with the word's. A word outside
    /// the vocabulary has the mean embedding of its pieces; if it has none, nothing is searched.
    ///
    /// # Errors
    /// [`VocabularyError`] if the parameters cannot be read.
    pub fn similar_by_embedding(
        &self,
        query: &Query,
        top: usize,
    ) -> Result<Similar<ByEmbedding>, VocabularyError> {
        let (layout, dim) = (&self.layout, self.layout.config.model_dim);
        let params = self.folder.params(layout).map_err(ModelFolderError::from)?;
        let rows = layout.inputs.embed.of(&params);
        let pieces = match query.id {
            Some(id) => vec![id],
            None => self.tokenizer.encode_ordinary(&self.as_token(&query.word)),
        };
        let none = SearchTime { index: Duration::ZERO, search: Duration::ZERO };
        let mut similar =
            Similar { found: Vec::new(), n_searched: 0, n_pieces: pieces.len(), time: none };
        if query.id.is_none() && pieces.iter().all(|&id| self.tokenizer.is_special(id)) {
            return Ok(similar);
        }
        let mut vector = vec![0.0; dim];
        for &id in &pieces {
            let row = &rows[id as usize * dim..][..dim];
            vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        normalise(&mut vector);
        let start = Instant::now();
        let mut table = DotTable::of_directions(rows, dim);
        similar.time.index = start.elapsed();
        similar.n_searched = rows.len() / dim;
        let start = Instant::now();
        let found = table.nearest(&vector, top.saturating_add(1).min(similar.n_searched));
        similar.time.search = start.elapsed();
        let others = found.into_iter().filter(|&(id, _)| Some(id) != query.id);
        let row = |(id, cosine)| ByEmbedding { id, word: self.name(id), cosine };
        similar.found = others.take(top).map(row).collect();
        Ok(similar)
    }
}
