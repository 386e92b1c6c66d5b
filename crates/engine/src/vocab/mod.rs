//! The vocabulary as a structure: which tokens belong together.

pub mod classes;
