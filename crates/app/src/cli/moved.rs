//! Former flags of `train` that are settings now.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// (former flag, its setting, a placeholder for the value).
const MOVED: [(&str, &str, &str); 13] = [
    ("--min-count", "tokenizer.min_count", "N"),
    ("--kv-heads", "model.n_kv_heads", "N"),
    ("--untied", "model.tie_embeddings", "false"),
    ("--qk-norm", "model.qk_norm", "true"),
    ("--classes", "vocab.n_classes", "N"),
    ("--class-method", "vocab.classes", "METHOD"),
    ("--cutoffs", "vocab.cutoffs", "[N,...]"),
    ("--samples", "vocab.n_samples", "N"),
    ("--order", "vocab.order", "ORDER"),
    ("--compose", "vocab.compose", "true"),
    ("--ngram-embed", "vocab.ngram_embed", "true"),
    ("--ngram-min-count", "vocab.ngram_min_count", "N"),
    ("--idle-rows", "train.optimizer.idle_rows", "HOW"),
];

/// The setting to use, if the unknown argument of `error` is a former flag of `train`.
pub fn remedy(error: &clap::Error) -> Option<String> {
    let is_train = std::env::args_os().nth(1).is_some_and(|command| command == "train");
    if !is_train || error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(given) = error.get(ContextKind::InvalidArg)? else { return None };
    let (flag, setting, value) = MOVED.iter().find(|(flag, _, _)| flag == given)?;
    let (section, key) = setting.rsplit_once('.')?;
    let is_string = value.starts_with(char::is_uppercase) && *value != "N";
    let in_file = if is_string { format!("\"{value}\"") } else { (*value).to_owned() };
    Some(format!(
        "{flag} is a setting now: --set {setting}={value}, or {key} = {in_file} under [{section}] in a \
         file given by --config (docs/settings.md)"
    ))
}
