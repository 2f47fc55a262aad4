//! `syntrace-probe`: the kernel view as a process.
#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use syntrace_probe::Settings;
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, Usage};

/// Exit code of a wrong configuration (`EX_USAGE` of sysexits.h).
const WRONG_CONFIGURATION: u8 = 64;

fn main() -> anyhow::Result<ExitCode> {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(Usage::Asked(text)) => {
            write!(io::stdout(), "{text}").context("writing to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Usage::Wrong(line)) => {
            writeln!(io::stderr(), "{line}").context("writing to standard error")?;
            return Ok(ExitCode::from(WRONG_CONFIGURATION));
        }
    };
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    match command {
        Command::Run(settings) => run(settings)?,
        Command::Check => {
            for line in syntrace_probe::check() {
                writeln!(io::stdout(), "{line}").context("writing to standard output")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(syntrace_probe::run(settings))
        .context("running the probe")
}
