//! Exact counts, which any machine can judge, and a rough picture beside them: `make bench-quick`.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use syntrace_bench_report::{Estimate, Figure};
use syntrace_integration::{paths, process::Program};

use crate::{
    client::Orders,
    cpu,
    gateway::Extra,
    ledger,
    loads::Load,
    part::Part,
    statistics::Statistics,
    world::{Which, World},
};

/// Connections whose runs are counted, one after the other, and requests on one connection.
const CONNECTIONS: usize = 500;
const REQUESTS: usize = 2_000;
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn measure(world: &World, part: &mut Part) -> anyhow::Result<()> {
    for (name, key, budget) in [
        ("host_calls", "host_calls", 9.0),
        ("vm_entries", "vm_entries", 4.0),
    ] {
        let counted = Estimate::exact(routine(key)?, 1);
        part.add(
            Figure::new(format!("quick.{name}_per_request"), "calls", counted).at_most(budget),
        );
    }
    runs(world, part)?;
    chain(world, part)?;
    cpu::rough(world, part)
}

/// Counts the runs of the programs that follow sockets, for a connection and for a request on one that is open.
fn runs(world: &World, part: &mut Part) -> anyhow::Result<()> {
    let _on = Statistics::on()?;
    one_by_one(world, 20, 1)?;
    let before = sock_ops_runs(world)?;
    one_by_one(world, CONNECTIONS, 1)?;
    let between = sock_ops_runs(world)?;
    one_by_one(world, 1, 1)?;
    let one = sock_ops_runs(world)?;
    one_by_one(world, 1, REQUESTS)?;
    let many = sock_ops_runs(world)?;
    let ends = 2 * CONNECTIONS;
    let each = Estimate::exact((between - before) as f64 / ends as f64, ends);
    part.add(
        Figure::new("quick.runs_per_connection_end", "runs", each)
            .at_most(10.5)
            .floor(4.5),
    );
    let beyond = (many - one) as f64 - (one - between) as f64;
    let each = Estimate::exact(beyond / REQUESTS as f64, REQUESTS);
    part.add(
        Figure::new("quick.runs_per_request", "runs", each)
            .at_most(0.0)
            .floor(0.0),
    );
    Ok(())
}

/// Makes connections one after the other, each with so many requests.
fn one_by_one(world: &World, connections: usize, requests: usize) -> anyhow::Result<()> {
    let orders = Orders {
        address: world.side(Which::Watched)?.address(Extra::Filter, false),
        connections: 1,
        requests: connections * requests,
        rate: None,
        churn: requests == 1,
        log: None,
    };
    let outcome = world.client(Which::Watched, &orders)?;
    anyhow::ensure!(outcome.failed == 0, "{outcome:?}");
    Ok(())
}

/// Sends requests over connections of their own: every one has to be joined for certain, and nothing lost.
fn chain(world: &World, part: &mut Part) -> anyhow::Result<()> {
    let before = ledger::settled(world)?;
    Load::Churn.put(world, Which::Watched, Extra::Filter, REQUESTS)?;
    let after = ledger::settled(world)?;
    let exact = |value: u64| Estimate::exact(value as f64, REQUESTS);
    let joined = after.certain() - before.certain();
    part.add(Figure::new("quick.joined", "requests", exact(joined)).at_least(REQUESTS as f64));
    part.add(
        Figure::new(
            "quick.unmatched",
            "requests",
            exact(after.unmatched() - before.unmatched()),
        )
        .at_most(0.0),
    );
    part.add(Figure::new("quick.lost", "facts", exact(after.lost)).at_most(0.0));
    Ok(())
}

/// Returns how often the sock_ops programs of the sandbox's cgroup ran so far.
fn sock_ops_runs(world: &World) -> anyhow::Result<u64> {
    let attached = bpftool(
        world,
        &[
            "cgroup".as_ref(),
            "show".as_ref(),
            world.sandbox.watched.path(),
        ],
    )?;
    let mut runs = 0;
    for program in attached.as_array().into_iter().flatten() {
        let kind = program
            .get("attach_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if kind.contains("sock_ops") {
            let id = program
                .get("id")
                .and_then(Value::as_u64)
                .context("a program without an id")?;
            let shown = bpftool(
                world,
                &[
                    "prog".as_ref(),
                    "show".as_ref(),
                    "id".as_ref(),
                    Path::new(&id.to_string()),
                ],
            )?;
            runs += shown
                .get("run_cnt")
                .and_then(Value::as_u64)
                .context("no count of runs")?;
        }
    }
    anyhow::ensure!(runs > 0, "no sock_ops program ran: {attached}");
    Ok(runs)
}

fn bpftool(world: &World, args: &[&Path]) -> anyhow::Result<Value> {
    let printed = Program::new("bpftool", &world.tools, "bpftool")
        .args(["-j"])
        .args(args)
        .start(world.sandbox.directory())?
        .finish(ANSWER_DEADLINE)?;
    serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))
}

/// Reads an exact count of the routine keep-alive request, as the filter's own tests keep them.
fn routine(key: &str) -> anyhow::Result<f64> {
    let path = paths::root().join("wasm-filter/core/tests/counts.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let counts: Value = serde_json::from_str(&text)?;
    counts
        .pointer(&format!("/keep_alive_request/{key}"))
        .and_then(Value::as_f64)
        .with_context(|| format!("{} has no keep_alive_request.{key}", path.display()))
}
