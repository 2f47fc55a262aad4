//! Trouble that is attributed to no request: what a connection had to send again, or waited for in this host's
//! queues, while no request was seen to fail or wait because of it.

use std::collections::BTreeSet;

use serde::Serialize;
use syntrace_core::{
    answer::{Answer, Code, Party},
    explain::SLOW_NS,
    record::{ConnectionRecord, PhaseKind},
};
use syntrace_model::{BootId, ConnectionId, UnixNanos};
use utoipa::ToSchema;

use crate::{
    store::ReadError,
    view::{Ask, SharedView},
};

/// Connections that are looked at, the newest: each query reads as many records.
const NEWEST: usize = 10_000;

/// No id is below it: what began at a time is not below that time and this id.
const LEAST: ConnectionId = ConnectionId::Socket {
    boot: BootId([0; 16]),
    cookie: 0,
};

/// Connections that had trouble, among the newest.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Unattributed {
    /// Those that had any.
    connections: u64,
    /// Those that had to send a SYN, a SYN-ACK or data again.
    retransmitted: u64,
    /// Those that waited 100 ms or more in this host's queues.
    waited: u64,
    /// How many were looked at: the newest 10,000 at most.
    looked_at: u64,
    /// The newest with trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// Counts the connections with trouble that began since, and before `until`; `blamed` are among the causes.
pub(super) fn count(
    view: &SharedView,
    since: UnixNanos,
    until: Option<UnixNanos>,
    blamed: &BTreeSet<ConnectionId>,
) -> Result<Option<Unattributed>, ReadError> {
    let ask = Ask {
        since,
        below: until.map(|until| (until, LEAST)),
        ..Ask::newest(NEWEST)
    };
    let newest = view.connections(&ask, |_| true)?;
    let mut found = Unattributed {
        looked_at: newest.records.len() as u64,
        ..Unattributed::default()
    };
    for record in newest.records {
        let (again, waits) = (retransmits(&record) > 0, has_waited(&record));
        let is_counted = record.answer.is_some() || blamed.contains(&record.id);
        if is_counted || !(again || waits) {
            continue;
        }
        found.connections += 1;
        found.retransmitted += u64::from(again);
        found.waited += u64::from(waits);
        found.example.get_or_insert_with(|| record.id.to_string());
    }
    Ok((found.connections > 0).then_some(found))
}

/// Returns whether an answer is about what its connections had to send again, or waited for.
pub(super) fn is_about_connections(answer: &Answer) -> bool {
    let cause = &answer.cause;
    // A limit of time that was reached because the request had to be sent again.
    let is_resent = cause.code == Code::UpstreamTimeout && cause.party == Party::Network;
    is_resent
        || matches!(
            cause.code,
            Code::AcceptWait
                | Code::AcceptOverflow
                | Code::SynLost
                | Code::ConnectSynLost
                | Code::ConnectTimeout
                | Code::RequestRetransmitted
                | Code::ResponseRetransmitted
        )
}

/// Returns how many segments were sent again, those of the handshake included.
pub(super) fn retransmits(record: &ConnectionRecord) -> u64 {
    record.socket.as_ref().map_or(0, |socket| {
        let counters = &socket.counters;
        [
            counters.syn_retransmits,
            counters.syn_ack_retransmits,
            counters.retransmits,
        ]
        .map(u64::from)
        .iter()
        .sum()
    })
}

/// Returns whether it waited long in this host's queues.
fn has_waited(record: &ConnectionRecord) -> bool {
    record.phases.iter().any(|phase| {
        matches!(phase.kind, PhaseKind::Handshake | PhaseKind::AcceptWait)
            && phase.party == Party::Kernel
            && phase.duration_ns >= SLOW_NS
    })
}
