//! The upstream connections that a worker knows, and what a report says of each.
//!
//! Keyed by the addresses as Envoy writes them: a known one costs neither parsing nor writing.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::FixedState;

use crate::{
    attribute::endpoint,
    ends::end,
    recent::Recent,
    wire::{Message, upstream},
};

/// Upstream connections that count as known.
///
/// Few on purpose: the kernel gives a port out again, and a connection wrongly taken for known is
/// reported without its detail.
const CAPACITY: usize = 256;

/// Longest cluster's name that a report carries, bytes.
const MAX_NAME_BYTES: usize = 256;

/// What is known of upstream connections.
#[derive(Debug)]
pub(crate) struct Upstreams(Recent<u64, Known>);

/// What is known of one.
#[derive(Debug)]
struct Known {
    local: Vec<u8>,
    peer: Vec<u8>,
    /// Both ends and the cluster, as fields of `Upstream`.
    report: Message,
}

// === impl Upstreams ===

impl Upstreams {
    pub(crate) fn new() -> Self {
        Self(Recent::new(CAPACITY))
    }

    /// Returns what reports say of a known connection.
    pub(crate) fn get(&mut self, local: &[u8], peer: &[u8]) -> Option<&Message> {
        let known = self.0.get(key(local, peer))?;
        (known.local == local && known.peer == peer).then_some(&known.report)
    }

    /// Remembers a connection, and returns what reports say of it.
    pub(crate) fn insert(&mut self, local: &[u8], peer: &[u8], cluster: &[u8]) -> Message {
        let report = describe(local, peer, cluster);
        let known = Known {
            local: local.to_owned(),
            peer: peer.to_owned(),
            report: report.clone(),
        };
        self.0.insert(key(local, peer), known);
        report
    }
}

/// Writes ends and cluster as fields of `Upstream`.
pub(crate) fn describe(local: &[u8], peer: &[u8], cluster: &[u8]) -> Message {
    let mut report = Message::with_capacity(64);
    end(&mut report, upstream::LOCAL, endpoint(local));
    end(&mut report, upstream::PEER, endpoint(peer));
    report.text(upstream::CLUSTER, cluster, MAX_NAME_BYTES);
    report
}

fn key(local: &[u8], peer: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(local);
    hasher.write(peer);
    hasher.finish()
}
