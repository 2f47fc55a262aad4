//! A probe is replaced while connections are open: in the bridge they stay open, and what comes over them joins.
//!
//! The successor does not tell them again, since the pinned hooks follow them on. A bridge that does not know that
//! presumes them gone some time after it first heard the successor. That this time is over is seen on another host,
//! where nothing is pinned and a connection ended unseen: there it is presumed gone.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use syntrace_integration::{
    api::{Client, Join, Request},
    bpffs::Bpffs,
    bridge::{self, Bridge},
    cgroup::Cgroup,
    clients::Exchange,
    deadline::{self, Look},
    envoy::{Envoy, PORT},
    kept::Kept,
    probe::Probe,
    requirements,
    sandbox::Sandbox,
    services::Services,
};

/// A batch and a grace period, or the time after which a connection is presumed gone; each is 10 s at most.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn what_is_open_when_a_probe_is_taken_over_stays_open_and_joins() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let take_over = |mut probe: Probe, start: Start<'_>| {
        let successor = start(&["--take-over"])?;
        let status = probe.process().wait(SOON)?;
        ensure!(status.success(), "{status}");
        Ok(successor)
    };
    stays_open_and_joins(&sandbox, take_over).unwrap();
}

#[test]
fn what_is_open_when_a_probe_is_killed_and_started_again_stays_open_and_joins() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let kill = |mut probe: Probe, start: Start<'_>| {
        probe.process().kill()?;
        start(&[])
    };
    stays_open_and_joins(&sandbox, kill).unwrap();
}

/// Starts a probe that finds what others pinned, with more options.
type Start<'a> = &'a dyn Fn(&[&str]) -> anyhow::Result<Probe>;

fn stays_open_and_joins(
    sandbox: &Sandbox,
    replace: impl FnOnce(Probe, Start<'_>) -> anyhow::Result<Probe>,
) -> anyhow::Result<()> {
    let bpffs = Bpffs::mount(sandbox)?;
    let start = |options: &[&str]| {
        let path = bpffs.path().to_str().context("a path in UTF-8")?;
        let options = [&["--bpffs", path], options].concat();
        let facts = bridge::facts_url(sandbox);
        Probe::start_on(sandbox, &sandbox.watched, &facts, &options)
    };
    let bridge = Bridge::start(sandbox)?;
    let probe = start(&[])?;
    let _services = Services::start(sandbox)?;
    let _envoy = Envoy::start(sandbox)?;
    let other = Unpinned::start(sandbox)?;

    let bridge = bridge.client();
    let (mut client, before) = Kept::start(sandbox, &sandbox.watched, PORT, "/kept")?;
    let first = joined(bridge, &before)?;
    let upstream = first.upstream.as_ref().and_then(|upstream| upstream.local);
    let own = [before.local, upstream.context("an upstream connection")?];
    let open = four_open_ends(bridge, &own)?;

    let _successor = replace(probe, &start)?;
    wait_for_runs(bridge, 2)?;
    let next = joined(bridge, &client.ask()?)?;
    assert_eq!(way(&next), way(&first));

    other.wait_for_a_presumed_end(sandbox)?;
    assert_eq!(ends(bridge, &own)?, open);
    let last = joined(bridge, &client.ask()?)?;
    assert_eq!(way(&last), way(&first));
    assert_eq!(ends(bridge, &own)?, open);
    Ok(())
}

/// One end of a connection, as a bridge shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    id: String,
    outcome: Option<String>,
    is_closed: bool,
    settled: bool,
}

/// Returns the ends that have one of `addresses`, or whose peer has, in the order of their ids.
fn ends(bridge: &Client, addresses: &[SocketAddr]) -> anyhow::Result<Vec<End>> {
    let connections = bridge.connections()?.into_iter();
    let found = connections.filter(|end| {
        let mut own = [end.local, end.peer].into_iter().flatten();
        own.any(|address| addresses.contains(&address))
    });
    let mut ends: Vec<End> = found
        .map(|end| End {
            id: end.id,
            outcome: end.outcome,
            is_closed: end.closed_at.is_some(),
            settled: end.settled,
        })
        .collect();
    ends.sort();
    Ok(ends)
}

/// Waits until both ends of both connections are there, and open.
fn four_open_ends(bridge: &Client, addresses: &[SocketAddr]) -> anyhow::Result<Vec<End>> {
    deadline::wait("four open ends", SOON, || {
        let ends = ends(bridge, addresses)?;
        let is_open = |end: &End| {
            end.outcome.as_deref() == Some("established") && !end.is_closed && !end.settled
        };
        Ok(if ends.len() == 4 && ends.iter().all(is_open) {
            Look::Done(ends)
        } else {
            Look::NotYet(format!("{ends:?}"))
        })
    })
}

/// Waits until a request is settled; fails if it is not certain on which connections it was received and served.
fn joined(bridge: &Client, exchange: &Exchange) -> anyhow::Result<Request> {
    let request = deadline::wait("a settled request", SOON, || {
        let mut requests = bridge.requests()?.into_iter();
        let request = requests.find(|request| request.path == exchange.path);
        Ok(match request {
            Some(request) if request.settled => Look::Done(request),
            other => Look::NotYet(format!("{other:?}")),
        })
    })?;
    let is_certain = |join: &Join| join.is_certain("exact");
    let served_by = request.served_by.as_ref();
    ensure!(
        is_certain(&request.received_on) && served_by.is_some_and(is_certain),
        "{request:#?}"
    );
    Ok(request)
}

/// Returns the connections on which a request was received and served.
fn way(request: &Request) -> [Option<&str>; 2] {
    [Some(&request.received_on), request.served_by.as_ref()].map(|join| join?.connection())
}

/// Waits until the bridge has heard that many runs of the probe.
fn wait_for_runs(bridge: &Client, runs: usize) -> anyhow::Result<()> {
    deadline::wait("the successor to be heard", SOON, || {
        let senders = bridge.coverage()?.senders;
        let heard = senders.iter().filter(|sender| sender.name == "probe");
        Ok(match heard.count() {
            heard if heard == runs => Look::Done(()),
            _ => Look::NotYet(format!("{senders:?}")),
        })
    })
}

/// Another host, with a bridge of its own, whose probe leaves nothing to a successor.
struct Unpinned {
    probe: Probe,
    bridge: Bridge,
    facts: String,
    cgroup: Cgroup,
}

impl Unpinned {
    fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let cgroup = sandbox.watching.child("unpinned")?;
        let facts = format!(
            "unix:{}",
            sandbox.directory().join("unpinned.sock").display()
        );
        let bridge = Bridge::start_with(sandbox, &facts, &[])?;
        let probe = Self::probe(sandbox, &cgroup, &facts)?;
        Ok(Self {
            probe,
            bridge,
            facts,
            cgroup,
        })
    }

    fn probe(sandbox: &Sandbox, cgroup: &Cgroup, facts: &str) -> anyhow::Result<Probe> {
        Probe::start_on(sandbox, cgroup, facts, &["--without", "take-over"])
    }

    /// Lets a connection end while no probe watches, starts the next probe, and waits until the bridge presumes the
    /// connection gone: then as much time is over for every probe that a bridge has heard by now.
    fn wait_for_a_presumed_end(mut self, sandbox: &Sandbox) -> anyhow::Result<()> {
        let (client, exchange) = Kept::start(sandbox, &self.cgroup, PORT, "/unseen")?;
        let bridge = self.bridge.client();
        let own = [exchange.local];
        let is_there = |is_settled| {
            deadline::wait("the unpinned end", SOON, || {
                let ends = ends(bridge, &own)?;
                Ok(match ends.as_slice() {
                    [end] if end.settled == is_settled => Look::Done(end.clone()),
                    _ => Look::NotYet(format!("{ends:?}")),
                })
            })
        };
        let open = is_there(false)?;
        self.probe.process().kill()?;
        drop(client);
        self.probe = Self::probe(sandbox, &self.cgroup, &self.facts)?;
        let gone = is_there(true)?;
        ensure!(gone.id == open.id && !open.is_closed, "{open:?}, {gone:?}");
        Ok(())
    }
}
