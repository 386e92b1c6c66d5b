//! The `crystalline` program: reads what was typed, calls the engine, prints.
fn main() {}
