//! Morphemes: words cut into prefixes, stems and suffixes, found without a teacher.
//!
//! Nothing here knows a language. A vocabulary with counts is explained by the ways in which its
//! words may have come about (`ways`): as a root, by an affix on another word or on a stem that
//! never stands alone, or by joining two words. `learn` fits how often each way is taken and drops
//! what does not pay for its own description, so *runs* and *running* become *run* with *s* and
//! *ing*, and the doubled *n* a rule that was learnt as well (`change`).
//!
//! `segmentation` turns the chosen ways into parts, `lexicon` cuts words that were not in the
//! vocabulary, `evaluate` measures boundaries against known ones, and `codes` gives every token
//! the primes of its parts, which `codes_file` reads and writes.

mod change;
mod codes;
mod codes_file;
mod error;
mod evaluate;
mod interned;
mod learn;
mod lexicon;
mod rates;
mod segmentation;
mod spelling;
mod token;
mod ways;
mod words;

#[cfg(test)]
mod languages;
#[cfg(test)]
mod tests;

pub use change::Change;
pub use codes::{Codes, Feature, FeatureKind};
pub use error::MorphemeError;
pub use evaluate::{BoundaryScore, evaluate, suffix_list_cuts};
pub use lexicon::Lexicon;
pub use segmentation::{Part, PartKind, Parts, Segmentation, segment_vocabulary};
pub use token::Token;
