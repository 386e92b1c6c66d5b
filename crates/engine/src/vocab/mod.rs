//! Temp.
pub mod classes;
