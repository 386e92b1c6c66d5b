//! Input of commands: files, `-` for standard input, and texts given as they are.

use super::say::say;
use anyhow::{Context, Result};
use engine::train::RunError;
use engine::train::run::{CONFIG_BYTES_MAX, prompt_rules};
use std::io::{Cursor, IsTerminal};
use std::path::Path;
use text::corpus::{Error, Input, STANDARD_INPUT, TextRules};

/// Opens a file, or standard input for `-`; `what` says to a person at a terminal what is awaited.
pub fn open(path: &Path, what: &str) -> Result<Input, Error> {
    if path.as_os_str() == STANDARD_INPUT {
        return Ok(standard_input(what));
    }
    Input::open(path)
}

/// Standard input; `what` says to a person at a terminal what is awaited.
pub fn standard_input(what: &str) -> Input {
    if std::io::stdin().is_terminal() {
        say!("reading {what} from the terminal; Ctrl-D on an empty line ends it");
    }
    Input::stream("standard input", std::io::stdin())
}

/// A text given as an argument, or read from standard input if it is `-`.
pub fn text_or_standard_input(given: &str, what: &str, rules: TextRules) -> Result<String> {
    if given == STANDARD_INPUT {
        return Ok(standard_input(what).text(rules)?.text);
    }
    Ok(given.to_owned())
}

/// A text typed by the user, in the form that the model of this folder was trained on.
pub fn as_model_reads(folder: &Path, text: &str) -> Result<String> {
    let input = Input::stream("the text", Cursor::new(text.to_owned().into_bytes()));
    Ok(input.text(prompt_rules(folder)?)?.text)
}

/// The text of a settings file.
///
/// # Errors
/// [`Error`] if it cannot be read, [`RunError::ConfigFile`] if it is no text.
pub fn settings(path: &Path) -> Result<String> {
    let read = open(path, "the settings").and_then(|input| input.bytes(CONFIG_BYTES_MAX));
    let bytes = read.context("cannot read the settings")?;
    let name = path.display().to_string();
    let text = Input::stream(&name, Cursor::new(bytes)).text(TextRules::default());
    let no_text = |error: Error| {
        let message = error.to_string();
        let message = message.strip_prefix(&format!("{name}: ")).unwrap_or(&message).to_owned();
        RunError::ConfigFile { path: path.to_owned(), message }
    };
    Ok(text.map_err(no_text)?.text)
}
