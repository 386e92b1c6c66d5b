//! Checks of a run's settings, beyond those of a model's shape.

use super::error::RunError;
use crate::model::{HEAD_DIM_MAX, LIMITS, Layout, ModelConfig};
use crate::train::RowUpdates;
use crate::train::memory::check_memory;
use crate::train::settings::{Settings, TrainConfig};

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

/// Checks settings as given, before anything is read or written.
///
/// # Errors
/// [`RunError::Setting`] with the first invalid setting.
pub fn check_settings(settings: &Settings) -> Result<(), RunError> {
    let (data, train) = (&settings.data, &settings.train);
    let is_share = |share: &f64| *share == 0.0 || (HOLDOUT_MIN..1.0).contains(share);
    if let Some(holdout) = data.holdout.filter(|share| !is_share(share)) {
        let expected = format!("0, or a share from {HOLDOUT_MIN} to below 1");
        return refuse("data.holdout", holdout, &expected);
    }
    let mut paths = data.files.iter().flatten().chain(&data.valid);
    if let Some(path) = paths.find(|path| path.to_str().is_none()) {
        return refuse("data.files", path.display(), "a name in UTF-8; rename the file");
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
    let sizes =
        [m.vocab_size, m.model_dim, m.n_layers, m.n_heads, m.n_kv_heads, m.ffn_dim, m.seq_len];
    // Before anything is computed from them; the shape as a whole is checked when it is known.
    for ((field, most), given) in LIMITS.into_iter().zip(sizes) {
        if let Some(n) = given.filter(|n| !(1..=most).contains(n)) {
            return refuse(field, n, &format!("1 to {most}"));
        }
    }
    if let Some(n) = m.head_dim.filter(|n| !(1..=HEAD_DIM_MAX).contains(n)) {
        return refuse("head_dim", n, &format!("an even number up to {HEAD_DIM_MAX}"));
    }
    let mut given = counts.into_iter().filter_map(|(field, n, most)| Some((field, n?, most)));
    match given.find(|(_, n, most)| !(1..=*most).contains(n)) {
        Some((field, 0, most)) => refuse(field, 0, &format!("at least 1, up to {most}")),
        Some((field, n, most)) => refuse(field, n, &format!("1 to {most}")),
        None => Ok(()),
    }
}

/// Checks the resolved training settings of `model`.
///
/// # Errors
/// [`RunError::Config`], or [`RunError::Setting`] with the first number out of range.
pub(super) fn check_train(train: &TrainConfig, model: &ModelConfig) -> Result<(), RunError> {
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
    let has_tables = Layout::new(model)?.shares_tables();
    if optimizer.row_updates == RowUpdates::Lazy && !has_tables {
        let expected = "dense: a full output layer uses every row of its table (choose vocab.head = \"factor\")";
        return refuse("train.optimizer.idle_rows", "lazy", expected);
    }
    if optimizer.row_updates == RowUpdates::Lazy && optimizer.beta1 >= optimizer.beta2 {
        let expected = "a number below beta2 where idle_rows = \"lazy\"";
        return refuse("train.optimizer.beta1", optimizer.beta1, expected);
    }
    Ok(())
}

/// Checks the shape of a resolved model.
///
/// # Errors
/// [`RunError::Config`], [`RunError::Setting`].
pub(super) fn check_model(settings: &Settings, model: &ModelConfig) -> Result<(), RunError> {
    let is_cut_even = model.n_heads == 0 || model.model_dim.is_multiple_of(model.n_heads);
    if settings.model.head_dim.is_none() && !is_cut_even {
        let expected = format!("a divisor of model_dim, {}", model.model_dim);
        return refuse("model.n_heads", model.n_heads, &expected);
    }
    Ok(model.check()?)
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
