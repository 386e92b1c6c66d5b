//! Integration tests of the engine, in one binary; those that own the process (its allocator, its
//! instruction set) have one of their own.

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod decode;
mod durability;
mod golden;
mod gradients;
mod lazy_rows;
mod memory;
mod model_files;
mod nonfinite;
mod precision_pairs;
mod resume;
mod second_optimizer;
mod text_ends;
mod threads;
mod token_order;
