//! Integration tests of the app crate: the program as a process, and the rules of the repository.

mod program;
mod tidy;
