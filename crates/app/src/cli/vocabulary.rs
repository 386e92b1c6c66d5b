//! Vocabularies by path; prints what was done to open one, and why one has no parts.

use super::columns::fill;
use super::model;
use super::quantity::show_time;
use super::say::say;
use anyhow::Result;
use engine::vocabulary::Vocabulary;
use std::path::Path;
use text::vocab::CODES_NAME;

/// Opens the vocabulary of the model of `path`.
pub fn open(path: &Path) -> Result<Vocabulary> {
    let vocabulary = Vocabulary::open(model::folder(path)?, path)?;
    if let Some(time) = vocabulary.parts_learnt_in {
        say!(
            "no {CODES_NAME} in {}: parts of words learnt from the vocabulary in {}",
            vocabulary.folder.path().display(),
            show_time(time)
        );
    }
    Ok(vocabulary)
}

/// Prints why tokens have no parts.
pub fn say_no_parts(vocabulary: &Vocabulary) {
    say!(
        "no codes: tokens of a {} vocabulary are pieces of words, which share no parts; train with \
         --tokenizer word or split to have codes",
        vocabulary.tokenizer.kind()
    );
}

/// The names of the first tokens that fit into `width` columns.
pub fn names(vocabulary: &Vocabulary, ids: impl Iterator<Item = u32>, width: usize) -> String {
    fill(ids.map(|id| vocabulary.name(id)), width)
}
