//! Program `crystalline`: parses the command line, calls the engine and prints the results.
#![forbid(unsafe_code)]

mod bench;
mod cli;

use kernels::heap::Heap;
use std::process::ExitCode;

#[global_allocator]
static HEAP: Heap = Heap { exhausted: cli::memory_exhausted };

fn main() -> ExitCode {
    cli::main()
}
