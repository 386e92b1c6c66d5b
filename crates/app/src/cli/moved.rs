//! Flags that `train` had before they became settings, and where each is now.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A flag, the setting that it is now, and a value of it.
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

/// Where the flag of `train` is now that `error` calls unknown, if it was one.
pub fn remedy(error: &clap::Error) -> Option<String> {
    let is_train = std::env::args_os().nth(1).is_some_and(|command| command == "train");
    if !is_train || error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(given) = error.get(ContextKind::InvalidArg)? else { return None };
    let (flag, setting, value) = MOVED.iter().find(|(flag, _, _)| flag == given)?;
    let (section, key) = setting.rsplit_once('.')?;
    let in_file = match value.starts_with(char::is_uppercase) && *value != "N" {
        true => format!("\"{value}\""),
        false => (*value).to_owned(),
    };
    Some(format!(
        "{flag} is a setting now: --set {setting}={value}, or {key} = {in_file} under [{section}] in a \
         file given by --config (docs/settings.md)"
    ))
}
