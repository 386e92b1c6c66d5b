//! Program `crystalline`: reads the command line, calls the engine, prints.
#![forbid(unsafe_code)]

mod bench;
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
