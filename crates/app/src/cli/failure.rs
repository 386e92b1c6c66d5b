//! Exit codes of failed commands, by the stable code of the error.

use super::options::TooManyThreads;
use engine::convert::ConvertError;
use engine::disk::{LoadError, LockError, SaveError};
use engine::formats::ModelFolderError;
use engine::generate::SamplerError;
use engine::memory::MemoryError;
use engine::model::{ConfigError, SideFileError};
use engine::train::{RunError, StepError};
use engine::vocabulary::VocabularyError;
use std::error::Error;
use text::FileTokensError;
use text::corpus::Error as DataError;
use text::tokenizer::TextError;
use text::vocab::classes::ClassError;
use text::vocab::morphemes::MorphemeError;
use text::vocab::{CodeFileError, NgramFileError};

/// Errors that no retry can fix: the settings or their inputs must change.
const REFUSED: [&str; 16] = [
    "classes-refused",
    "corpus-changed",
    "file-exists",
    "file-mismatch",
    "folder-not-empty",
    "holdout-refused",
    "ids-refused",
    "model-too-large",
    "run-exists",
    "sampling-refused",
    "setting-refused",
    "settings-unreadable",
    "shape-refused",
    "text-too-few-tokens",
    "text-too-short-to-split",
    "tokenizer-refused",
];

/// The code of the outermost error that has one (`docs/errors.md`).
pub fn code(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(code_of)
}

/// What happened and why, each reason once: many errors name their cause in their own message.
pub fn reasons(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let reason = cause.to_string();
        if text.is_empty() {
            text = reason;
        } else if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
    }
    text
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    macro_rules! first_of {
        ($($kind:ty),*) => {
            None$(.or_else(|| cause.downcast_ref::<$kind>().map(<$kind>::code)))*
        };
    }
    first_of!(
        RunError,
        LoadError,
        SaveError,
        LockError,
        ConvertError,
        StepError,
        SamplerError,
        ModelFolderError,
        VocabularyError,
        ConfigError,
        SideFileError,
        DataError,
        FileTokensError,
        TextError,
        ClassError,
        MorphemeError,
        CodeFileError,
        NgramFileError,
        MemoryError
    )
}

/// Training that went wrong: its settings must change, though none is invalid.
const WENT_WRONG: [&str; 2] = ["diverged", "worse-than-guessing"];

/// 2 for a refused request, 3 for a training that went wrong, 28 for a full disk, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match code(error) {
        Some("disk-full") => 28,
        _ if error.chain().any(is_disk_full) => 28,
        Some(code) if REFUSED.contains(&code) => 2,
        Some(code) if WENT_WRONG.contains(&code) => 3,
        None if error.is::<TooManyThreads>() => 2,
        _ => 1,
    }
}

fn is_disk_full(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(text::is_disk_full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::path::PathBuf;

    #[test]
    fn an_error_has_the_same_exit_code_in_every_command() {
        let mismatch = || LoadError::Mismatch {
            path: PathBuf::from("x"),
            field: "size".to_owned(),
            found: "1".to_owned(),
            expected: "2".to_owned(),
        };
        let of_run = anyhow::Error::from(RunError::Load(mismatch()));
        let alone = anyhow::Error::from(mismatch()).context("opening");
        for error in [of_run, alone] {
            assert_eq!((code(&error), exit_code(&error)), (Some("file-mismatch"), 2));
        }
        assert_eq!(exit_code(&anyhow::anyhow!("no text given")), 1);
        let full = anyhow::Error::from(std::io::Error::from(ErrorKind::StorageFull));
        assert_eq!(exit_code(&full.context("x")), 28);
    }

    #[test]
    fn each_reason_is_given_once() {
        let io = || std::io::Error::from_raw_os_error(27);
        let save = SaveError::Io { doing: "write", path: PathBuf::from("run/x"), source: io() };
        let text = reasons(&anyhow::Error::from(RunError::Save(save)));
        assert_eq!(text, format!("cannot write run/x: {}", io()));
        assert_eq!(text.matches("os error 27").count(), 1);
        let with_context = anyhow::Error::from(io()).context("cannot write run/x");
        assert_eq!(reasons(&with_context), format!("cannot write run/x: {}", io()));
    }

    #[test]
    fn the_error_page_lists_the_exit_codes() {
        let page = include_str!("../../../../docs/errors.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut n_refused = 0;
        for row in rows {
            let (code, rest) = row.split_once("` | ").unwrap();
            let exit = rest.split(" |").next().unwrap().trim();
            let expected = match code {
                "disk-full" => "28",
                code if REFUSED.contains(&code) => "2",
                code if WENT_WRONG.contains(&code) => "3",
                _ => "1",
            };
            assert_eq!(exit, expected, "{code}");
            n_refused += usize::from(expected == "2");
        }
        assert_eq!(n_refused, REFUSED.len());
    }
}
