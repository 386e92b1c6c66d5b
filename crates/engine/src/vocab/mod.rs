//! What is known of a vocabulary beyond its list: which parts its words are made of.

pub mod morphemes;
