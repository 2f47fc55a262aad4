//! The demo from beginning to end: set up, traffic, the bridge's answers, the verdict, and a while to look around.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use super::{
    gray, inquiry, timeline,
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
    let stack = Stack::start_with(sandbox, gray::gateway())?;
    let captures = Captures::start(sandbox)?;
    let mut evidence =
        traffic::run_counted(sandbox, &stack.envoy).context("running the clients")?;
    let judged = inquiry::inquire(&mut evidence, &captures, stack.bridge.client())?;
    draw(&mut out, &judged.answers)?;
    let _release = gray::service(sandbox)?;
    let gray = gray::run(sandbox, stack.bridge.client()).context("trying a gray release")?;
    writeln!(out, "{}", gray.words)?;
    for complaint in judged.complaints.iter().chain(&gray.complaints) {
        writeln!(out, "ERROR {complaint}")?;
    }
    let summary = Summary {
        errors: judged.summary.errors + gray.complaints.len(),
        ..judged.summary
    };
    writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    if is_to_stay() {
        stay(&mut out, sandbox, stack.bridge.client())?;
    }
    Ok(summary)
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

/// Whether somebody will look around: on a terminal, unless `DEMO_ONCE` is set, and wherever `DEMO_STAY` is.
fn is_to_stay() -> bool {
    let is_set = |name| env::var_os(name).is_some();
    is_set("DEMO_STAY") || io::stdout().is_terminal() && !is_set("DEMO_ONCE")
}

/// Leaves everything running until Ctrl-C or SIGTERM, and says how to use it: first the variables that the
/// lines below it, and `docs/three-faults.md`, are written with.
fn stay(out: &mut impl io::Write, sandbox: &Sandbox, bridge: &Client) -> anyhow::Result<()> {
    let (base, client) = (bridge.base(), sandbox.client.name());
    let name = client.strip_suffix("-client").unwrap_or(client);
    let programs = paths::program("syntrace")?;
    let programs = programs.parent().unwrap_or(&programs).display();
    writeln!(
        out,
        "\nEverything stays up until Ctrl-C. In another shell of root's:\n\n\
         B={base}\n\
         N={name}\n\
         PATH={programs}:$PATH\n\n\
         ip netns exec $N-client curl http://{GATEWAY}:{PORT}/dead\n\
         syntrace --bridge $B why    # or tail, coverage; in a browser: {base}/\n\n\
         docs/three-faults.md goes on from here: what to break, and how it is found."
    )?;
    interrupt::wait()?;
    Ok(())
}
