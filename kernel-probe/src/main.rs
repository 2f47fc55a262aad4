//! `syntrace-probe`: the kernel view as a process.
#![forbid(unsafe_code)]

mod cli;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, ensure};
use syntrace_probe::{Manifest, check, detach, explain, record, replay, run, status, watch};
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, Form, Usage};

/// Exit code of a wrong configuration (`EX_USAGE` of sysexits.h).
const WRONG_CONFIGURATION: u8 = 64;

fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
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
    match carry_out(command) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            // One line; it names its cause itself.
            writeln!(io::stderr(), "error: {error}").context("writing to standard error")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(settings, destination, succession) => {
            block_on(run(settings, destination, succession))??;
        }
        Command::Watch(settings) => block_on(watch(settings, io::stdout()))??,
        Command::Record(settings, file, path) => {
            let n_batches = block_on(record(settings, file, &path))??;
            print([format!("recorded {n_batches} batches")])?;
        }
        Command::Replay(file, bridge) => {
            let n_batches = block_on(replay(&file, &bridge))??;
            print([format!("replayed {n_batches} batches")])?;
        }
        Command::Detach(bpffs, scope) => {
            let detached = detach(&bpffs, scope)?;
            print(detached.iter().map(ToString::to_string))?;
        }
        Command::Status(bpffs) => print(status(&bpffs))?,
        Command::Explain(file) => {
            let found = explain(&read(&file)?);
            ensure!(
                found.is_of_a_log(),
                "expected a verifier's log, found none in {}",
                file.display()
            );
            print([found.to_string().trim_end().to_owned()])?;
        }
        Command::Manifest(None) => print([Manifest::of_this_kernel()?.to_string()])?,
        Command::Manifest(Some(file)) => {
            let kept = Manifest::parse(&read(&file)?)?;
            let grown = Manifest::of_this_kernel()?.growth_since(&kept);
            ensure!(
                grown.is_empty(),
                "{}; if that is meant, write the manifest anew",
                grown.join("; ")
            );
        }
        Command::Check(bpffs, form) => {
            let report = check(&bpffs);
            print([match form {
                Form::Json => format!("{:#}", report.to_json()),
                Form::Table => report.to_string().trim_end().to_owned(),
            }])?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|error| anyhow!("reading {} failed: {error}", file.display()))
}

fn print(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    lines
        .into_iter()
        .try_for_each(|line| writeln!(io::stdout(), "{line}"))
        .context("writing to standard output")
}

/// Runs `task` on this thread, which must stay the only one: privileges belong to threads.
fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    Ok(runtime.block_on(task))
}
