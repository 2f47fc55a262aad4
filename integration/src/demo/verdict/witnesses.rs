//! The bridge's word against that of the wire, of the clients and of Envoy.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{Answers, call, name};
use crate::{
    api::{Connection, Request},
    clients::Exchange,
    demo::{
        traffic::Evidence,
        wire::{Tuple, Wire},
    },
    envoy::{ADMIN_PORT, PORT},
    pcap::Opening,
    sandbox::{CLIENT, GATEWAY},
};

/// Each SYN on the wire is one connection with one active end, each SYN-ACK one passive end, and the tags are theirs.
pub(super) fn against_the_wire(evidence: &Evidence, wires: &BTreeMap<Tuple, Wire>) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_admin =
        |opening: &&Opening| [opening.from.port(), opening.to.port()].contains(&ADMIN_PORT);
    let first = || {
        evidence
            .openings
            .iter()
            .filter(|opening| !opening.is_retransmission && !is_admin(opening))
    };
    let syns: BTreeMap<Tuple, _> = first()
        .filter(|o| !o.is_answer)
        .map(|o| ((o.from, o.to), o))
        .collect();
    let answered: BTreeSet<Tuple> = first()
        .filter(|o| o.is_answer)
        .map(|o| (o.to, o.from))
        .collect();
    let unknown = Wire::default();
    for (tuple, syn) in &syns {
        let wire = wires.get(tuple).unwrap_or(&unknown);
        let passive = usize::from(answered.contains(tuple));
        if (wire.active.len(), wire.passive.len()) != (1, passive) {
            let (active, known) = (wire.active.len(), wire.passive.len());
            complaints.push(format!(
                "{}: on the wire with 1 active and {passive} passive end, the bridge has {active} and {known}",
                name(tuple)
            ));
        }
        let tag = syn.tag.map(hex);
        for end in wire.ends() {
            let known = end.tag.as_ref().map(|tag| &tag.id);
            if known != tag.as_ref() {
                complaints.push(format!(
                    "{}: the SYN carried tag {tag:?}, the bridge says {known:?}",
                    name(tuple)
                ));
            }
        }
    }
    let invented = wires.keys().filter(|tuple| !syns.contains_key(*tuple));
    complaints.extend(
        invented.map(|tuple| format!("{}: the bridge has it, no SYN was on the wire", name(tuple))),
    );
    complaints
}

/// Each request of a client is there exactly once, with its status; each connection of a client is there.
pub(super) fn against_the_clients(
    evidence: &Evidence,
    answers: &Answers,
    wires: &BTreeMap<Tuple, Wire>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let by_id: BTreeMap<&str, &Connection> = answers
        .connections
        .iter()
        .map(|end| (end.id.as_str(), end))
        .collect();
    let mut known: Vec<Exchange> = Vec::new();
    for request in &answers.requests {
        let end = request
            .received_on
            .connection()
            .and_then(|id| by_id.get(id));
        match end.and_then(|end| end.peer) {
            Some(local) => known.push(exchange(local, request)),
            None => complaints.push(format!("{}: on no connection of a client", call(request))),
        }
    }
    for sent in &evidence.exchanges {
        let sent = Exchange {
            path: without_query(&sent.path),
            ..sent.clone()
        };
        match known.iter().position(|exchange| *exchange == sent) {
            Some(at) => drop(known.swap_remove(at)),
            None => complaints.push(format!("the client made {sent:?}, the bridge has not")),
        }
    }
    complaints.extend(
        known
            .iter()
            .map(|exchange| format!("the bridge has {exchange:?}, no client made it")),
    );

    let with_requests: BTreeSet<SocketAddr> = evidence
        .exchanges
        .iter()
        .map(|exchange| exchange.local)
        .collect();
    let without = evidence.connects.iter().map(|connect| connect.local);
    let all: BTreeSet<SocketAddr> = with_requests.iter().copied().chain(without).collect();
    let opened = || wires.iter().filter(|((from, _), _)| from.ip() == CLIENT);
    let known: BTreeSet<SocketAddr> = opened().map(|((from, _), _)| *from).collect();
    let busy = opened().filter(|(_, wire)| wire.has_requests());
    let known_with_requests: BTreeSet<SocketAddr> = busy.map(|((from, _), _)| *from).collect();
    for local in all.symmetric_difference(&known) {
        complaints.push(format!(
            "a connection from {local}: known to the clients or to the bridge, not to both"
        ));
    }
    for local in with_requests.symmetric_difference(&known_with_requests) {
        complaints.push(format!(
            "requests from {local}: known to the clients or to the bridge, not to both"
        ));
    }
    complaints
}

/// Envoy accepted, opened and failed to open as many connections as the bridge knows.
pub(super) fn against_envoy(evidence: &Evidence, wires: &BTreeMap<Tuple, Wire>) -> Vec<String> {
    let by_gateway = || wires.iter().filter(|((from, _), _)| from.ip() != CLIENT);
    let accepted = wires
        .iter()
        .filter(|((_, to), wire)| *to == (GATEWAY, PORT).into() && !wire.passive.is_empty());
    let refused = by_gateway().filter(|(_, wire)| {
        wire.active
            .iter()
            .any(|end| end.outcome.as_deref() == Some("refused"))
    });
    let counters = &evidence.counters;
    let counts = [
        (
            "downstream connections",
            counters.downstream_connections,
            accepted.count(),
        ),
        (
            "upstream connections",
            counters.upstream_connections,
            by_gateway().count(),
        ),
        (
            "failed upstream connects",
            counters.upstream_failures,
            refused.count(),
        ),
    ];
    let differing = counts
        .into_iter()
        .filter(|&(_, envoy, bridge)| usize::try_from(envoy) != Ok(bridge));
    differing
        .map(|(what, envoy, bridge)| {
            format!("{what}: Envoy counted {envoy}, the bridge knows {bridge}")
        })
        .collect()
}

fn exchange(local: SocketAddr, request: &Request) -> Exchange {
    Exchange {
        local,
        method: request.method.clone(),
        path: without_query(&request.path),
        status: request.status.unwrap_or_default(),
        grpc_status: request.grpc_status,
    }
}

fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
