//! Texts of a run: what it trains on and what it is measured on, in memory until they are tokens.

use super::corpus::CorpusRecord;
use super::error::RunError;
use super::open::read_config;
use crate::checkpoint::CHECKPOINTS_NAME;
use crate::train::events::{Event, Notice, Observer};
use crate::train::settings::{DataConfig, Settings};
use std::path::Path;
use text::DocumentRules;
use text::corpus::compare::{other_kind, repeated_share};
use text::corpus::{self, Corpus, Excerpt, InvalidBytes, Split, TextRules, hold_out};
use text::tokenizer::{Document, END_OF_TEXT, documents};

/// Share of held-out text that is repeated from which on it is reported.
const REPEATED_SHARE_MIN: f64 = 0.02;

/// Training text and validation text: blocks of the same files, or a file of its own.
pub(super) struct Texts {
    corpus: Corpus,
    valid: Option<Corpus>,
    rules: DocumentRules,
    train: Vec<Excerpt>,
    held_out: Vec<Excerpt>,
    /// Notice about what is held out, if not what was expected.
    notice: Option<Notice>,
}

impl Texts {
    /// Reads all text that `data` names. Where no share was asked for, a text too short to hold
    /// some out is trained on as a whole.
    ///
    /// # Errors
    /// [`RunError`] with the first unusable file.
    pub fn read(settings: &Settings, data: &DataConfig) -> Result<Texts, RunError> {
        let rules = document_rules(data);
        let corpus = Corpus::open(&data.files, rules.text)?;
        let all = vec![corpus.all()];
        if let Some(path) = &data.valid {
            let valid = Corpus::open(std::slice::from_ref(path), rules.text)?;
            let (train, held_out) = (corpus.excerpts(&all)?, valid.excerpts(&[valid.all()])?);
            return Ok(Texts { corpus, valid: Some(valid), rules, train, held_out, notice: None });
        }
        let is_given = settings.data.holdout.is_some();
        let (split, notice) = match hold_out(&corpus, data.holdout, rules.separator.as_deref()) {
            Err(corpus::Error::TooShortToSplit { found }) if !is_given => {
                let notice = Notice::NothingHeldOut { n_bytes: found };
                (Split { train: all, held_out: Vec::new() }, Some(notice))
            }
            split => (split?, None),
        };
        let [train, held_out] = [&split.train, &split.held_out].map(|spans| corpus.excerpts(spans));
        Ok(Texts { train: train?, held_out: held_out?, corpus, valid: None, rules, notice })
    }

    /// Documents to train on.
    pub fn train(&self) -> Vec<Document<'_>> {
        documents(&self.train, self.rules.separator.as_deref())
    }

    /// Documents to measure on; `None` if there is no such text.
    pub fn held_out(&self) -> Option<Vec<Document<'_>>> {
        let documents = documents(&self.held_out, self.rules.separator.as_deref());
        (!documents.is_empty()).then_some(documents)
    }

    /// Whether names of special tokens in the text stand for these tokens.
    pub fn reads_specials(&self) -> bool {
        self.rules.reads_specials
    }

    /// Hash of the contents and the order of the files.
    pub fn hash(&self) -> [u8; 32] {
        self.corpus.hash()
    }

    /// The record of the files for a run in `dir`, checked again because they were tokenised since they were opened.
    ///
    /// # Errors
    /// [`RunError`] if a file changed in the meantime.
    pub fn record(&self, dir: &Path) -> Result<CorpusRecord, RunError> {
        self.corpus.check_unchanged()?;
        self.valid.as_ref().map_or(Ok(()), Corpus::check_unchanged)?;
        Ok(CorpusRecord::new(&self.corpus, self.valid.as_ref(), dir))
    }

    /// Reports what makes figures on the held-out text say less than they seem to, and text that
    /// could have been meant as a command.
    ///
    /// # Errors
    /// [`RunError::Cancelled`].
    pub fn report(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let (train, held_out) = (self.train(), self.held_out().unwrap_or_default());
        let [train, held_out] = [&train, &held_out]
            .map(|documents| documents.iter().map(|d| d.text).collect::<Vec<&str>>());
        let mut notices: Vec<Notice> = self.notice.iter().cloned().collect();
        for (i, file) in self.corpus.files().iter().enumerate() {
            let earlier = &self.corpus.files()[..i];
            if let Some(first) = earlier.iter().find(|e| e.fingerprint == file.fingerprint) {
                let [first, second] = [first, file].map(|file| file.path.clone());
                notices.push(Notice::SameText { first, second });
                break;
            }
        }
        let share = repeated_share(&train, &held_out, || !observer.should_stop());
        let share = share.ok_or(RunError::Cancelled)?;
        if share >= REPEATED_SHARE_MIN {
            notices.push(Notice::Repeated { share });
        }
        if let Some([train_bits, held_out_bits]) = other_kind(&train, &held_out) {
            notices.push(Notice::OtherKind { train_bits, held_out_bits });
        }
        let n_names: usize = train.iter().map(|text| text.matches(END_OF_TEXT).count()).sum();
        if n_names > 0 && !self.rules.reads_specials {
            notices.push(Notice::SpecialNames { name: END_OF_TEXT, n: n_names });
        }
        notices.iter().for_each(|notice| observer.event(&Event::Noticed(notice)));
        Ok(())
    }
}

/// The rules by which the run of a model reads its text, so that another text is measured as the
/// run's own is. `path` is the run's folder or one of its checkpoints; the default rules anywhere
/// else.
///
/// # Errors
/// [`RunError`] if the run's configuration cannot be read.
pub fn rules_of_run(path: &Path) -> Result<DocumentRules, RunError> {
    let checkpoints = path.parent().filter(|dir| dir.ends_with(CHECKPOINTS_NAME));
    let dirs = [Some(path), checkpoints.and_then(Path::parent)];
    let dir = dirs.into_iter().flatten().find(|dir| dir.join(super::CONFIG_NAME).is_file());
    dir.map_or(Ok(DocumentRules::default()), |dir| Ok(document_rules(&read_config(dir)?.data)))
}

/// Rules for reading the files of a run.
pub(super) fn document_rules(data: &DataConfig) -> DocumentRules {
    let invalid_bytes = match data.replace_invalid_utf8 {
        true => InvalidBytes::Replace,
        false => InvalidBytes::Refuse,
    };
    DocumentRules {
        text: TextRules { invalid_bytes, ..TextRules::default() },
        separator: data.separator.clone(),
        reads_specials: data.reads_specials,
    }
}
