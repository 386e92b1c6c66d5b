//! Remedies: what to type after an error, by its code. The libraries know no flags and no commands.

/// What to do about an error with this `code` of `command`, if flags or commands help.
pub fn remedy(code: &str, command: &str) -> Option<&'static str> {
    Some(match (code, command) {
        ("corpus-changed", _) => {
            "to go on with the text as it was when the run began, add --allow-changed-corpus"
        }
        ("run-exists", _) => "go on with `crystalline resume`, or choose another --out",
        ("no-run", _) => "give the folder that `crystalline train` printed",
        ("diverged", _) => "try a lower --lr",
        ("writer-stopped", _) => "go on with `crystalline resume`",
        ("text-not-utf8" | "text-binary", "train") => {
            "to have such bytes replaced, add --replace-invalid-utf8"
        }
        ("text-too-short-to-split", "train") => {
            "name a file to validate with (--valid FILE), or hold nothing out (--holdout 0)"
        }
        ("tokenizer-damaged" | "tokenizer-unsupported", _) => {
            "`crystalline tokenizer train` makes a tokeniser that can be read"
        }
        _ => return None,
    })
}
