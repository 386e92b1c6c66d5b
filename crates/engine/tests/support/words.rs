//! Vocabulary of any size whose tokens spell words with parts in common.

use serde_json::json;
use text::vocab::compose::Composer;
use text::vocab::morphemes::Codes;
use text::vocab::word_spans::WordSpans;

/// Stems of tokens and words.
const STEMS: [&str; 8] = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];

/// Features after the stems: one that is a part, and one that is not.
const JOINT: usize = STEMS.len();
const TOKEN: usize = JOINT + 1;

/// Rows of the table of parts.
pub const N_PARTS: usize = JOINT + 1;

/// Composer for tokens of which two in five begin a word, two continue one, and one is a comma.
/// Only the first token has no parts.
pub fn composer(vocab_size: usize) -> Composer {
    let mut features: Vec<_> = STEMS.iter().map(|stem| ("stem", *stem)).collect();
    features.extend([("joint", ""), ("token", ",")]);
    let codes = (0..vocab_size).map(|id| match id {
        0 => vec![],
        id => vec![id % 5, 5 + id % 3, if id % 2 == 0 { JOINT } else { TOKEN }],
    });
    let codes = json!({
        "form": 1,
        "features": features,
        "codes": codes.collect::<Vec<_>>(),
        "affixes": [],
        "changes": [],
        "nats_per_char": 10.0,
        "join_nats": 1.0,
        "has_blanks": true,
    });
    let tokens: Vec<String> = (0..vocab_size)
        .map(|id| match (id % 5, STEMS[id % STEMS.len()]) {
            (0 | 1, stem) => format!(" {stem}"),
            (2 | 3, stem) => stem.to_string(),
            _ => ",".to_string(),
        })
        .collect();
    let runs = WordSpans::of_tokens(tokens.iter().map(|token| (token.as_bytes(), false)));
    Composer::new(Codes::from_json(&codes).unwrap(), runs).unwrap()
}
