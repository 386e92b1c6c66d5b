//! Preparation of a run's folder: builds the tokeniser, tokenises the text, resolves all settings.
//!
//! The configuration is written last: a folder without one is not a run, whatever else it holds.

use super::check::{check_model, check_settings, check_train};
use super::claim::{Claim, Place, refuse_run};
use super::error::RunError;
use super::ngrams;
use super::open::Machine;
use super::texts::Texts;
use super::vocabulary::{self, Arranged};
use super::{CONFIG_NAME, TOKENIZER_NAME, TRAIN_NAME, VALID_NAME};
use crate::disk::{RealFs, commit_file};
use crate::model::ModelConfig;
use crate::train::events::{Event, Observer};
use crate::train::settings::{DataConfig, RunConfig, Settings, TokenizerConfig, VocabConfig};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use text::corpus::permutation::inverse;
use text::corpus::{Batches, TokenFile, TokenOrigin, TokenSource};
use text::tokenizer::{Control, Document, TextError, Tokenizer, TokenizerKind, TrainOptions};
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
/// [`RunError`]; a given folder then holds no run and can be used again, and a new one is gone.
pub fn prepare(
    place: Place<'_>,
    settings: &Settings,
    budget: Budget,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<PathBuf, RunError> {
    if let Place::At(dir) = place {
        refuse_run(dir)?;
    }
    check_settings(settings)?;
    let data = data_config(settings);
    let texts = Texts::read(settings, &data)?;
    texts.report(observer)?;
    let claim = Claim::new(place)?;
    fill(claim.dir(), settings, data, texts, budget, threads, observer)?;
    Ok(claim.keep())
}

/// Writes the files of a run into its folder, the configuration last.
fn fill(
    dir: &Path,
    settings: &Settings,
    data: DataConfig,
    texts: Texts,
    budget: Budget,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(), RunError> {
    let train_text = texts.train();
    let options = tokenizer_options(settings, train_text.iter().map(|d| d.text.len()).sum());
    let tokenizer = train_tokenizer(&options, &train_text, threads, observer)?;
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
    let ngrams = ngrams::find(&vocab, &train, dir)?;
    if let Some(documents) = texts.held_out() {
        encode(&tokenizer, &documents, &dir.join(VALID_NAME), observer)?;
    }
    texts.record(dir)?.write(dir)?;
    drop(texts);
    let tokenizer_config = TokenizerConfig {
        kind: options.kind,
        vocab_size: options.vocab_size,
        min_count: options.min_count,
    };
    let tie_embeddings = settings.model.tie_embeddings.unwrap_or(head.can_be_tied());
    let model = ModelConfig { head, n_parts, ngrams, tie_embeddings, ..full };
    let known = Known { data, tokenizer: tokenizer_config, vocab, model };
    let config = resolve(settings, known, &train, budget, threads, dir)?;
    let toml = toml::to_string_pretty(&config).map_err(|error| RunError::ConfigFile {
        path: dir.join(CONFIG_NAME),
        message: error.to_string(),
    })?;
    Ok(commit_file(&RealFs, &dir.join(CONFIG_NAME), toml.as_bytes())?)
}

fn data_config(settings: &Settings) -> DataConfig {
    let data = &settings.data;
    DataConfig {
        files: data.files.clone().unwrap_or_default(),
        valid: data.valid.clone(),
        holdout: data.holdout.unwrap_or(0.05),
        replace_invalid_utf8: data.replace_invalid_utf8.unwrap_or(false),
        separator: data.separator.clone(),
        reads_specials: data.reads_specials.unwrap_or(false),
    }
}

/// Texts shorter than this many bytes have only single characters often enough for tokens.
const CHAR_BYTES: usize = 20_000;

fn tokenizer_options(settings: &Settings, n_bytes: usize) -> TrainOptions {
    let given = &settings.tokenizer;
    let auto = if n_bytes < CHAR_BYTES { TokenizerKind::Char } else { TokenizerKind::Word };
    let kind = given.kind.unwrap_or(auto);
    let mut options = TrainOptions::new(kind);
    // Vocabulary grows with the square root of a text (Heaps' law), and embeddings should not
    // outgrow the text.
    let words = (((n_bytes as f64).sqrt() * 4.0) as usize).clamp(1_000, 16_384);
    match kind {
        TokenizerKind::Word => options.vocab_size = words.max(2_000),
        TokenizerKind::Bpe => options.vocab_size = words.min(8_192),
        TokenizerKind::Split | TokenizerKind::Char => {}
    }
    options.vocab_size = given.vocab_size.unwrap_or(options.vocab_size);
    options.min_count = given.min_count.unwrap_or(options.min_count);
    options
}

fn train_tokenizer(
    options: &TrainOptions,
    documents: &[Document],
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Tokenizer, RunError> {
    let texts: Vec<&str> = documents.iter().map(|document| document.text).collect();
    with_control(threads, "learning the vocabulary", observer, |control| {
        Tokenizer::train(options, &texts, control).map_err(RunError::from)
    })
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
fn with_control<T>(
    threads: usize,
    what: &'static str,
    observer: &mut dyn Observer,
    work: impl FnOnce(&mut Control) -> Result<T, RunError>,
) -> Result<T, RunError> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let cancel = AtomicBool::new(observer.should_stop());
    let observer = RefCell::new(observer);
    let mut progress = |done, of| {
        let mut observer = observer.borrow_mut();
        observer.event(&Event::Preparing { what, done, of });
        cancel.store(observer.should_stop(), Ordering::Relaxed);
    };
    let mut control = Control { threads, cancel: Some(&cancel), progress: Some(&mut progress) };
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
    check_model(settings, &model, settings.train.n_lanes(&model, batch_seqs))?;
    Batches::new(n_tokens, model.seq_len, batch_seqs, 0)?;
    let with_steps = |n_steps| RunConfig {
        data: data.clone(),
        tokenizer: tokenizer_config.clone(),
        vocab: vocab.clone(),
        train: settings.train.resolve(&model, batch_seqs, n_steps, n_tokens),
        model: model.clone(),
    };
    check_train(&with_steps(1).train, &model)?;
    let (start, time, least) = match (settings.train.n_steps, budget) {
        (Some(n), _) | (None, Budget::Steps(n)) => return Ok(with_steps(n.max(1))),
        (None, Budget::Time(start, time)) => (start, time, 1),
        (None, Budget::TimeAndSteps(start, time, least)) => (start, time, least),
    };
    let seconds = Machine::open(dir, &with_steps(1), threads)?.measure_step();
    let left = time.as_secs_f64() * PLANNED_SHARE - start.elapsed().as_secs_f64();
    Ok(with_steps(((left / seconds) as u64).max(least)))
}
