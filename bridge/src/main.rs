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
    let server = Server::bind(&config.server(), protection).await?;
    let address = server.address();
    let pipeline = Pipeline::start(&config.pipeline()).context("making the exporter")?;
    tracing::info!(%address, "Listening");
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = pipeline.failed() => {}
        }
        tracing::info!("Stopping");
    };
    server.run(pipeline.state(), stop).await;
    pipeline.finish().await.context("folding")?;
    tracing::info!("Stopped");
    Ok(())
}
