//! The demo from beginning to end: set up, traffic, the bridge's answers, the verdict, and a while to look around.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use super::{
    inquiry, timeline,
    traffic::{self, Captures},
    verdict::{Answers, Summary},
    wire,
};
use crate::{
    api::Client,
    envoy::PORT,
    interrupt::{self, Interrupted},
    paths, requirements,
    sandbox::{GATEWAY, Sandbox},
    stack::Stack,
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the demo; success only if every check holds.
///
/// # Errors
///
/// Fails if a part cannot be started or dies; the parts' last lines are printed.
pub fn run() -> anyhow::Result<ExitCode> {
    let missing = requirements::missing();
    if !missing.is_empty() {
        bail!("the demo needs {}", missing.join(", "));
    }
    let sandbox = Sandbox::new()?;
    match story(&sandbox) {
        Ok(Summary { errors: 0, .. }) => Ok(ExitCode::SUCCESS),
        Ok(_) => {
            writeln!(io::stderr(), "{}", sandbox.log_tails())?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) if error.is::<Interrupted>() => Ok(ExitCode::from(INTERRUPTED)),
        Err(error) => {
            writeln!(io::stderr(), "{}", sandbox.log_tails())?;
            Err(error)
        }
    }
}

fn story(sandbox: &Sandbox) -> anyhow::Result<Summary> {
    let mut out = anstream::stdout();
    let stack = Stack::start(sandbox)?;
    let captures = Captures::start(sandbox)?;
    let mut evidence =
        traffic::run_counted(sandbox, &stack.envoy).context("running the clients")?;
    let judged = inquiry::inquire(&mut evidence, &captures, stack.bridge.client())?;
    draw(&mut out, &judged.answers)?;
    for complaint in &judged.complaints {
        writeln!(out, "ERROR {complaint}")?;
    }
    writeln!(out, "{}", serde_json::to_string(&judged.summary)?)?;
    if io::stdout().is_terminal() && env::var_os("DEMO_ONCE").is_none() {
        stay(&mut out, sandbox, stack.bridge.client())?;
    }
    Ok(judged.summary)
}

/// Draws every connection, in the order in which they were opened.
fn draw(out: &mut impl io::Write, answers: &Answers) -> io::Result<()> {
    let (wires, _) = wire::group(&answers.connections);
    writeln!(out, "{}", timeline::legend())?;
    for (number, (tuple, wire)) in (1..).zip(wire::in_order(&wires)) {
        writeln!(
            out,
            "{}",
            timeline::draw(number, tuple, wire, &wire.requests(&answers.requests))
        )?;
    }
    Ok(())
}

/// Leaves everything running until Ctrl-C.
fn stay(out: &mut impl io::Write, sandbox: &Sandbox, bridge: &Client) -> anyhow::Result<()> {
    let (base, client) = (bridge.base(), sandbox.client.name());
    writeln!(out, "\nEverything stays up until Ctrl-C. To try:")?;
    writeln!(
        out,
        "    ip netns exec {client} curl http://{GATEWAY}:{PORT}/dead"
    )?;
    writeln!(out, "    in a browser: {base}/")?;
    let syntrace = paths::program("syntrace")?;
    for command in ["why", "tail", "coverage"] {
        writeln!(out, "    {} --bridge {base} {command}", syntrace.display())?;
    }
    interrupt::wait()?;
    Ok(())
}
