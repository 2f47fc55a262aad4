//! Runs the demo: see `syntrace_integration::demo`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    syntrace_integration::demo::run()
}
