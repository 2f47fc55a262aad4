//! How cost and memory grow: with connections that are open, and with records that are kept.

use std::{fs, time::Duration};

use anyhow::Context as _;
use syntrace_bench_report::{Estimate, Figure};
use syntrace_integration::deadline::{self, Look};

use crate::{
    gateway::Extra,
    ledger,
    loads::Load,
    part::Part,
    world::{LOAD_DEADLINE, Which, World},
};

const CONNECTIONS: [usize; 3] = [100, 1_000, 10_000];
/// Requests of each connection before those that are charged, so that connecting is not.
const WARM: usize = 2;
/// Requests that are charged, at least.
const CHARGED: usize = 20_000;
const RECORDS: [usize; 3] = [10_000, 100_000, 1_000_000];
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn measure(world: &mut World, part: &mut Part) -> anyhow::Result<()> {
    // In this order: connections bring records.
    records(world, part)?;
    connections(world, part)
}

fn connections(world: &mut World, part: &mut Part) -> anyhow::Result<()> {
    for open in CONNECTIONS {
        let more = CHARGED.div_ceil(open).max(4);
        let (warm, _) = hold(world, open, WARM)?;
        let before = memory(world)?;
        let (all, peak) = hold(world, open, WARM + more)?;
        let requests = open * more;
        let each = (all - warm) / requests as f64;
        let name = |what: &str| format!("chain.growth.connections.{open}.{what}");
        part.add(Figure::new(
            name("cpu_us_per_request"),
            "us",
            Estimate::exact(each, requests),
        ));
        let grown = peak.saturating_sub(before) as f64 / open as f64;
        part.add(Figure::new(
            name("probe_and_bridge_bytes_per_connection"),
            "bytes",
            Estimate::exact(grown, open),
        ));
        ledger::settled(world)?;
    }
    Ok(())
}

/// Holds so many connections open while each sends its requests; returns the worker's time, microseconds, and the most
/// memory that probe and bridge had meanwhile.
fn hold(world: &mut World, open: usize, each: usize) -> anyhow::Result<(f64, u64)> {
    let side = world.side(Which::Watched)?;
    let before = side.worker.rest()?;
    let (open, requests) = (open.to_string(), (open * each).to_string());
    let url = format!("http://{}/hello", side.address(Extra::Filter, false));
    let mut load = world.start_h2load(
        Which::Watched,
        &["--h1", "-c", &open, "-n", &requests],
        &url,
    )?;
    let mut peak = 0;
    deadline::wait("the load", LOAD_DEADLINE, || {
        peak = peak.max(memory(world)?);
        std::thread::sleep(LOOK);
        let done = load.output()?.contains("status codes: ");
        Ok(if done {
            Look::Done(())
        } else {
            Look::NotYet(format!("{open} connections"))
        })
    })?;
    let printed = load.finish(LOAD_DEADLINE)?;
    anyhow::ensure!(
        printed.contains(&format!("{requests} succeeded, 0 failed, 0 errored")),
        "{printed}"
    );
    let used = world.side(Which::Watched)?.worker.rest()? - before;
    Ok((used as f64 / 1_000.0, peak))
}

fn records(world: &mut World, part: &mut Part) -> anyhow::Result<()> {
    let mut kept = ledger::settled(world)?.requests.settled as usize;
    let is_full = part.is_full();
    for records in RECORDS
        .into_iter()
        .filter(|&records| is_full || records <= 100_000)
    {
        let requests = records.saturating_sub(kept).max(5_000);
        let (own, begun) = (
            world.watching_us()?,
            world.side(Which::Watched)?.worker.rest()?,
        );
        Load::Http1.put(world, Which::Watched, Extra::Filter, requests)?;
        let used =
            (world.side(Which::Watched)?.worker.rest()? - begun) as f64 / 1_000.0 / requests as f64;
        kept = ledger::settled(world)?.requests.settled as usize;
        let own = (world.watching_us()? - own) as f64 / requests as f64;
        let name = |what: &str| format!("chain.growth.records.{records}.{what}");
        let exact = |value: f64| Estimate::exact(value, requests);
        part.add(Figure::new(name("cpu_us_per_request"), "us", exact(used)));
        part.add(Figure::new(
            name("probe_and_bridge_us_per_request"),
            "us",
            exact(own),
        ));
        let resident = resident(world.bridge.process().id())? as f64 / f64::from(1 << 20);
        part.add(Figure::new(name("bridge_resident"), "MiB", exact(resident)));
    }
    Ok(())
}

fn memory(world: &mut World) -> anyhow::Result<u64> {
    Ok(resident(world.bridge.process().id())? + resident(world.probe.process().id())?)
}

/// Returns the memory of a process that is in use, bytes.
fn resident(id: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.with_context(|| format!("process {id} has no VmRSS"))? * 1024)
}
