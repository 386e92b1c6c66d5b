//! Morphemes: unsupervised segmentation of words into prefixes, stems and suffixes.
//!
//! The method is language-independent. It explains a vocabulary with counts by possible derivations
//! of its words (`ways`): as a root, by an affix on another word or on a bound stem, or as a
//! compound of two words. `learn` fits the rate of each derivation and drops those that do not pay
//! for their description. *runs* and *running* become *run* with *s* and *ing*, and the doubled *n*
//! a learnt rule (`change`).
//!
//! `segmentation` turns the chosen derivations into parts, `lexicon` segments new words, `evaluate`
//! measures boundaries against known ones, and `codes` assigns to every token the primes of its
//! parts, which `codes_file` reads and writes.

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
pub use lexicon::PartLexicon;
pub use segmentation::{PartKind, Segmentation, WordPart, WordParts, segment_vocabulary};
pub use token::Token;
