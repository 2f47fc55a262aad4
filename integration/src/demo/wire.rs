//! Puts together the two ends of each TCP connection: the bridge knows sockets, and one host has both
//! sockets of every connection in the sandbox.

use std::{cmp::Reverse, collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;

use crate::{
    api::{Connection, Opening, Request},
    envoy::ADMIN_PORT,
};

/// One TCP connection, as its SYN named it: who opened it, towards whom.
pub type Tuple = (SocketAddr, SocketAddr);

/// One TCP connection with what the bridge knows of either end.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The end that sent the SYN. One, unless the bridge is wrong.
    pub active: Vec<Connection>,
    /// The end that received it; none where nobody listened. One at most, unless the bridge is wrong.
    pub passive: Vec<Connection>,
}

/// Groups the ends by tuple; nothing in the sandbox uses a tuple twice.
///
/// Leaves out what was said to Envoy's admin interface.
/// An end whose addresses or direction are unknown is returned apart.
#[must_use]
pub fn group(connections: &[Connection]) -> (BTreeMap<Tuple, Wire>, Vec<Connection>) {
    let mut wires: BTreeMap<Tuple, Wire> = BTreeMap::new();
    let mut apart = Vec::new();
    let is_admin = |end: SocketAddr| end.port() == ADMIN_PORT;
    let traffic = connections
        .iter()
        .filter(|c| ![c.local, c.peer].into_iter().flatten().any(is_admin));
    for connection in traffic {
        match (connection.opening, connection.local, connection.peer) {
            (Some(Opening::Active), Some(local), Some(peer)) => {
                wires
                    .entry((local, peer))
                    .or_default()
                    .active
                    .push(connection.clone());
            }
            (Some(Opening::Passive), Some(local), Some(peer)) => {
                wires
                    .entry((peer, local))
                    .or_default()
                    .passive
                    .push(connection.clone());
            }
            _ => apart.push(connection.clone()),
        }
    }
    (wires, apart)
}

impl Wire {
    /// Returns what the bridge knows of both ends.
    pub fn ends(&self) -> impl Iterator<Item = &Connection> {
        self.active.iter().chain(&self.passive)
    }

    /// Returns when the first SYN was seen.
    #[must_use]
    pub fn begun_at(&self) -> Option<Timestamp> {
        self.ends().filter_map(|end| end.syn_at).min()
    }

    /// Returns whether the record `id` is one of its ends.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        self.ends().any(|end| end.id == id)
    }

    /// Returns every id under which either end is known.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ends()
            .flat_map(|end| [&end.trace_id].into_iter().chain(&end.aliases))
            .map(String::as_str)
    }

    /// Returns whether the proxy's view was joined to either end.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        self.ends().any(|end| !end.requests.is_empty())
    }

    /// Returns the requests that either end carried, received or failed, oldest first.
    #[must_use]
    pub fn requests<'a>(&self, requests: &'a [Request]) -> Vec<&'a Request> {
        let joined = |request: &&Request| {
            let joins = [
                Some(&request.received_on),
                request.served_by.as_ref(),
                request.opened.as_ref(),
            ];
            joins
                .into_iter()
                .flatten()
                .filter_map(|join| join.connection())
                .any(|id| self.is(id))
        };
        let mut requests: Vec<&Request> = requests.iter().filter(joined).collect();
        requests.sort_by_key(|request| request.started_at);
        requests
    }
}

/// Returns the wires in the order in which they were opened; those without a time last.
#[must_use]
pub fn in_order(wires: &BTreeMap<Tuple, Wire>) -> Vec<(Tuple, &Wire)> {
    let mut ordered: Vec<_> = wires.iter().map(|(&tuple, wire)| (tuple, wire)).collect();
    ordered.sort_by_key(|(_, wire)| {
        (
            wire.begun_at().is_none(),
            wire.begun_at(),
            Reverse(wire.active.len()),
        )
    });
    ordered
}
