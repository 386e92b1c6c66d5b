//! Preparation of a run's folder: builds the tokeniser, tokenises the text, resolves all settings.
//!
//! The configuration is written last: a folder without one is not a run, whatever else it holds.

use super::check::{check_least_memory, check_model, check_settings, check_train};
use super::claim::{Claim, Place, check_free};
use super::error::RunError;
use super::ngrams;
use super::open::Machine;
use super::texts::{NEW_TEXT, Texts};
use super::tokenizer;
use super::vocabulary::{self, Arranged};
use super::{CONFIG_NAME, TOKENIZER_NAME, TRAIN_NAME, VALID_NAME};
use crate::disk::{RealFs, commit_file};
use crate::model::ModelConfig;
use crate::train::events::{Event, Observer};
use crate::train::memory::check_memory;
use crate::train::settings::{DataConfig, RunConfig, Settings, TokenizerConfig, VocabConfig};
use kernels::Stop;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use text::corpus::permutation::inverse;
use text::corpus::{Batches, TokenFile, TokenOrigin, TokenSource};
use text::tokenizer::{Control, Document, TextError, Tokenizer, TokenizerKind};
use text::vocab::morphemes::{Codes, MorphemeError};
use text::vocab::{CODES_NAME, codes_json, compose, learn_codes};

/// Length of a run.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// Exactly this number of steps.
    Steps(u64),
    /// As many steps as fit into the time from this instant on, at the speed measured before the
    /// first.
    Time(Instant, Duration),
    /// The same, but at least the given number of steps, even if they take longer.
    TimeAndSteps(Instant, Duration, u64),
}

/// Share of a time budget that is planned for; the rest absorbs errors of the measurement.
const PLANNED_SHARE: f64 = 0.97;

/// Prepares a run; returns its folder.
///
/// # Errors
/// [`RunError`]; everything that was made is then gone.
pub fn prepare(
    place: Place<'_>,
    settings: &Settings,
    budget: Budget,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<PathBuf, RunError> {
    // All that can be refused is refused before anything is made.
    if let Place::At(dir) = place {
        check_free(dir)?;
    }
    let sources = Sources::read(settings, threads, observer)?;
    let claim = Claim::new(place)?;
    fill(claim.dir(), settings, sources, budget, threads, observer)?;
    Ok(claim.keep())
}

/// [`prepare`] in a folder that is claimed already, so that it may hold the run's own text.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_in(
    claim: Claim,
    settings: &Settings,
    budget: Budget,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<PathBuf, RunError> {
    let sources = Sources::read(settings, threads, observer)?;
    fill(claim.dir(), settings, sources, budget, threads, observer)?;
    Ok(claim.keep())
}

/// What a run is made from.
struct Sources {
    data: DataConfig,
    texts: Texts,
    /// The tokeniser, if one was given.
    tokenizer: Option<Tokenizer>,
}

impl Sources {
    /// Checks the settings, and reads what they name.
    fn read(
        settings: &Settings,
        threads: usize,
        observer: &mut dyn Observer,
    ) -> Result<Sources, RunError> {
        let given = tokenizer::load(&settings.tokenizer)?;
        check_settings(settings, given.as_ref())?;
        check_least_memory(settings, threads)?;
        let data = data_config(settings);
        let texts = Texts::read(settings, &data)?;
        texts.report(observer)?;
        Ok(Sources { data, texts, tokenizer: given })
    }
}

/// Writes the files of a run into its folder, the configuration last.
fn fill(
    dir: &Path,
    settings: &Settings,
    sources: Sources,
    budget: Budget,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(), RunError> {
    let Sources { data, texts, tokenizer: given } = sources;
    let train_text = texts.train();
    let (tokenizer, tokenizer_config) =
        tokenizer::given_or_trained(settings, given, &train_text, threads, observer)?;
    let path = dir.join(TRAIN_NAME);
    let text_hash = texts.hash();
    let encode = |tokenizer: &Tokenizer,
                  documents: &[Document],
                  path: &Path,
                  observer: &mut dyn Observer| {
        let origin = token_origin(tokenizer, text_hash);
        encode(tokenizer, documents, texts.reads_specials(), path, origin, threads, observer)
    };
    let train = encode(&tokenizer, &train_text, &path, observer)?;
    let is_char = tokenizer.kind() == TokenizerKind::Char;
    let full = settings.model.resolve(tokenizer.vocab_size(), train.len(), is_char);
    check_model(settings, &full)?;
    let vocab = vocabulary::resolve(&settings.vocab, tokenizer.kind(), &full, train.len())?;
    let Arranged { head, order } = vocabulary::arrange(&vocab, &train, threads, observer)?;
    let (tokenizer, train) = match order {
        None => (tokenizer, train),
        Some(order) => {
            let tokenizer = tokenizer.reordered(&order);
            let origin = token_origin(&tokenizer, text_hash);
            (tokenizer, renumber(&train, &order, &path, origin)?)
        }
    };
    commit_file(&RealFs, &dir.join(TOKENIZER_NAME), &tokenizer.to_json())?;
    let mut n_parts = 0;
    if vocab.compose || tokenizer.kind().is_word_level() {
        let codes = find_parts(&tokenizer, &train_text, threads, observer)?;
        n_parts = if vocab.compose { compose::n_parts(&codes) } else { 0 };
        commit_file(&RealFs, &dir.join(CODES_NAME), &codes_json(&codes, &tokenizer))?;
    }
    refuse_stopped(observer)?;
    let ngrams = ngrams::find(&vocab, &train, dir)?;
    refuse_stopped(observer)?;
    if let Some(documents) = texts.held_out() {
        encode(&tokenizer, &documents, &dir.join(VALID_NAME), observer)?;
    }
    texts.record(dir)?.write(dir)?;
    drop(texts);
    let tie_embeddings = settings.model.tie_embeddings.unwrap_or(head.can_be_tied());
    let model = ModelConfig { head, n_parts, ngrams, tie_embeddings, ..full };
    let known = Known { data, tokenizer: tokenizer_config, vocab, model };
    let config = resolve(settings, known, &train, budget, threads, dir, &observer.stop())?;
    let toml = toml::to_string_pretty(&config).map_err(|error| RunError::ConfigFile {
        path: dir.join(CONFIG_NAME),
        message: error.to_string(),
    })?;
    Ok(commit_file(&RealFs, &dir.join(CONFIG_NAME), toml.as_bytes())?)
}

/// # Errors
/// [`RunError::Cancelled`] if the run is to stop.
fn refuse_stopped(observer: &dyn Observer) -> Result<(), RunError> {
    if observer.stop().is_requested() || observer.should_stop() {
        return Err(RunError::Cancelled);
    }
    Ok(())
}

fn data_config(settings: &Settings) -> DataConfig {
    let data = &settings.data;
    DataConfig {
        files: data.files.clone().unwrap_or_default(),
        valid: data.valid.clone(),
        holdout: data.holdout.unwrap_or(0.05),
        replace_invalid_utf8: data.replace_invalid_utf8.unwrap_or(false),
        line_ends: data.line_ends.unwrap_or(NEW_TEXT.line_ends),
        normal_form: data.normal_form.unwrap_or(NEW_TEXT.normal_form),
        separator: data.separator.clone(),
        reads_specials: data.reads_specials.unwrap_or(false),
    }
}

/// Codes of the vocabulary's words, from their parts.
fn find_parts(
    tokenizer: &Tokenizer,
    documents: &[Document],
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Codes, RunError> {
    let texts: Vec<&str> = documents.iter().map(|document| document.text).collect();
    let counts = with_control(threads, "counting words", observer, |control| {
        tokenizer.count_words(&texts, control).map_err(RunError::from)
    })?;
    with_control(threads, "finding parts of words", observer, |control| {
        let codes = learn_codes(tokenizer, Some(&counts), control);
        // Cancellation is the only possible error here.
        codes.map_err(|_: MorphemeError| RunError::Cancelled)
    })
}

fn token_origin(tokenizer: &Tokenizer, text_hash: [u8; 32]) -> TokenOrigin {
    TokenOrigin {
        vocab_size: tokenizer.vocab_size() as u64,
        tokenizer_hash: *blake3::hash(&tokenizer.to_json()).as_bytes(),
        text_hash,
    }
}

/// Writes the ids of documents to a token file.
fn encode(
    tokenizer: &Tokenizer,
    documents: &[Document],
    reads_specials: bool,
    path: &Path,
    origin: TokenOrigin,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<TokenFile, RunError> {
    let mut writer = TokenFile::create(path, origin)?;
    with_control(threads, "encoding", observer, |control| {
        tokenizer.encode_documents(documents, reads_specials, control, |encoded| {
            Ok(writer.push_text(&encoded.ids, &encoded.beginnings)?)
        })
    })?;
    Ok(writer.finish()?)
}

/// Rewrites `tokens` with new ids: new id `i` is the token with old id `order[i]`.
fn renumber(
    tokens: &TokenFile,
    order: &[u32],
    path: &Path,
    origin: TokenOrigin,
) -> Result<TokenFile, RunError> {
    let new_ids = inverse(order);
    let mut writer = TokenFile::create(path, origin)?;
    let mut ids = [0; 4096];
    for start in (0..tokens.len()).step_by(ids.len()) {
        let ids = &mut ids[..(tokens.len() - start).min(4096)];
        tokens.read(start, ids);
        ids.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
        let of_piece = |position: &usize| position.checked_sub(start).filter(|at| *at < ids.len());
        let beginnings: Vec<usize> = tokens.beginnings().iter().filter_map(of_piece).collect();
        writer.push_text(ids, &beginnings)?;
    }
    Ok(writer.finish()?)
}

/// Runs `work` with a control that reports to `observer` and is cancelled when the observer says
/// stop.
pub(super) fn with_control<T>(
    threads: usize,
    what: &'static str,
    observer: &mut dyn Observer,
    work: impl FnOnce(&mut Control) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let stop = observer.stop();
    let observer = RefCell::new(observer);
    let mut progress = |done, of| {
        let mut observer = observer.borrow_mut();
        observer.event(&Event::Preparing { what, done, of });
        if observer.should_stop() {
            stop.request();
        }
    };
    let mut control = Control { threads, cancel: Some(stop.flag()), progress: Some(&mut progress) };
    match work(&mut control) {
        Err(RunError::Text(TextError::Cancelled)) => Err(RunError::Cancelled),
        result => result,
    }
}

/// Values that are resolved before the model.
struct Known {
    data: DataConfig,
    tokenizer: TokenizerConfig,
    vocab: VocabConfig,
    model: ModelConfig,
}

fn resolve(
    settings: &Settings,
    known: Known,
    train: &TokenFile,
    budget: Budget,
    threads: usize,
    dir: &Path,
    stop: &Stop,
) -> Result<RunConfig, RunError> {
    let n_tokens = train.len();
    let sizes = [
        ("model.vocab_size", settings.model.vocab_size, known.model.vocab_size),
        ("model.n_parts", settings.model.n_parts, known.model.n_parts),
    ];
    for (field, given, of_text) in sizes {
        if let Some(found) = given.filter(|given| *given != of_text) {
            let (found, expected) = (found.to_string(), format!("{of_text}, as the text gives it"));
            return Err(RunError::Setting { field, found, expected });
        }
    }
    if settings.model.ngrams.as_ref().is_some_and(|given| *given != known.model.ngrams) {
        return Err(RunError::Setting {
            field: "model.ngrams",
            found: "other tables".to_string(),
            expected: "those that [vocab] asks for; leave them out".to_string(),
        });
    }
    if settings.model.head.as_ref().is_some_and(|head| *head != known.model.head) {
        return Err(RunError::Setting {
            field: "model.head",
            found: "other classes".to_string(),
            expected: "those that the text gives; leave the table out".to_string(),
        });
    }
    let Known { data, tokenizer: tokenizer_config, vocab, model } = known;
    let batch_seqs = settings.train.batch_seqs(model.seq_len, n_tokens);
    check_model(settings, &model)?;
    if settings.train.batch_seqs.is_some_and(|given| given > n_tokens) {
        let expected = format!(
            "at most {n_tokens}: the text has that many tokens, and so no more different sequences"
        );
        let found = batch_seqs.to_string();
        return Err(RunError::Setting { field: "train.batch_seqs", found, expected });
    }
    Batches::new(n_tokens, model.seq_len, batch_seqs, 0)?;
    let with_steps = |n_steps| RunConfig {
        data: data.clone(),
        tokenizer: tokenizer_config.clone(),
        vocab: vocab.clone(),
        train: settings.train.resolve(&model, batch_seqs, n_steps, n_tokens),
        model: model.clone(),
    };
    check_train(&with_steps(1).train, &model)?;
    check_memory(&model, &with_steps(1).train, vocab.n_samples, threads)??;
    let (start, time, least) = match (settings.train.n_steps, budget) {
        (Some(n), _) | (None, Budget::Steps(n)) => return Ok(with_steps(n.max(1))),
        (None, Budget::Time(start, time)) => (start, time, 1),
        (None, Budget::TimeAndSteps(start, time, least)) => (start, time, least),
    };
    let machine = Machine::open(dir, &with_steps(1), threads)?;
    let seconds = machine.measure_step(stop).ok_or(RunError::Cancelled)?;
    let left = time.as_secs_f64() * PLANNED_SHARE - start.elapsed().as_secs_f64();
    Ok(with_steps(((left / seconds) as u64).max(least)))
}
