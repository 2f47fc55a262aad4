//! Connections by `sock_diag` alone: what the kernel's table shows now and then, and what the kernel
//! tells of each socket that it destroys.
//!
//! A pure core: sockets and times in, facts out. No handshake is observed, and no moment but the
//! end; what the counters do not prove is `unknown`, never guessed.

mod outcome;

use std::collections::{BTreeMap, BTreeSet};

use syntrace_ebpf_common::{Wide, mint_untagged};
use syntrace_proto::{Connection, Opening, Origin, Outcome};

use crate::{
    diag::TcpSocket,
    endpoint::{Local, local, peer},
    poll::outcome::{application_bytes, outcome_of_end, outcome_so_far, was_answered},
};

pub(crate) use outcome::SynRetries;

/// Connections that are followed at once; what comes beyond is counted, not followed.
const BOUND: usize = 250_000;

/// How many tables in a row may lack a socket of whose end nothing was told.
const MISSED_TABLES: u8 = 2;

/// What the sockets of one network namespace are known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// /proc/sys/kernel/random/boot_id.
    pub(crate) boot_id: [u8; 16],
    /// The namespace's own number until reboot; 0 if unknown.
    pub(crate) netns_cookie: u64,
    /// How the facts came to be: [`Origin::Polled`], or [`Origin::Backfilled`] beside hooks.
    pub(crate) origin: Origin,
}

/// The connections of one network namespace.
#[derive(Debug)]
pub(crate) struct Poll {
    host_key: Wide,
    identity: Identity,
    retries: SynRetries,
    followed: BTreeMap<u64, Followed>,
    listeners: BTreeSet<Local>,
    beyond_bound: u64,
}

#[derive(Debug)]
struct Followed {
    socket: TcpSocket,
    opening: Opening,
    outcome: Outcome,
    minted: [u8; 16],
    owner_pid: u32,
    syn_retransmits: u8,
    missed: u8,
}

// === impl Poll ===

impl Poll {
    /// Follows nothing yet; ids are minted under `host_key`.
    pub(crate) const fn new(host_key: [u8; 16], identity: Identity, retries: SynRetries) -> Self {
        Self {
            host_key: Wide::from_bytes(host_key),
            identity,
            retries,
            followed: BTreeMap::new(),
            listeners: BTreeSet::new(),
            beyond_bound: 0,
        }
    }

    /// Says which sockets listen: connections of their ends were accepted.
    pub(crate) fn handle_listeners<'a>(&mut self, listeners: impl Iterator<Item = &'a TcpSocket>) {
        self.listeners = listeners.map(local).collect();
    }

    /// Takes the whole table of the sockets that are ours, as it is at boot time `at`; `owner_pid`
    /// is their process, 0 if there are several.
    ///
    /// Returns what is new: connections, and those whose state tells more than before.
    pub(crate) fn handle_table(
        &mut self,
        at: u64,
        table: Vec<TcpSocket>,
        owner_pid: u32,
    ) -> Vec<Connection> {
        let mut news = Vec::new();
        for followed in self.followed.values_mut() {
            followed.missed = followed.missed.saturating_add(1);
        }
        // Sockets that the kernel keeps for the time after the end have no counters.
        for socket in table.into_iter().filter(|socket| socket.info.is_some()) {
            let outcome = outcome_so_far(&socket);
            let cookie = socket.cookie;
            if !self.has_room_for(cookie) {
                continue;
            }
            let is_new = !self.followed.contains_key(&cookie);
            let opening = self.opening(&socket);
            let minted = mint_untagged(self.host_key, cookie).to_bytes();
            let followed = self.followed.entry(cookie).or_insert_with(|| Followed {
                opening,
                outcome,
                minted,
                owner_pid,
                syn_retransmits: 0,
                missed: 0,
                socket: TcpSocket::default(),
            });
            let tells_more = is_new || followed.outcome != outcome;
            followed.see(socket, outcome);
            if tells_more {
                news.push(followed.to_fact(&self.identity, at));
            }
        }
        news.extend(self.settle_missed(at));
        news
    }

    /// Takes the news that `socket` was destroyed. One that no table showed is told of only if it
    /// `may_be_ours`, or was accepted by a listener of ours.
    pub(crate) fn handle_destroyed(
        &mut self,
        at: u64,
        socket: TcpSocket,
        may_be_ours: bool,
    ) -> Option<Connection> {
        let info = socket.info?;
        // Sockets that listened, or never connected.
        if socket.peer_port == 0 || socket.local_port == 0 {
            return None;
        }
        let mut followed = match self.followed.remove(&socket.cookie) {
            Some(known) => known,
            None => {
                let opening = self.opening(&socket);
                if !may_be_ours && opening == Opening::Active {
                    return None;
                }
                Followed {
                    opening,
                    outcome: Outcome::Unknown,
                    minted: mint_untagged(self.host_key, socket.cookie).to_bytes(),
                    owner_pid: 0,
                    syn_retransmits: 0,
                    missed: 0,
                    socket: TcpSocket::default(),
                }
            }
        };
        let outcome = outcome_of_end(followed.opening, &info, self.retries);
        if !was_answered(followed.opening, &info) {
            followed.syn_retransmits = u8::try_from(info.total_retransmits).unwrap_or(u8::MAX);
        }
        let known = std::mem::take(&mut followed.socket);
        followed.socket = TcpSocket {
            // A destroyed socket has lost these.
            cgroup_id: known.cgroup_id,
            mark: known.mark,
            ..socket
        };
        followed.outcome = outcome;
        Some(followed.end(&self.identity, at))
    }

    /// Returns whether the connection of the socket `cookie` is followed.
    pub(crate) fn follows(&self, cookie: u64) -> bool {
        self.followed.contains_key(&cookie)
    }

    /// Returns how many connections are followed.
    pub(crate) fn len(&self) -> usize {
        self.followed.len()
    }

    /// Returns how many sightings found no room.
    pub(crate) const fn beyond_bound(&self) -> u64 {
        self.beyond_bound
    }

    fn has_room_for(&mut self, cookie: u64) -> bool {
        let has_room = self.followed.len() < BOUND || self.followed.contains_key(&cookie);
        if !has_room {
            self.beyond_bound += 1;
        }
        has_room
    }

    fn opening(&self, socket: &TcpSocket) -> Opening {
        let local = local(socket);
        if self.listeners.contains(&local) || self.listeners.contains(&local.any()) {
            Opening::Passive
        } else {
            Opening::Active
        }
    }

    /// Ends what several tables in a row did not show: news of its end were lost.
    fn settle_missed(&mut self, at: u64) -> Vec<Connection> {
        let gone = self
            .followed
            .extract_if(.., |_, followed| followed.missed >= MISSED_TABLES);
        let end = |(_, mut followed): (u64, Followed)| {
            followed.outcome = Outcome::Unknown;
            followed.end(&self.identity, at)
        };
        gone.map(end).collect()
    }
}

// === impl Followed ===

impl Followed {
    fn see(&mut self, socket: TcpSocket, outcome: Outcome) {
        if outcome == Outcome::Connecting {
            self.syn_retransmits = self.syn_retransmits.max(socket.retransmits);
        }
        self.outcome = outcome;
        self.missed = 0;
        self.socket = socket;
    }

    fn end(&self, identity: &Identity, at: u64) -> Connection {
        Connection {
            closed_at_ns: at,
            ..self.to_fact(identity, at)
        }
    }

    fn to_fact(&self, identity: &Identity, at: u64) -> Connection {
        let info = self.socket.info.unwrap_or_default();
        let volume = application_bytes(self.opening, self.outcome, &info);
        let syn_retransmits = u32::from(self.syn_retransmits);
        Connection {
            seen_at_ns: at,
            boot_id: identity.boot_id.to_vec(),
            socket_cookie: self.socket.cookie,
            netns_cookie: identity.netns_cookie,
            local: Some(local(&self.socket).to_fact()),
            peer: Some(peer(&self.socket).to_fact()),
            opening: self.opening.into(),
            outcome: self.outcome.into(),
            minted_id: self.minted.to_vec(),
            owner_pid: self.owner_pid,
            syn_retransmits,
            retransmits: info.total_retransmits.saturating_sub(syn_retransmits),
            srtt_us: info.srtt_us,
            min_rtt_us: info.min_rtt_us,
            bytes_acked: volume.acked,
            bytes_received: volume.received,
            segments_out: info.segments_out,
            segments_in: info.segments_in,
            origin: identity.origin.into(),
            mark: self.socket.mark,
            cgroup_id: self.socket.cgroup_id,
            ..Connection::default()
        }
    }
}

#[cfg(test)]
mod tests;
