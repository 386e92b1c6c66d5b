//! Repository rules that a machine can check; each is tested on a planted violation.
//!
//! A rule is a function from the files to a list of complaints. Its module holds two kinds of test:
//! the rule finds nothing here, and it finds what is planted in a made-up repository.

mod check_script;
mod errors;
mod first_line;
mod layers;
mod mirror;
mod names;
mod opened;
mod readme;
mod repo;
mod rust_text;
mod sizes;
mod type_names;
mod variants;
mod words;
