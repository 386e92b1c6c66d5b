//! Checks of a run's settings, beyond those of a model's shape.

use super::error::RunError;
use super::needs::check_needs;
use super::vocabulary;
use crate::model::{Layout, ModelConfig};
use crate::train::RowUpdates;
use crate::train::settings::{Settings, TrainConfig};
use text::corpus::STANDARD_INPUT;
use text::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};

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
    if let Some(holdout) = data.holdout.filter(|share| !(0.0..1.0).contains(share)) {
        return refuse("data.holdout", holdout, "a share from 0 to below 1");
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
        ("train.n_steps", train.n_steps),
        ("train.batch_seqs", train.batch_seqs.map(|n| n as u64)),
        ("train.n_lanes", train.n_lanes.map(|n| n as u64)),
        ("train.eval_every", train.eval_every),
        ("train.eval_tokens", train.eval_tokens.map(|n| n as u64)),
        ("train.save_every", train.save_every),
        ("train.sample_every", train.sample_every),
    ];
    if let Some((field, _)) = counts.into_iter().find(|(_, n)| *n == Some(0)) {
        return refuse(field, 0, "at least 1");
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

/// Checks a resolved model: its shape, and that its state fits into this machine's memory.
///
/// # Errors
/// [`RunError::Config`], [`RunError::Setting`], [`RunError::TooLarge`].
pub(super) fn check_model(
    settings: &Settings,
    model: &ModelConfig,
    n_lanes: usize,
) -> Result<(), RunError> {
    check_heads(settings, model)?;
    model.check()?;
    // Parameters, two moments, and the gradients of each lane; other buffers come on top.
    let floats = (3 + n_lanes as u64).saturating_mul(Layout::new(model)?.len as u64);
    let needed_bytes = floats.saturating_mul(size_of::<f32>() as u64);
    match memory_bytes() {
        Some(has_bytes) if needed_bytes > has_bytes => {
            Err(RunError::TooLarge { needed_bytes, has_bytes })
        }
        _ => Ok(()),
    }
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

/// Memory of this machine in bytes, if the system tells.
fn memory_bytes() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let info = rustix::system::sysinfo();
        Some((info.totalram as u64).saturating_mul(info.mem_unit.into()))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}
