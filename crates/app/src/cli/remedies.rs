//! Remedies: flags and commands to try after an error, by its code; the libraries know neither.

/// What to type after `command` failed with the error `code`, if a flag or a command helps.
pub fn remedy(code: &str, command: &str) -> Option<&'static str> {
    Some(match (code, command) {
        ("corpus-changed", _) => {
            "to continue with the text as it was when the run began, add --allow-changed-corpus"
        }
        ("file-damaged", "resume") => {
            "restore that file from a copy of the run; without one, the run cannot go on, but \
             `crystalline generate` still writes with its model"
        }
        ("file-exists", "tokenizer" | "data" | "eval") => {
            "to have an existing file replaced, add --force"
        }
        ("folder-not-empty", _) => "choose another --out",
        ("not-finite", "generate" | "eval") => {
            "to use it as it is, to look at it, add --allow-nonfinite"
        }
        ("run-exists", _) => "continue it with `crystalline resume`, or choose another --out",
        ("no-checkpoint", _) => {
            "training saves the first one after some steps; wait for it, or continue the run with \
             `crystalline resume`"
        }
        ("no-run", _) => "give the folder that `crystalline train` printed",
        ("diverged" | "worse-than-guessing", _) => "train again with a lower --lr",
        ("run-moved" | "writer-stopped", _) => "continue with `crystalline resume`",
        ("text-not-utf8" | "text-binary", "train") => {
            "to have such bytes replaced, add --replace-invalid-utf8"
        }
        ("text-too-short-to-split", "train") => {
            "give a validation text (--valid FILE), or hold nothing out (--holdout 0)"
        }
        ("tokenizer-damaged" | "tokenizer-unsupported", _) => {
            "`crystalline tokenizer train` makes a tokeniser that can be read"
        }
        _ => return None,
    })
}
