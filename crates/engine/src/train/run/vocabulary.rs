//! Output layer and vocabulary order of a run: their choice, and the reordering of tokens.

use super::error::RunError;
use super::ngrams;
use crate::head::{HeadConfig, HeadName};
use crate::model::{Layout, ModelConfig};
use crate::train::events::{Event, Observer};
use crate::train::settings::{VocabConfig, VocabSettings};
use kernels::Pool;
use text::corpus::TokenFile;
use text::tokenizer::TokenizerKind;
use text::vocab::classes::{self, ClassError, ClassOptions, Classes, default_n_classes};
use text::vocab::order::{Marks, TokenOrder};

/// Seed of all randomness in making classes and ordering tokens.
const SEED: u64 = 1;

/// Default number of tokens that targets are compared with in a step: fewer give rougher estimates,
/// more cost time.
const N_SAMPLES: usize = 1_000;

/// Speed-up from which a factored layer is chosen automatically; below it, a model that other
/// programs cannot read is not worth it.
const GAIN_WORTH_IT: f64 = 1.5;

/// The output layer, as given or as suits `model` (whose own `head` is ignored), and the additions
/// to input vectors, for a text of `n_tokens` tokens.
///
/// # Errors
/// [`RunError::Setting`] or [`RunError::Config`] if the classes, clusters or n-gram tables are
/// impossible, or words have no parts.
pub(super) fn resolve(
    given: &VocabSettings,
    kind: TokenizerKind,
    model: &ModelConfig,
    n_tokens: usize,
) -> Result<VocabConfig, RunError> {
    let compose = given.compose.unwrap_or(false);
    if compose && kind == TokenizerKind::Char {
        return Err(RunError::Setting {
            field: "vocab.compose",
            found: compose.to_string(),
            expected: "a tokeniser of words or of pieces: characters have no parts".to_string(),
        });
    }
    let vocab_size = model.vocab_size;
    let n_classes = given.n_classes.unwrap_or_else(|| default_n_classes(vocab_size));
    let head = given.head.unwrap_or_else(|| match given {
        VocabSettings { cutoffs: Some(_), .. } => HeadName::Adaptive,
        VocabSettings { n_samples: Some(_), .. } => HeadName::Sampled,
        VocabSettings { classes: Some(_), .. } | VocabSettings { n_classes: Some(_), .. } => {
            HeadName::Factor
        }
        _ if model.factored_gain(n_classes) >= GAIN_WORTH_IT => HeadName::Factor,
        _ => HeadName::Full,
    });
    let plain =
        VocabConfig { head, compose, order: given.order, ..ngrams::resolve(given, n_tokens)? };
    match head {
        HeadName::Full => Ok(plain),
        HeadName::Factor if !(1..=vocab_size).contains(&n_classes) => Err(RunError::Setting {
            field: "vocab.n_classes",
            found: n_classes.to_string(),
            expected: format!("1 to {vocab_size}, the size of the vocabulary"),
        }),
        HeadName::Factor => {
            let classes = Some(given.classes.unwrap_or_default());
            let order = Some(given.order.unwrap_or(TokenOrder::Frequency));
            Ok(VocabConfig { classes, n_classes: Some(n_classes), order, ..plain })
        }
        HeadName::Adaptive => {
            if let Some(other) = given.order.filter(|order| *order != TokenOrder::Frequency) {
                return Err(RunError::Setting {
                    field: "vocab.order",
                    found: other.to_string(),
                    expected: "frequency, which an adaptive output layer goes by".to_string(),
                });
            }
            let usual = || HeadConfig::usual_cutoffs(vocab_size);
            let cutoffs = given.cutoffs.clone().unwrap_or_else(usual);
            HeadConfig::Adaptive { cutoffs: cutoffs.clone() }.check(vocab_size)?;
            let order = Some(TokenOrder::Frequency);
            Ok(VocabConfig { cutoffs: Some(cutoffs), order, ..plain })
        }
        HeadName::Sampled => {
            let most = vocab_size.saturating_sub(1);
            let n = given.n_samples.unwrap_or(N_SAMPLES.min(most.max(1)));
            if !(1..=most).contains(&n) {
                return Err(RunError::Setting {
                    field: "vocab.n_samples",
                    found: n.to_string(),
                    expected: format!("1 to {most}, fewer than the vocabulary has tokens"),
                });
            }
            Ok(VocabConfig { n_samples: Some(n), ..plain })
        }
    }
}

/// A setting that only one output layer has.
pub(super) struct OfHead {
    /// The setting.
    pub field: &'static str,
    /// The value given, if one was.
    pub found: Option<String>,
    /// The layer that has it.
    pub head: HeadName,
}

/// The settings of single output layers. Without a given layer, the first of them chooses it.
pub(super) fn of_heads(vocab: &VocabSettings) -> [OfHead; 4] {
    let of = |field, found, head| OfHead { field, found, head };
    let cutoffs = vocab.cutoffs.as_ref().map(|cutoffs| format!("{cutoffs:?}"));
    [
        of("vocab.cutoffs", cutoffs, HeadName::Adaptive),
        of("vocab.n_samples", vocab.n_samples.map(|n| n.to_string()), HeadName::Sampled),
        of("vocab.classes", vocab.classes.map(|by| by.to_string()), HeadName::Factor),
        of("vocab.n_classes", vocab.n_classes.map(|n| n.to_string()), HeadName::Factor),
    ]
}

/// One line about the output layer of a run, with the method that found its classes.
pub(super) fn describe_output(layout: &Layout, vocab: &VocabConfig) -> String {
    let found_by = vocab.classes.map_or(String::new(), |by| format!(", classes by {by}"));
    let n_found = match &layout.config.head {
        HeadConfig::Factor { class_starts } => class_starts.len().saturating_sub(1),
        _ => 0,
    };
    let n_added = n_found.saturating_sub(vocab.n_classes.unwrap_or(n_found));
    let added = match n_added {
        0 => String::new(),
        1 => ", 1 of them for tokens that the text lacks".to_owned(),
        n => format!(", {n} of them for tokens that the text lacks"),
    };
    layout.head.describe(&layout.config) + &found_by + &added
}

/// Vocabulary in its final order.
pub(super) struct Arranged {
    /// The output layer.
    pub head: HeadConfig,
    /// (V) old id of each token, if ids change.
    pub order: Option<Vec<u32>>,
}

/// Computes the order that `vocab` asks for, from the training text.
///
/// # Errors
/// [`RunError`], also if `observer` says stop.
pub(super) fn arrange(
    vocab: &VocabConfig,
    tokens: &TokenFile,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Arranged, RunError> {
    let mut text = Text { tokens, threads, observer };
    match vocab.head {
        HeadName::Full | HeadName::Sampled => {
            let order = vocab.order.map(|order| text.order(order)).transpose()?;
            Ok(Arranged { head: HeadConfig::Full, order })
        }
        HeadName::Factor => {
            let Classes { order, starts } = text.classes(vocab)?;
            let head = HeadConfig::Factor { class_starts: starts };
            Ok(Arranged { head, order: Some(order) })
        }
        HeadName::Adaptive => {
            let head = HeadConfig::Adaptive { cutoffs: vocab.cutoffs.clone().unwrap_or_default() };
            Ok(Arranged { head, order: Some(text.order(TokenOrder::Frequency)?) })
        }
    }
}

/// Training text as tokens, with the observer.
struct Text<'a> {
    tokens: &'a TokenFile,
    threads: usize,
    observer: &'a mut dyn Observer,
}

impl Text<'_> {
    /// (V) old id of each new id.
    fn order(&mut self, order: TokenOrder) -> Result<Vec<u32>, RunError> {
        Ok(self.marks(order)?.order(order))
    }

    fn classes(&mut self, vocab: &VocabConfig) -> Result<Classes, RunError> {
        let method = vocab.classes.unwrap_or_default();
        let options = ClassOptions::new(method, vocab.n_classes, SEED);
        let classes = self.watched("finding classes", |tokens, vocab_size, pool, goes_on| {
            classes::build(tokens, vocab_size, &options, pool, goes_on)
        })?;
        match vocab.order {
            None | Some(TokenOrder::Frequency) => Ok(classes),
            Some(order) => Ok(self.marks(order)?.order_classes(order, &classes)),
        }
    }

    fn marks(&mut self, order: TokenOrder) -> Result<Marks, RunError> {
        self.watched("ordering tokens", |tokens, vocab_size, pool, goes_on| {
            Marks::of_text(order, tokens, vocab_size, SEED, pool, goes_on)
        })
    }

    /// Runs `work` on the tokens and the vocabulary size, on all threads and with progress reports.
    fn watched<R>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(
            &TokenFile,
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
        let vocab_size = self.tokens.origin().vocab_size as usize;
        match work(self.tokens, vocab_size, &mut pool, &mut goes_on) {
            Err(ClassError::Cancelled) => Err(RunError::Cancelled),
            result => Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use text::vocab::classes::ClassMethod;

    /// Layer that is chosen for a shape: V, C, L, H, T.
    fn chosen([v, c, l, h, t]: [usize; 5]) -> HeadName {
        let model = ModelConfig { seq_len: t, ..ModelConfig::new(v, c, l, h) };
        resolve(&VocabSettings::default(), TokenizerKind::Word, &model, 1_000).unwrap().head
    }

    #[test]
    fn classes_are_chosen_where_the_output_layer_is_most_of_the_work() {
        for shape in [[33_278, 128, 4, 4, 128], [16_384, 128, 4, 4, 128], [50_257, 256, 6, 8, 128]]
        {
            assert_eq!(chosen(shape), HeadName::Factor, "{shape:?}");
        }
        for shape in [
            [65, 192, 4, 6, 128],    // characters
            [2_048, 256, 6, 8, 256], // a small BPE vocabulary
            [8_192, 384, 6, 6, 256], // a larger one, under a wider model
            [50_257, 768, 12, 12, 256],
            [1, 8, 1, 1, 1],
        ] {
            assert_eq!(chosen(shape), HeadName::Full, "{shape:?}");
        }
    }

    #[test]
    fn given_settings_are_kept() {
        let model = ModelConfig::new(100, 64, 2, 2);
        let resolve = |given| resolve(&given, TokenizerKind::Word, &model, 1_000);
        let given = VocabSettings { n_classes: Some(7), ..VocabSettings::default() };
        let found = resolve(given).unwrap();
        assert_eq!((found.head, found.n_classes), (HeadName::Factor, Some(7)));
        let given = VocabSettings {
            classes: Some(ClassMethod::Kmeans),
            head: Some(HeadName::Full),
            ..VocabSettings::default()
        };
        assert_eq!(resolve(given).unwrap(), VocabConfig::default());
        let given = VocabSettings { n_classes: Some(101), ..VocabSettings::default() };
        let fault = resolve(given).unwrap_err().to_string();
        assert!(fault.contains("vocab.n_classes = 101") && fault.contains("1 to 100"), "{fault}");
        let given = VocabSettings { cutoffs: Some(vec![5, 50]), ..VocabSettings::default() };
        let found = resolve(given).unwrap();
        assert_eq!((found.head, found.cutoffs), (HeadName::Adaptive, Some(vec![5, 50])));
        let order = Some(TokenOrder::Spiral);
        let given = VocabSettings { cutoffs: Some(vec![5]), order, ..VocabSettings::default() };
        assert!(resolve(given).unwrap_err().to_string().contains("vocab.order = spiral"));
        let given = VocabSettings { cutoffs: Some(vec![5, 100]), ..VocabSettings::default() };
        assert!(resolve(given).unwrap_err().to_string().contains("cutoffs"));
    }
}
