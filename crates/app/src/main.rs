//! Program `crystalline`: parses the command line, calls the engine and prints the results.
#![forbid(unsafe_code)]

mod bench;
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
