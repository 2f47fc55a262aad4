//! The command line `syntrace`: queries the bridge and prints the answer in words.
//!
//! Read-only. `--json` prints every answer as the bridge gave it. Text from outside is printed with its control
//! characters made visible: a terminal would obey them.

mod answers;
mod bridge;
mod coverage;
mod doctor;
mod find;
mod line;
mod list;
mod replay;
mod show;
mod tail;
mod text;
mod why;
mod words;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser as _};

pub use self::line::Line;
use self::{
    bridge::{AskError, Bridge, SetupError},
    line::Command,
};

/// How a command ended; the codes are documented in `syntrace help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done.
    Done = 0,
    /// `doctor`: a link of the chain is broken.
    Broken = 2,
    /// Nothing is known under the requested name.
    NotFound = 3,
}

/// Exit code of what could not be done.
const FAILED: u8 = 1;

/// Exit code of a wrong command line (`EX_USAGE` of sysexits.h).
const WRONG_USAGE: u8 = 64;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("writing the answer")]
    Write(#[from] io::Error),
    #[error("reading or writing a record as JSON")]
    Json(#[from] serde_json::Error),
    #[error("replaying the log in {}", .path.display())]
    Replay { path: PathBuf, source: io::Error },
    #[error("nothing was found; {0}")]
    Incomplete(answers::Incomplete),
    #[error(transparent)]
    NoTime(#[from] find::NoTime),
    #[error("there is no command {0}")]
    NoCommand(String),
    #[error("starting")]
    Runtime(#[source] io::Error),
}

/// Runs the command that `arguments` names, and returns the process's exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            let wrong = error.use_stderr();
            // Where nobody reads, nobody is told.
            error.print().unwrap_or_default();
            return if wrong {
                ExitCode::from(WRONG_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(line) {
        Ok(exit) => ExitCode::from(exit as u8),
        // `syntrace tail | head` is no failure.
        Err(CliError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            text::complain(&error);
            let is_wrong_usage = matches!(error, CliError::NoTime(_));
            ExitCode::from(if is_wrong_usage { WRONG_USAGE } else { FAILED })
        }
    }
}

fn run(line: Line) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(answer(line))
}

async fn answer(line: Line) -> Result<Exit, CliError> {
    let mut out = anstream::stdout();
    let Line { to, json, command } = line;
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Line::command(), "syntrace", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Done)
        }
        Command::Man { of } => man(of.as_deref(), &mut out),
        Command::Replay { directory } => replay::run(&directory, json, &mut out),
        Command::Doctor(options) => doctor::run(&to, &options, json, &mut out).await,
        Command::Why(options) => why::run(&Bridge::new(&to)?, &options, json, &mut out).await,
        Command::Tail(options) => tail::run(&Bridge::new(&to)?, &options, json, &mut out).await,
        Command::Show { what, many } | Command::Find { what, many } => {
            find::run(&Bridge::new(&to)?, &what, &many, json, &mut out).await
        }
        Command::Coverage => coverage::run(&Bridge::new(&to)?, json, &mut out).await,
    }
}

/// Writes the manual page of a command, or that of all.
fn man(of: Option<&str>, out: &mut impl io::Write) -> Result<Exit, CliError> {
    let mut all = Line::command();
    // Only then do the commands have what all of them take.
    all.build();
    let page = match of {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| CliError::NoCommand(name.to_owned()))?;
            let name = format!("syntrace-{}", found.get_name());
            found.name(name)
        }
    };
    clap_mangen::Man::new(page).render(out)?;
    Ok(Exit::Done)
}
