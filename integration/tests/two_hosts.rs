//! Two hosts, each with a probe and a bridge of its own, that share nothing but the connection between
//! them: the tag in its SYN gives both records one trace id.

use std::time::Duration;

use syntrace_integration::{
    api::{Connection, Opening},
    bridge::Bridge,
    cgroup::Cgroup,
    clients::{Curl, Exchange},
    deadline::{self, Look},
    probe::Probe,
    process::Program,
    requirements,
    sandbox::{GATEWAY, Sandbox},
    services,
};

/// A batch, and a grace period.
const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;

/// Takes the tag out of every SYN, as some middleboxes do.
const STRIP_TAGS: &str = "table ip middlebox { chain in { type filter hook prerouting priority 0; \
                          reset tcp option 253; }; }";

/// One host: its own cgroup, probe and bridge.
struct Host {
    cgroup: Cgroup,
    bridge: Bridge,
    _probe: Probe,
}

#[test]
fn both_ends_of_a_tagged_connection_carry_one_trace_id_and_either_bridge_finds_it() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let (here, there) = (
        host(&sandbox, "here").unwrap(),
        host(&sandbox, "there").unwrap(),
    );
    let told = call(&sandbox, &here, &there).unwrap();
    let (active, passive) = ends(&told, &here, &there).unwrap();

    assert_eq!(active.trace_id, passive.trace_id);
    assert_eq!(passive.trace_id_source, "tag");
    assert_ne!(active.id, passive.id);
    for host in [&here, &there] {
        for end in [&active, &passive] {
            for id in [&end.trace_id].into_iter().chain(&end.aliases) {
                let trace = host.bridge.client().trace(id);
                let trace =
                    trace.unwrap_or_else(|error| panic!("{error}: {active:#?} {passive:#?}"));
                assert_eq!(trace.connections.len(), 1, "{id}");
            }
        }
    }
}

#[test]
fn where_the_tag_is_stripped_each_record_is_complete_alone() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let (here, there) = (
        host(&sandbox, "here").unwrap(),
        host(&sandbox, "there").unwrap(),
    );
    sandbox.gateway.filter_packets(STRIP_TAGS).unwrap();
    let told = call(&sandbox, &here, &there).unwrap();
    let (active, passive) = ends(&told, &here, &there).unwrap();

    assert_ne!(active.trace_id, passive.trace_id);
    assert_eq!(passive.trace_id_source, "kernel");
    for end in [&active, &passive] {
        assert_eq!(end.outcome.as_deref(), Some("closed"), "{end:?}");
        assert!(
            end.syn_at.is_some() && end.established_at.is_some(),
            "{end:?}"
        );
    }
}

fn host(sandbox: &Sandbox, name: &str) -> anyhow::Result<Host> {
    let facts = format!("unix:{}", sandbox.directory().join(name).display());
    let cgroup = sandbox.watched.child(name)?;
    let bridge = Bridge::start_with(sandbox, &facts, &[])?;
    let probe = Probe::start_on(sandbox, &cgroup, &facts, &["--host-id", name])?;
    Ok(Host {
        cgroup,
        bridge,
        _probe: probe,
    })
}

/// One request from one host to the other, without a gateway between them.
fn call(sandbox: &Sandbox, from: &Host, to: &Host) -> anyhow::Result<Exchange> {
    let service = services::http1(sandbox, &to.cgroup, &sandbox.gateway, GATEWAY, PORT)?;
    let curl = Program::new("curl", &from.cgroup, "curl").inside(&sandbox.client);
    let told = Curl::run(sandbox, curl, (GATEWAY, PORT).into(), &[], &["/hello"]);
    let told = told?.finish()?.remove(0);
    assert_eq!(told.status, 200);
    drop(service);
    Ok(told)
}

/// Waits until each bridge has its end, settled.
fn ends(told: &Exchange, here: &Host, there: &Host) -> anyhow::Result<(Connection, Connection)> {
    let settled = |host: &Host, opening: Opening| {
        deadline::wait("a settled connection", SOON, || {
            let connections = host.bridge.client().connections()?;
            let seen = format!("{connections:?}");
            let end = connections.into_iter().find(|end| {
                let client = if opening == Opening::Active {
                    end.local
                } else {
                    end.peer
                };
                (end.opening, client) == (Some(opening), Some(told.local)) && end.settled
            });
            Ok(end.map_or(Look::NotYet(seen), Look::Done))
        })
    };
    Ok((
        settled(here, Opening::Active)?,
        settled(there, Opening::Passive)?,
    ))
}
