//! The vocabulary as a structure: which tokens belong together, and what words are made of.

pub mod classes;
pub mod morphemes;
