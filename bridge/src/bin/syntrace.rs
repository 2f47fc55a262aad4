//! `syntrace`: the command line for people, as a process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use syntrace_bridge::cli;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
