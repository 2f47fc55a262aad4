//! What never became a socket, per listener: full queues and SYN cookies.
//!
//! A pure core. No hook sees these; a listener's drop counter says how many, and the counters of
//! its network namespace say why. An incident's time is the end of the interval between two looks.

use std::collections::BTreeMap;

use syntrace_proto::{Incident, IncidentKind};

use crate::{
    diag::TcpSocket,
    endpoint::{Local, local},
    mibs::Mibs,
    poll::Identity,
};

/// The listeners of one network namespace.
#[derive(Debug)]
pub(crate) struct Listeners {
    identity: Identity,
    /// Each listener's drops at the last look, by its cookie.
    drops: BTreeMap<u64, u32>,
    mibs: Option<Mibs>,
}

// === impl Listeners ===

impl Listeners {
    /// Knows none yet.
    pub(crate) const fn new(identity: Identity) -> Self {
        Self {
            identity,
            drops: BTreeMap::new(),
            mibs: None,
        }
    }

    /// Compares `ours`, the listeners at boot time `at`, and their namespace's counters with those
    /// of the last look. The first look only learns.
    pub(crate) fn handle_look(&mut self, at: u64, ours: &[TcpSocket], mibs: Mibs) -> Vec<Incident> {
        let drops = ours.iter().map(|socket| (socket.cookie, socket.drops));
        let earlier_drops = std::mem::replace(&mut self.drops, drops.collect());
        let Some(earlier) = self.mibs.replace(mibs) else {
            return Vec::new();
        };
        let mut left = mibs.since(earlier);
        let mut incidents = Vec::new();
        for listener in ours {
            let before = earlier_drops.get(&listener.cookie).copied().unwrap_or(0);
            let mut dropped = u64::from(listener.drops.saturating_sub(before));
            // A full accept queue drops SYNs before the SYN queue is looked at.
            for (kind, counted) in [
                (IncidentKind::AcceptOverflow, &mut left.accept_overflows),
                (IncidentKind::SynOverflow, &mut left.syn_overflows),
            ] {
                let count = dropped.min(*counted);
                dropped -= count;
                *counted -= count;
                incidents.extend(self.incident(at, kind, count, Some(listener)));
            }
        }
        // A SYN that a cookie answers is no drop: only a single listener can be named.
        let listener = match ours {
            [only] => Some(only),
            [] => return incidents,
            _ => None,
        };
        incidents.extend(self.incident(at, IncidentKind::SynCookies, left.cookies_sent, listener));
        incidents
    }

    fn incident(
        &self,
        at: u64,
        kind: IncidentKind,
        count: u64,
        listener: Option<&TcpSocket>,
    ) -> Option<Incident> {
        (count > 0).then(|| Incident {
            at_ns: at,
            boot_id: self.identity.boot_id.to_vec(),
            netns_cookie: self.identity.netns_cookie,
            socket_cookie: listener.map_or(0, |listener| listener.cookie),
            local: Some(listener.map_or(Local::NONE, local).to_fact()),
            kind: kind.into(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            queue: listener.map_or(0, |listener| listener.queue),
            queue_max: listener.map_or(0, |listener| listener.queue_max),
            ..Incident::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use syntrace_proto::Origin;

    use super::*;

    const IDENTITY: Identity = Identity {
        boot_id: [9; 16],
        netns_cookie: 4711,
        origin: Origin::Backfilled,
    };

    #[test]
    fn drops_are_named_by_what_their_namespace_counted() {
        let mut listeners = Listeners::new(IDENTITY);
        assert_eq!(
            listeners.handle_look(1, &[listener(1, 5)], mibs(10, 10)),
            []
        );
        let incidents = listeners.handle_look(2, &[listener(1, 8)], mibs(12, 10));
        assert_eq!(
            told(&incidents),
            [(1, IncidentKind::AcceptOverflow, 2, 3, 128)]
        );
        assert_eq!(incidents[0].netns_cookie, 4711);
        let incidents = listeners.handle_look(3, &[listener(1, 9)], mibs(12, 11));
        assert_eq!(
            told(&incidents),
            [(1, IncidentKind::SynOverflow, 1, 3, 128)]
        );
    }

    #[test]
    fn drops_of_others_are_not_ours() {
        let mut listeners = Listeners::new(IDENTITY);
        listeners.handle_look(1, &[listener(1, 0)], mibs(0, 0));
        assert_eq!(listeners.handle_look(2, &[listener(1, 0)], mibs(50, 0)), []);
        assert_eq!(listeners.handle_look(3, &[listener(1, 7)], mibs(50, 0)), []);
    }

    #[test]
    fn a_listener_that_is_new_has_dropped_since_the_last_look() {
        let mut listeners = Listeners::new(IDENTITY);
        listeners.handle_look(1, &[], mibs(0, 0));
        let incidents = listeners.handle_look(2, &[listener(1, 4)], mibs(4, 0));
        assert_eq!(told(&incidents).len(), 1);
    }

    #[test]
    fn cookies_name_the_listener_only_if_there_is_one() {
        let cookies = |cookies_sent| Mibs {
            cookies_sent,
            ..Mibs::default()
        };
        let mut listeners = Listeners::new(IDENTITY);
        listeners.handle_look(1, &[listener(1, 0)], cookies(0));
        let one = listeners.handle_look(2, &[listener(1, 0)], cookies(3));
        assert_eq!(told(&one), [(1, IncidentKind::SynCookies, 3, 3, 128)]);
        let two = listeners.handle_look(3, &[listener(1, 0), listener(2, 0)], cookies(4));
        assert_eq!(told(&two), [(0, IncidentKind::SynCookies, 1, 0, 0)]);
    }

    fn listener(cookie: u64, drops: u32) -> TcpSocket {
        TcpSocket {
            cookie,
            drops,
            queue: 3,
            queue_max: 128,
            ..TcpSocket::default()
        }
    }

    fn mibs(accept_overflows: u64, syn_overflows: u64) -> Mibs {
        Mibs {
            accept_overflows,
            syn_overflows,
            cookies_sent: 0,
        }
    }

    fn told(incidents: &[Incident]) -> Vec<(u64, IncidentKind, u32, u32, u32)> {
        let told = |incident: &Incident| {
            (
                incident.socket_cookie,
                incident.kind(),
                incident.count,
                incident.queue,
                incident.queue_max,
            )
        };
        incidents.iter().map(told).collect()
    }
}
