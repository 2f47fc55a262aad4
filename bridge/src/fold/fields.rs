//! The fields of the fold's state as bytes: all of them, in the order of this list.

use syntrace_core::{
    Coverage,
    checkpoint::{
        Agreed, AssignedState, Binding, Checkpoint, ConnectionState, EarlierState, IncidentsState,
        ProbeRun, ProbeState, RequestState, RungOf, SenderState, TimelineState, WatchedState,
    },
    fact::Rung,
};

use crate::store::codec::{Code, fields};

fields! {
    Checkpoint {
        now, clock, senders, heard, coverage, rung_of, probes, bindings, timelines,
        timelines_known_from, connections, requests, listeners, untold, incidents_evicted, settled,
    }
    RungOf { sender, seq, told_at }
    SenderState { sender, runs, received, end, lost, goodbye, heard }
    TimelineState { sender, since, buckets, counts, sampled }
    ConnectionState { id, probe, socket, earlier, role, contradictions, assigned, incidents }
    EarlierState { minted, tag, owner_pid, owner_tid, watched, ids }
    WatchedState { syn_at, syn_ack_at, established_at, closed_at }
    AssignedState { minted, requests, requests_evicted, number, first_end, began_at, idle_at }
    IncidentsState { newest, evicted, evicted_until }
    RequestState { sender, report, arrived_at, due, late, wrong, repeated }
    Rung { name, missing, counted, sockets_map_id }
    ProbeRun { sender, state, told_until, sockets_map_id, sockets }
    Binding { netns, pid, dialled_by, accepted_by }
}

/// The counts only: the rest follows from other fields of the checkpoint.
impl Code for Coverage {
    fn put(&self, to: &mut Vec<u8>) {
        let Self {
            incidents,
            incidents_evicted,
            senders: _,
            rung,
            connections_live: _,
            connections_settled,
            connections_evicted,
            connections_unseen,
            requests_live: _,
            requests_settled,
            requests_evicted,
            requests_joined,
            requests_unjoined,
            late,
            duplicates,
            contradictions,
            refused,
        } = self;
        incidents.put(to);
        incidents_evicted.put(to);
        rung.put(to);
        connections_settled.put(to);
        connections_evicted.put(to);
        connections_unseen.put(to);
        requests_settled.put(to);
        requests_evicted.put(to);
        requests_joined.put(to);
        requests_unjoined.put(to);
        late.put(to);
        duplicates.put(to);
        contradictions.put(to);
        refused.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            incidents: Code::take(from)?,
            incidents_evicted: Code::take(from)?,
            senders: Vec::new(),
            rung: Code::take(from)?,
            connections_live: 0,
            connections_settled: Code::take(from)?,
            connections_evicted: Code::take(from)?,
            connections_unseen: Code::take(from)?,
            requests_live: 0,
            requests_settled: Code::take(from)?,
            requests_evicted: Code::take(from)?,
            requests_joined: Code::take(from)?,
            requests_unjoined: Code::take(from)?,
            late: Code::take(from)?,
            duplicates: Code::take(from)?,
            contradictions: Code::take(from)?,
            refused: Code::take(from)?,
        })
    }
}

impl Code for ProbeState {
    fn put(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Watching { heard_at } => (0_u8, heard_at).put(to),
            Self::Away { since, goodbye } => (1_u8, since, goodbye).put(to),
            Self::Succeeded { since } => (2_u8, since).put(to),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(match u8::take(from)? {
            0 => Self::Watching {
                heard_at: Code::take(from)?,
            },
            1 => Self::Away {
                since: Code::take(from)?,
                goodbye: Code::take(from)?,
            },
            2 => Self::Succeeded {
                since: Code::take(from)?,
            },
            _ => return None,
        })
    }
}

impl<T: Code> Code for Agreed<T> {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Unknown => 0_u8.put(to),
            Self::One(value) => {
                1_u8.put(to);
                value.put(to);
            }
            Self::Torn => 2_u8.put(to),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(match u8::take(from)? {
            0 => Self::Unknown,
            1 => Self::One(Code::take(from)?),
            2 => Self::Torn,
            _ => return None,
        })
    }
}
