//! What becomes of every connection at the highest rate of new ones: joined, unmatched, lost, to the last one; and by the
//! client's own log, how many joins are right.

use std::{collections::HashMap, fs, thread, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use syntrace_bench_report::{Estimate, Figure};

use crate::{
    client::Orders,
    gateway::Extra,
    ledger::{self, Ledger},
    loads::CONNECTIONS,
    part::Part,
    world::{Which, World},
};

/// How long connections are made, and how many in a second a first guess is.
const SECONDS: usize = 60;
const QUICK_SECONDS: usize = 1;

/// How often the ledger is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// Most records of a page.
const PAGE: u32 = 1000;

pub(crate) fn measure(world: &World, part: &mut Part) -> anyhow::Result<()> {
    let rate = churn(world, QUICK_SECONDS * 2_000, false)?.0;
    let before = ledger::settled(world)?;
    let requests = (rate * part.seconds(SECONDS)? as f64) as usize;
    let (looks, churned) = while_watching(world, || churn(world, requests, true))?;
    let (rate, log) = churned?;
    let after = ledger::settled(world)?;
    let catching_up = ledger::listed(world)?;
    let sent = log.len();
    let joined = after.certain() - before.certain();
    let unmatched = after.unmatched() - before.unmatched();
    let lost = after.lost - before.lost;
    let exact = |value: f64| Estimate::exact(value, sent);
    part.add(
        Figure::new(
            "chain.joined_ratio",
            "ratio",
            exact(joined as f64 / sent as f64),
        )
        .at_least(0.999)
        .goal(1.0)
        .floor(1.0),
    );
    part.add(Figure::new("chain.unmatched", "requests", exact(unmatched as f64)).goal(0.0));
    part.add(
        Figure::new("chain.lost", "facts", exact(lost as f64))
            .at_most(0.0)
            .floor(0.0),
    );
    part.add(Figure::new(
        "chain.coverage.catch_up",
        "s",
        exact(catching_up.as_secs_f64()),
    ));
    part.add(Figure::new(
        "chain.coverage.late",
        "facts",
        exact((after.late - before.late) as f64),
    ));
    part.add(Figure::new(
        "chain.coverage.connections_per_second",
        "1/s",
        exact(rate),
    ));
    part.add(Figure::new(
        "chain.coverage.requests",
        "requests",
        exact(sent as f64),
    ));
    part.add(Figure::new(
        "chain.coverage.probe_behind",
        "ms",
        exact(behind_ms(&looks, &before, &after, rate)),
    ));
    say(part, &after);
    judge(world, part, &log)
}

/// How many facts each side had delivered at one moment.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    filter: f64,
    probe: f64,
}

impl Delivered {
    fn until(ledger: &Ledger) -> Self {
        Self {
            filter: ledger.received("filter/") as f64,
            probe: ledger.received("probe") as f64,
        }
    }
}

/// Looks at what is delivered from time to time while something runs.
fn while_watching<T: Send>(
    world: &World,
    run: impl FnOnce() -> T + Send,
) -> anyhow::Result<(Vec<Delivered>, T)> {
    thread::scope(|scope| {
        let running = scope.spawn(run);
        let mut looks = Vec::new();
        while !running.is_finished() {
            thread::sleep(LOOK);
            looks.push(Delivered::until(&ledger::read(world)?));
        }
        let Ok(ran) = running.join() else {
            anyhow::bail!("the load panicked");
        };
        Ok((looks, ran))
    })
}

/// Returns by how much the probe's facts came later than the filter's at most, milliseconds, at a rate of requests in a
/// second. A request goes with as many facts of the kernel as any other, because each has a connection of its own.
fn behind_ms(looks: &[Delivered], before: &Ledger, after: &Ledger, rate: f64) -> f64 {
    let (before, after) = (Delivered::until(before), Delivered::until(after));
    let each = (after.probe - before.probe) / (after.filter - before.filter);
    let behind = looks
        .iter()
        .map(|look| look.filter - before.filter - (look.probe - before.probe) / each)
        .fold(0.0, f64::max);
    1_000.0 * behind / rate
}

/// Makes a connection for each request; returns the rate, and by path the port from which it was sent.
fn churn(
    world: &World,
    requests: usize,
    with_log: bool,
) -> anyhow::Result<(f64, HashMap<String, u16>)> {
    let log = world.sandbox.directory().join("client-log");
    let orders = Orders {
        address: world.side(Which::Watched)?.address(Extra::Filter, false),
        connections: CONNECTIONS * 2,
        requests: requests / (CONNECTIONS * 2),
        rate: None,
        churn: true,
        log: with_log.then(|| log.clone()),
    };
    let outcome = world.client(Which::Watched, &orders)?;
    anyhow::ensure!(outcome.failed == 0, "{outcome:?}");
    let mut ports = HashMap::new();
    if with_log {
        for line in fs::read_to_string(&log)?.lines() {
            let mut words = line.split(' ');
            let (path, port) = words
                .next()
                .zip(words.next())
                .with_context(|| line.to_owned())?;
            ports.insert(path.to_owned(), port.parse()?);
        }
    }
    Ok((outcome.answered as f64 / outcome.seconds, ports))
}

fn say(part: &mut Part, ledger: &Ledger) {
    let joined = ledger.requests.joined.iter();
    let joined: Vec<_> = joined
        .map(|of| format!("{} {} {}", of.count, of.method, of.confidence))
        .collect();
    let unjoined = ledger.requests.unjoined.iter();
    let unjoined: Vec<_> = unjoined
        .map(|of| format!("{} {}", of.count, of.missing))
        .collect();
    part.note(format!(
        "coverage at load, the bridge's ledger: {} requests settled, {} connections settled; joins: {}; not joined: {}",
        ledger.requests.settled,
        ledger.connections.settled,
        joined.join(", "),
        if unjoined.is_empty() { "none".to_owned() } else { unjoined.join(", ") },
    ));
}

#[derive(Debug, Deserialize)]
struct Request {
    path: String,
    received_on: Received,
}

#[derive(Debug, Deserialize)]
struct Received {
    connection: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    id: String,
    peer: Option<std::net::SocketAddr>,
}

#[derive(Deserialize)]
struct Requests {
    requests: Vec<Request>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Connections {
    connections: Vec<Connection>,
    next: Option<String>,
}

/// Holds every join against the client's log: the connection has to be the one from whose port the path was sent.
fn judge(world: &World, part: &mut Part, log: &HashMap<String, u16>) -> anyhow::Result<()> {
    let mut ports = HashMap::new();
    pages(world, "/v1/connections", |page: Connections| {
        let known = page
            .connections
            .into_iter()
            .filter_map(|of| Some((of.id, of.peer?.port())));
        ports.extend(known);
        page.next
    })?;
    let (mut right, mut wrong, mut shown) = (0_usize, 0_usize, 0_usize);
    pages(world, "/v1/requests", |page: Requests| {
        for request in page.requests {
            let Some(sent_from) = log.get(&request.path) else {
                continue;
            };
            shown += 1;
            let joined = request.received_on.connection.and_then(|id| ports.get(&id));
            match joined {
                Some(port) if port == sent_from => right += 1,
                Some(_) => wrong += 1,
                None => {}
            }
        }
        page.next
    })?;
    let ratio = |part: usize, of: usize| Estimate::exact(part as f64 / of as f64, of);
    part.add(
        Figure::new("chain.precision", "ratio", ratio(right, right + wrong))
            .at_least(1.0)
            .floor(1.0),
    );
    part.add(
        Figure::new("chain.recall", "ratio", ratio(right, log.len()))
            .at_least(0.999)
            .goal(0.9999)
            .floor(1.0),
    );
    part.note(format!(
        "by the client's log: {} requests sent, {shown} shown by the bridge, {right} joined to the connection that they were sent over, {wrong} to another",
        log.len()
    ));
    Ok(())
}

/// Follows a list to its end.
fn pages<Page: serde::de::DeserializeOwned>(
    world: &World,
    path: &str,
    mut take: impl FnMut(Page) -> Option<String>,
) -> anyhow::Result<()> {
    let mut cursor = String::new();
    while let Some(next) = take(ledger::get(world, &format!("{path}?limit={PAGE}{cursor}"))?) {
        cursor = format!("&cursor={next}");
    }
    Ok(())
}
