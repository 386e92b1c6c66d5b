//! The vocabulary's order: for a factored output layer, the ids of a class side by side.

use super::error::RunError;
use super::prepare::encode_to;
use crate::model::HeadConfig;
use crate::text::{Tokenizer, TokenizerKind};
use crate::train::events::{Event, Observer};
use crate::train::settings::{HeadName, Settings, VocabConfig};
use crate::vocab::classes::{self, ClassError, ClassOptions, Classes, default_n_classes};
use kernels::Pool;

/// Seed of everything random in making classes.
const SEED: u64 = 1;

/// A vocabulary in its order.
pub(super) struct Arranged {
    /// The tokeniser, with the ids that the run uses.
    pub tokenizer: Tokenizer,
    /// The output layer that goes with them.
    pub head: HeadConfig,
    /// The ids of the training text, if they are known already.
    pub ids: Option<Vec<u32>>,
}

/// The vocabulary's configuration, for so many tokens.
///
/// # Errors
/// [`RunError::Setting`] if there cannot be so many classes, or words have no parts.
pub(super) fn resolve(settings: &Settings, tokenizer: &Tokenizer) -> Result<VocabConfig, RunError> {
    let vocab_size = tokenizer.vocab_size();
    let given = &settings.vocab;
    let head = given.head.unwrap_or_default();
    let compose = given.compose.unwrap_or(false);
    if compose && tokenizer.kind() == TokenizerKind::Char {
        return Err(RunError::Setting {
            field: "vocab.compose",
            found: compose.to_string(),
            expected: "a tokeniser of words or of pieces: characters have no parts".to_string(),
        });
    }
    if head == HeadName::Full {
        return Ok(VocabConfig { compose, ..VocabConfig::default() });
    }
    let n_classes = given.n_classes.unwrap_or_else(|| default_n_classes(vocab_size));
    if !(1..=vocab_size).contains(&n_classes) {
        return Err(RunError::Setting {
            field: "vocab.n_classes",
            found: n_classes.to_string(),
            expected: format!("1 to {vocab_size}, the size of the vocabulary"),
        });
    }
    Ok(VocabConfig { head, classes: given.classes.unwrap_or_default(), n_classes, compose })
}

/// Puts the vocabulary into the order that `vocab` asks for, from the text to train on.
///
/// # Errors
/// [`RunError`], also if `observer` says stop.
pub(super) fn arrange(
    vocab: &VocabConfig,
    tokenizer: Tokenizer,
    texts: &[String],
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Arranged, RunError> {
    if vocab.head == HeadName::Full {
        return Ok(Arranged { tokenizer, head: HeadConfig::Full, ids: None });
    }
    let mut ids = Vec::new();
    encode_to(&tokenizer, texts, threads, observer, |some| {
        ids.extend_from_slice(some);
        Ok(())
    })?;
    let classes = classes(vocab, &ids, tokenizer.vocab_size(), threads, observer)?;
    let new_ids = classes.new_ids();
    ids.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
    let tokenizer = tokenizer.reordered(&classes.order);
    let head = HeadConfig::Factor { class_starts: classes.starts };
    Ok(Arranged { tokenizer, head, ids: Some(ids) })
}

fn classes(
    vocab: &VocabConfig,
    ids: &[u32],
    vocab_size: usize,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Classes, RunError> {
    let options = ClassOptions::new(vocab.classes, vocab.n_classes, SEED);
    let mut pool = Pool::new(threads);
    let mut goes_on = |done: usize, of: usize| {
        let (done, of) = (done as u64, of as u64);
        observer.event(&Event::Preparing { what: "finding classes", done, of });
        !observer.should_stop()
    };
    match classes::build(ids, vocab_size, &options, &mut pool, &mut goes_on) {
        Err(ClassError::Cancelled) => Err(RunError::Cancelled),
        result => Ok(result?),
    }
}
