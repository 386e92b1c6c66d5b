//! Texts of a run: what it trains on and what it is measured on, in memory until they are tokens.

use super::corpus::CorpusRecord;
use super::error::RunError;
use super::open::read_config;
use crate::checkpoint::CHECKPOINTS_NAME;
use crate::train::events::{Event, Notice, Observer};
use crate::train::settings::{DataConfig, Settings};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use text::DocumentRules;
use text::corpus::compare::{other_kind, repeated_share};
use text::corpus::{
    self, Corpus, Excerpt, InvalidBytes, LineEnds, NormalForm, Split, TextRules, hold_out,
};
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
        notices.extend(self.reading_notices());
        let mut known: HashMap<&str, &Path> = HashMap::new();
        for file in self.corpus.files() {
            if let Some(first) = known.insert(&file.fingerprint.blake3, &file.path) {
                let [first, second] = [first, &file.path].map(Path::to_owned);
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

impl Texts {
    /// What was left out or changed as the files were read.
    fn reading_notices(&self) -> Vec<Notice> {
        let corpora = || [Some(&self.corpus), self.valid.as_ref()].into_iter().flatten();
        let files = || corpora().flat_map(|corpus| corpus.files());
        let mut notices = Vec::new();
        let empty: Vec<PathBuf> = corpora().flat_map(|corpus| corpus.empty()).cloned().collect();
        if !empty.is_empty() {
            notices.push(Notice::EmptyFiles { files: empty });
        }
        let n: u64 = files().map(|file| file.n_line_ends).sum();
        if n > 0 {
            notices.push(Notice::LineEnds { n });
        }
        let n: u64 = files().map(|file| file.n_composed).sum();
        if n > 0 {
            notices.push(Notice::Composed { n });
        }
        notices
    }
}

/// The rules by which new runs read text, but for settings.
pub const NEW_TEXT: TextRules = TextRules {
    invalid_bytes: InvalidBytes::Refuse,
    line_ends: LineEnds::Unify,
    normal_form: NormalForm::Nfc,
};

/// The rules for prompts and words that a model is given: those of its run. A folder without a run
/// does not say how its text was read, which is then taken to be as most text is.
///
/// # Errors
/// [`RunError`] if the run's configuration cannot be read.
pub fn prompt_rules(path: &Path) -> Result<TextRules, RunError> {
    let rules =
        run_around(path).map(|dir| Ok::<_, RunError>(document_rules(&read_config(dir)?.data)));
    let rules = rules.transpose()?.map_or(NEW_TEXT, |rules| rules.text);
    Ok(TextRules { invalid_bytes: InvalidBytes::Refuse, ..rules })
}

/// The rules by which the run of a model reads its text, so that another text is measured as the
/// run's own is. `path` is the run's folder or one of its checkpoints; the default rules anywhere
/// else.
///
/// # Errors
/// [`RunError`] if the run's configuration cannot be read.
pub fn rules_of_run(path: &Path) -> Result<DocumentRules, RunError> {
    let dir = run_around(path);
    dir.map_or(Ok(DocumentRules::default()), |dir| Ok(document_rules(&read_config(dir)?.data)))
}

/// The run's folder, of itself or of one of its checkpoints.
fn run_around(path: &Path) -> Option<&Path> {
    let checkpoints = path.parent().filter(|dir| dir.ends_with(CHECKPOINTS_NAME));
    let dirs = [Some(path), checkpoints.and_then(Path::parent)];
    dirs.into_iter().flatten().find(|dir| dir.join(super::CONFIG_NAME).is_file())
}

/// Rules for reading the files of a run.
pub(super) fn document_rules(data: &DataConfig) -> DocumentRules {
    let invalid_bytes = match data.replace_invalid_utf8 {
        true => InvalidBytes::Replace,
        false => InvalidBytes::Refuse,
    };
    DocumentRules {
        text: TextRules { invalid_bytes, line_ends: data.line_ends, normal_form: data.normal_form },
        separator: data.separator.clone(),
        reads_specials: data.reads_specials,
    }
}
