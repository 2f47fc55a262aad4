//! `syntrace-bridge`: the bridge as a process.
#![forbid(unsafe_code)]

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use syntrace_bridge::{
    config::{Config, Usage},
    pipeline::Pipeline,
    server::{Protection, Server},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit code of a wrong configuration (`EX_USAGE` of sysexits.h).
const WRONG_CONFIGURATION: u8 = 64;

fn main() -> anyhow::Result<ExitCode> {
    let config = match Config::parse_line(std::env::args_os()) {
        Ok(config) => config,
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
    let protection = match Protection::load(&config.server()) {
        Ok(protection) => protection,
        Err(error) => {
            writeln!(io::stderr(), "error: {:#}", anyhow::Error::new(error))
                .context("writing to standard error")?;
            return Ok(ExitCode::from(WRONG_CONFIGURATION));
        }
    };
    match run(&config, protection) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            writeln!(io::stderr(), "error: {error:#}").context("writing to standard error")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

#[tokio::main]
async fn run(config: &Config, protection: Protection) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let renewed = protection.clone();
    let server = Server::bind(&config.server(), protection).await?;
    let address = server.address();
    let pipeline = Pipeline::start(&config.pipeline())?;
    tracing::info!(%address, "Listening");
    let stop = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = pipeline.failed() => break,
                Some(()) = hangup.recv() => renew(&renewed, config),
            }
        }
        tracing::info!("Stopping");
    };
    server.run(pipeline.state(), stop).await;
    pipeline.finish().await.context("folding")?;
    tracing::info!("Stopped");
    Ok(())
}

/// Reads tokens and certificates again.
fn renew(protection: &Protection, config: &Config) {
    match protection.renew(&config.server()) {
        Ok(()) => tracing::info!("Read tokens and certificates again"),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "Kept the tokens and certificates that were there");
        }
    }
}
