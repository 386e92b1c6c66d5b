//! Notices about a run, in words.

use engine::train::events::Notice;
use text::{counted, thousands};

/// Number of files that are named.
const SHOWN: usize = 3;

/// One or two sentences: what was found, and what to do about it.
pub fn words(notice: &Notice) -> String {
    match notice {
        Notice::NothingHeldOut { n_bytes } => format!(
            "the text has {}, too few to hold some out: all of it is trained on, and no held-out \
             loss is measured",
            counted(*n_bytes as usize, "byte")
        ),
        Notice::SameText { first, second } => format!(
            "{} has the same text as {}, which is therefore trained on twice as often as the rest",
            second.display(),
            first.display()
        ),
        Notice::Repeated { share } => format!(
            "{:.0} % of the held-out text stands in the training text word for word: its loss will be \
             lower than that of new text",
            100.0 * share
        ),
        Notice::OtherKind { train_bits, held_out_bits } => format!(
            "the held-out text seems to be of another kind than the training text ({held_out_bits:.2} \
             bits per byte by the frequencies of its letter pairs there, the training text \
             {train_bits:.2}): its loss says little about the training text"
        ),
        Notice::RowsMissing { file, found, expected } => format!(
            "{file} has {} rows of at least {} that were written: rows of earlier steps are missing, \
             which does not change the training",
            thousands(*found as usize),
            thousands(*expected as usize)
        ),
        Notice::HeldOutTextMissing => {
            "valid.tokens is missing: held-out text is no longer measured".to_owned()
        }
        Notice::SpecialNames { name, n } => format!(
            "{name:?} stands in the text {} and is read as ordinary text; if it separates \
             documents, give --separator {name:?}",
            counted(*n, "time")
        ),
        Notice::EmptyFiles { files } => {
            let first: Vec<String> =
                files.iter().take(SHOWN).map(|file| file.display().to_string()).collect();
            let more = if files.len() > SHOWN { ", ..." } else { "" };
            let n = thousands(files.len());
            format!("left out {n} without text: {}{more}", first.join(", "))
        }
        Notice::LineEnds { n } => format!(
            "{} line ends of other systems (CR or CR LF) are read as line feeds",
            thousands(*n as usize)
        ),
        Notice::Composed { n } => format!(
            "{} characters written as a letter and its accents are read as one character each (NFC)",
            thousands(*n as usize)
        ),
        Notice::BeginsAgain { rows } => format!(
            "the run has no checkpoint, so it begins again at its first step; the rows of the earlier \
             attempt are in {}",
            rows.display()
        ),
        Notice::TextMissing { path } => format!(
            "{} is not found; the run goes on with its own copy of the text as tokens",
            path.display()
        ),
        Notice::RolledBack { from, to, n, of, why } => rolled_back(*from, *to, *n, *of, why),
        _ => format!("{notice:?}"),
    }
}

fn rolled_back(from: u64, to: u64, n: u64, of: u64, why: &str) -> String {
    let to = match to {
        0 => "the untrained model".to_string(),
        to => format!("the state of step {to}"),
    };
    format!(
        "training went wrong at step {from} ({why}): it goes on from {to} with half the learning rate, \
         the batches in between left out ({n} of {of} times); a lower --lr may avoid this"
    )
}
