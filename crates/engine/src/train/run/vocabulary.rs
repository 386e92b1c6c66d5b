//! The vocabulary's order, and the classes of a factored output layer.

use super::error::RunError;
use super::prepare::encode_to;
use crate::data::permutation::inverse;
use crate::model::HeadConfig;
use crate::text::{Tokenizer, TokenizerKind};
use crate::train::events::{Event, Observer};
use crate::train::settings::{HeadName, Settings, VocabConfig};
use crate::vocab::classes::{self, ClassError, ClassOptions, Classes, default_n_classes};
use crate::vocab::order::{Marks, TokenOrder};
use kernels::Pool;

/// Seed of everything random in making classes and in ordering tokens.
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
        return Ok(VocabConfig { compose, order: given.order, ..VocabConfig::default() });
    }
    let n_classes = given.n_classes.unwrap_or_else(|| default_n_classes(vocab_size));
    if !(1..=vocab_size).contains(&n_classes) {
        return Err(RunError::Setting {
            field: "vocab.n_classes",
            found: n_classes.to_string(),
            expected: format!("1 to {vocab_size}, the size of the vocabulary"),
        });
    }
    let order = Some(given.order.unwrap_or(TokenOrder::Frequency));
    let classes = given.classes.unwrap_or_default();
    Ok(VocabConfig { head, classes, n_classes, compose, order })
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
    if vocab.head == HeadName::Full && vocab.order.is_none() {
        return Ok(Arranged { tokenizer, head: HeadConfig::Full, ids: None });
    }
    let mut ids = Vec::new();
    encode_to(&tokenizer, texts, threads, observer, |some| {
        ids.extend_from_slice(some);
        Ok(())
    })?;
    let mut text = Text { ids: &ids, vocab_size: tokenizer.vocab_size(), threads, observer };
    let (order, head) = match vocab.head {
        HeadName::Full => (text.order(vocab)?, HeadConfig::Full),
        HeadName::Factor => {
            let classes = text.classes(vocab)?;
            (classes.order, HeadConfig::Factor { class_starts: classes.starts })
        }
    };
    let new_ids = inverse(&order);
    ids.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
    Ok(Arranged { tokenizer: tokenizer.reordered(&order), head, ids: Some(ids) })
}

/// The text to train on as the tokeniser gives it, and whoever watches.
struct Text<'a> {
    ids: &'a [u32],
    vocab_size: usize,
    threads: usize,
    observer: &'a mut dyn Observer,
}

impl Text<'_> {
    /// (V) the old id of every new one.
    fn order(&mut self, vocab: &VocabConfig) -> Result<Vec<u32>, RunError> {
        let order = vocab.order.unwrap_or(TokenOrder::Frequency);
        Ok(self.marks(order)?.order(order))
    }

    fn classes(&mut self, vocab: &VocabConfig) -> Result<Classes, RunError> {
        let options = ClassOptions::new(vocab.classes, vocab.n_classes, SEED);
        let classes = self.watched("finding classes", |ids, vocab_size, pool, goes_on| {
            classes::build(ids, vocab_size, &options, pool, goes_on)
        })?;
        match vocab.order {
            None | Some(TokenOrder::Frequency) => Ok(classes),
            Some(order) => Ok(self.marks(order)?.order_classes(order, &classes)),
        }
    }

    fn marks(&mut self, order: TokenOrder) -> Result<Marks, RunError> {
        self.watched("ordering tokens", |ids, vocab_size, pool, goes_on| {
            Marks::of_text(order, ids, vocab_size, SEED, pool, goes_on)
        })
    }

    /// What `work` makes of the ids and the vocabulary's size, on the threads, with progress.
    fn watched<R>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(
            &[u32],
            usize,
            &mut Pool,
            &mut dyn FnMut(usize, usize) -> bool,
        ) -> Result<R, ClassError>,
    ) -> Result<R, RunError> {
        let mut pool = Pool::new(self.threads);
        let mut goes_on = |done: usize, of: usize| {
            let (done, of) = (done as u64, of as u64);
            self.observer.event(&Event::Preparing { what, done, of });
            !self.observer.should_stop()
        };
        match work(self.ids, self.vocab_size, &mut pool, &mut goes_on) {
            Err(ClassError::Cancelled) => Err(RunError::Cancelled),
            result => Ok(result?),
        }
    }
}
