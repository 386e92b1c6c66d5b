//! Checks of a run's settings, beyond those of a model's shape.

use super::error::RunError;
use super::needs::check_needs;
use super::vocabulary;
use crate::model::{Layout, ModelConfig, SIZES_MAX};
use crate::train::RowUpdates;
use crate::train::memory::check_memory;
use crate::train::settings::{Settings, TrainConfig};
use text::corpus::STANDARD_INPUT;
use text::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};

/// Largest count that a setting may give: products of two, and times of a second each, are far from
/// the limits of their types.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// Smallest share of a text that is worth measuring on.
const HOLDOUT_MIN: f64 = 0.0001;

/// Most lanes: more are of no use, and each takes memory.
pub const LANES_MAX: u64 = 1024;

fn refuse(field: &'static str, found: impl ToString, expected: &str) -> Result<(), RunError> {
    Err(RunError::Setting { field, found: found.to_string(), expected: expected.to_string() })
}

/// Checks settings as given, before any text is read or anything written; `given` is the tokeniser
/// that they name, if they name one.
///
/// # Errors
/// [`RunError::Setting`] with the first invalid setting.
pub fn check_settings(settings: &Settings, given: Option<&Tokenizer>) -> Result<(), RunError> {
    let (data, train) = (&settings.data, &settings.train);
    let is_share = |share: &f64| *share == 0.0 || (HOLDOUT_MIN..1.0).contains(share);
    if let Some(holdout) = data.holdout.filter(|share| !is_share(share)) {
        let expected = format!("0, or a share from {HOLDOUT_MIN} to below 1");
        return refuse("data.holdout", holdout, &expected);
    }
    let tokenizer = &settings.tokenizer.file;
    let mut paths = data.files.iter().flatten().chain(&data.valid).chain(tokenizer);
    if let Some(path) = paths.find(|path| path.to_str().is_none()) {
        return refuse("data.files", path.display(), "a name in UTF-8; rename the file");
    }
    let mut paths = data.files.iter().flatten().chain(&data.valid);
    if paths.any(|path| path.as_os_str() == STANDARD_INPUT) {
        let expected = "the name of a file: text is read more than once, and standard input only \
                        once; save it to a file first";
        return refuse("data.files", STANDARD_INPUT, expected);
    }
    let counts = [
        ("train.n_steps", train.n_steps, COUNT_MAX),
        ("train.batch_seqs", train.batch_seqs.map(|n| n as u64), COUNT_MAX),
        ("train.n_lanes", train.n_lanes.map(|n| n as u64), LANES_MAX),
        ("train.eval_every", train.eval_every, COUNT_MAX),
        ("train.eval_tokens", train.eval_tokens.map(|n| n as u64), COUNT_MAX),
        ("train.save_every", train.save_every, COUNT_MAX),
        ("train.sample_every", train.sample_every, COUNT_MAX),
    ];
    let m = &settings.model;
    let sizes = [
        m.vocab_size,
        m.model_dim,
        m.n_layers,
        m.n_heads,
        m.n_kv_heads,
        m.head_dim,
        m.ffn_dim,
        m.seq_len,
    ];
    // Before anything is computed from them; the shape as a whole is checked when it is known.
    for ((field, most), given) in SIZES_MAX.into_iter().zip(sizes) {
        if let Some(n) = given.filter(|n| !(1..=most).contains(n)) {
            return refuse(field, n, &format!("1 to {most}"));
        }
    }
    let mut given_counts =
        counts.into_iter().filter_map(|(field, n, most)| Some((field, n?, most)));
    match given_counts.find(|(_, n, most)| !(1..=*most).contains(n)) {
        Some((field, 0, most)) => return refuse(field, 0, &format!("at least 1, up to {most}")),
        Some((field, n, most)) => return refuse(field, n, &format!("1 to {most}")),
        None => {}
    }
    check_needs(settings)?;
    check_shape(settings, given)
}

/// Stand-ins for what only the text tells: a vocabulary that every setting fits, and a length.
const ANY_VOCAB: usize = 1 << 20;
const ANY_TOKENS: usize = 1_000;

/// Checks what can be known of the tokeniser, the model and the training before the text is read.
/// All of it is checked again once the text has given the rest.
fn check_shape(settings: &Settings, given_tokenizer: Option<&Tokenizer>) -> Result<(), RunError> {
    let (given, tokenizer) = (&settings.model, &settings.tokenizer);
    let kind = given_tokenizer.map(Tokenizer::kind).or(tokenizer.kind);
    if let (Some(kind), None) = (kind, given_tokenizer) {
        let mut options = TrainOptions::new(kind);
        options.vocab_size = tokenizer.vocab_size.unwrap_or(options.vocab_size);
        options.check()?;
    }
    let vocab_size = given_tokenizer.map_or(ANY_VOCAB, Tokenizer::vocab_size);
    let mut model = given.resolve(vocab_size, ANY_TOKENS, false);
    if given.model_dim.is_none() && given.head_dim.is_none() {
        model.head_dim = 2; // follows from the width, which the text gives
    } else {
        check_heads(settings, &model)?;
    }
    model.check()?;
    let kind = kind.unwrap_or(TokenizerKind::Word);
    let vocab = vocabulary::resolve(&settings.vocab, kind, &model, ANY_TOKENS)?;
    if given.tie_embeddings == Some(true) && !vocab.head.can_be_tied() {
        let expected = format!("false: the output layer {} has its own rows", vocab.head);
        return refuse("model.tie_embeddings", true, &expected);
    }
    check_numbers(&settings.train.resolve(&model, 1, 1, ANY_TOKENS))
}

/// Checks the numbers of the resolved training settings.
fn check_numbers(train: &TrainConfig) -> Result<(), RunError> {
    let optimizer = &train.optimizer;
    let positive = [
        ("train.lr", train.lr),
        ("train.grad_norm_max", train.grad_norm_max),
        ("train.optimizer.eps", optimizer.eps),
    ];
    let shares = [
        ("train.dropout", train.dropout),
        ("train.optimizer.beta1", optimizer.beta1),
        ("train.optimizer.beta2", optimizer.beta2),
    ];
    if let Some((field, x)) = positive.into_iter().find(|(_, x)| !(*x > 0.0 && x.is_finite())) {
        return refuse(field, x, "a number above 0, such as 0.003");
    }
    if let Some((field, x)) = shares.into_iter().find(|(_, x)| !(0.0..1.0).contains(x)) {
        return refuse(field, x, "a number from 0 to below 1");
    }
    let decay = optimizer.weight_decay;
    if !(decay >= 0.0 && decay.is_finite()) {
        return refuse("train.optimizer.weight_decay", decay, "a number of at least 0");
    }
    if optimizer.row_updates == RowUpdates::Lazy && optimizer.beta1 >= optimizer.beta2 {
        let expected = "a number below beta2 where idle_rows = \"lazy\"";
        return refuse("train.optimizer.beta1", optimizer.beta1, expected);
    }
    Ok(())
}

/// Checks the resolved training settings of `model`.
///
/// # Errors
/// [`RunError::Config`], or [`RunError::Setting`] with the first number out of range.
pub(super) fn check_train(train: &TrainConfig, model: &ModelConfig) -> Result<(), RunError> {
    check_numbers(train)?;
    let optimizer = &train.optimizer;
    let has_tables = Layout::new(model)?.shares_tables();
    if optimizer.row_updates == RowUpdates::Lazy && !has_tables {
        let expected = "dense: a full output layer uses every row of its table (choose vocab.head = \"factor\")";
        return refuse("train.optimizer.idle_rows", "lazy", expected);
    }
    Ok(())
}

/// Checks the shape of a resolved model.
///
/// # Errors
/// [`RunError::Config`], [`RunError::Setting`].
pub(super) fn check_model(settings: &Settings, model: &ModelConfig) -> Result<(), RunError> {
    check_heads(settings, model)?;
    Ok(model.check()?)
}

/// Checks that the heads divide the width, where that gives their own width.
fn check_heads(settings: &Settings, model: &ModelConfig) -> Result<(), RunError> {
    let is_cut_even = model.n_heads == 0 || model.model_dim.is_multiple_of(model.n_heads);
    if settings.model.head_dim.is_none() && !is_cut_even {
        let expected = format!("a divisor of model_dim, {}", model.model_dim);
        return refuse("model.n_heads", model.n_heads, &expected);
    }
    Ok(())
}

/// Checks, before any text is read, that the smallest run that these settings can mean fits into
/// memory. The shape itself is checked with the text.
///
/// # Errors
/// [`RunError::Memory`].
pub(super) fn check_least_memory(settings: &Settings, threads: usize) -> Result<(), RunError> {
    let model = settings.model.resolve(1, 0, false);
    if check_model(settings, &model).is_err() {
        return Ok(());
    }
    let batch_seqs = settings.train.batch_seqs(model.seq_len, 0);
    let train = settings.train.resolve(&model, batch_seqs, 1, 0);
    check_memory(&model, &train, None, threads)??;
    Ok(())
}
