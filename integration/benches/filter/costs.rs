//! Measures each variant, round by round, and keeps what each request cost.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use anyhow::Context as _;
use syntrace_bench_report::{Estimate, median, ratio_of_medians};
use syntrace_integration::{paths, process::Program, sandbox::Sandbox};

use crate::{
    variants::{self, ADMIN_PORT, Flush, Variant},
    worker::Worker,
};

/// Requests of one measurement, over so many connections that are kept alive.
///
/// A multiple of the spans after which the tracer sends them: nothing is left for the next measurement.
const REQUESTS: u32 = 2_000;
const CONNECTIONS: u32 = 16;
/// Connections of the warm-up: at least as many as the filter remembers, so that its tables are full, in so many
/// loads.
const WARM_UP_CONNECTIONS: u32 = 512;
const WARM_UPS: u32 = 9;
/// The worker has one processor to itself; the load, the service and the sinks share the other.
const WORKER_CPU: &str = "0";
const OTHER_CPU: &str = "1";
const START_DEADLINE: Duration = Duration::from_secs(60);
const LOAD_DEADLINE: Duration = Duration::from_secs(60);

/// What a request cost, nanoseconds: for each round, each variant.
#[derive(Debug)]
pub(crate) struct Costs {
    rounds: Vec<BTreeMap<Variant, f64>>,
    /// Pages of 64 KiB by which the filter's memory grew after the first round.
    memory_growth_pages: i64,
}

/// Measures `variants` in `rounds`, each in an order of its own, after one round that is thrown away.
pub(crate) fn measure(
    sandbox: &Sandbox,
    flush: Flush,
    variants: &[Variant],
    rounds: usize,
) -> anyhow::Result<Costs> {
    let configuration = sandbox.directory().join("bench.json");
    fs::write(
        &configuration,
        variants::bootstrap(sandbox, flush)?.to_string(),
    )?;
    let mut envoy = Program::new("envoy", &sandbox.watched, "taskset")
        .inside(&sandbox.gateway)
        .args([
            "-c".as_ref(),
            WORKER_CPU.as_ref(),
            paths::envoy()?.as_os_str(),
        ])
        .args(["--disable-hot-restart", "--log-level", "warning"])
        .args(["--concurrency", "1", "-c"])
        .args([&configuration])
        .start(sandbox.directory())?;
    for variant in Variant::ALL {
        envoy.wait_for_port(variant.port(), START_DEADLINE)?;
    }
    let worker = Worker::of(envoy.id())?;
    let mut order = variants.to_vec();
    let mut costs = Vec::new();
    let mut pages = 0;
    let mut before = worker.rest()?;
    for round in 0..=rounds {
        let shift = round * 3 % order.len();
        order.rotate_left(shift);
        if round % 2 == 1 {
            order.reverse();
        }
        let mut costs_of_round = BTreeMap::new();
        for &variant in &order {
            if round == 0 {
                for _ in 0..WARM_UPS {
                    load(sandbox, variant, WARM_UP_CONNECTIONS, WARM_UP_CONNECTIONS)?;
                }
            }
            load(sandbox, variant, CONNECTIONS, REQUESTS)?;
            let after = worker.rest()?;
            costs_of_round.insert(variant, (after - before) as f64 / f64::from(REQUESTS));
            before = after;
        }
        if round == 0 {
            pages = grown_pages(sandbox)?;
            before = worker.rest()?;
        } else {
            costs.push(costs_of_round);
        }
    }
    Ok(Costs {
        rounds: costs,
        memory_growth_pages: grown_pages(sandbox)? - pages,
    })
}

/// Sends the requests; every answer has to be a success.
fn load(
    sandbox: &Sandbox,
    variant: Variant,
    connections: u32,
    requests: u32,
) -> anyhow::Result<()> {
    let printed = Program::new("h2load", &sandbox.watched, "taskset")
        .inside(&sandbox.gateway)
        .args(["-c", OTHER_CPU, "h2load", "--h1", "-t", "1"])
        .args(["-c", &connections.to_string(), "-n", &requests.to_string()])
        .args([format!("http://127.0.0.1:{}/hello", variant.port())])
        .start(sandbox.directory())?
        .finish(LOAD_DEADLINE)?;
    let expected = format!("{requests} succeeded, 0 failed, 0 errored");
    anyhow::ensure!(printed.contains(&expected), "{printed}");
    Ok(())
}

/// Reads by how much the memory of all the filter's VMs grew since each was configured, by their own metric.
fn grown_pages(sandbox: &Sandbox) -> anyhow::Result<i64> {
    let url =
        format!("http://127.0.0.1:{ADMIN_PORT}/stats?filter=syntrace.memory_grown_pages_total");
    let printed = Program::new("admin", &sandbox.watching, "curl")
        .inside(&sandbox.gateway)
        .args(["-q", "-sS", "--fail", "--noproxy", "*", &url])
        .start(sandbox.directory())?
        .finish(LOAD_DEADLINE)?;
    let value = printed.trim().rsplit(' ').next().map(str::parse);
    value
        .with_context(|| printed.clone())?
        .context("memory_grown_pages_total")
}

impl Costs {
    /// Returns by how many pages the filter's memory grew after the first round.
    pub(crate) const fn memory_growth_pages(&self) -> i64 {
        self.memory_growth_pages
    }

    /// Returns what `variant` added to each request, microseconds, round by round.
    pub(crate) fn added_us(&self, variant: Variant) -> Vec<f64> {
        let added = self.rounds.iter().filter_map(|round| {
            let cost = |variant| round.get(&variant).copied();
            let none = f64::midpoint(cost(Variant::None)?, cost(Variant::NoneAgain)?);
            Some((cost(variant)? - none) / 1_000.0)
        });
        added.collect()
    }

    /// Returns what two equal listeners differ by, microseconds, round by round.
    pub(crate) fn noise(&self) -> Vec<f64> {
        let noise = self.rounds.iter().filter_map(|round| {
            let cost = |variant| round.get(&variant).copied();
            Some((cost(Variant::NoneAgain)? - cost(Variant::None)?) / 1_000.0)
        });
        noise.collect()
    }

    /// Returns what `variant` adds over what `rival` adds: the ratio of both medians, round by round in the
    /// resamples. A ratio in each round would be one of small differences, and follow the noise.
    pub(crate) fn ratio(&self, variant: Variant, rival: Variant) -> Estimate {
        let pairs: Vec<_> = self
            .added_us(variant)
            .into_iter()
            .zip(self.added_us(rival))
            .collect();
        ratio_of_medians(&pairs)
    }

    pub(crate) fn to_table(&self, title: &str) -> String {
        let mut table = format!("\nadded to each request, us ({title})\n");
        let mut line = |name: &str, samples: &[f64]| {
            let Estimate { value, interval, n } = median(samples);
            let (low, high) = interval.unwrap_or((value, value));
            writeln!(
                table,
                "  {name:<22} {value:7.2}  [{low:7.2}, {high:7.2}]  n={n}"
            )
            .unwrap_or_default();
        };
        for variant in self.rounds.first().into_iter().flat_map(BTreeMap::keys) {
            line(variant.name(), &self.added_us(*variant));
        }
        line("noise (A/A)", &self.noise());
        table
    }
}
