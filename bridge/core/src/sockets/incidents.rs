//! What happened to connections and listeners: the newest of each, bounded, the rest counted.

use std::collections::BTreeMap;

use syntrace_model::{BootNanos, ConnectionId, Endpoint};

use crate::{
    checkpoint::{Checkpoint, IncidentsState},
    fact::Incident,
    record::{ConnectionIncident, Sharing},
};

/// Incidents kept of one connection or one listener.
const NEWEST: usize = 16;

/// Listeners, and connections that were not reported yet, of which incidents are kept.
const PLACES_MAX: usize = 1024;

/// What happened in one place: the newest, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incidents {
    newest: Vec<ConnectionIncident>,
    evicted: u64,
}

/// Incidents of listeners, and of connections of which nothing else is known yet.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    listeners: BTreeMap<(u64, Endpoint), Incidents>,
    untold: BTreeMap<ConnectionId, Incidents>,
    evicted: u64,
}

// === impl Incidents ===

impl Incidents {
    /// Adds an incident; whom it hit is not known here.
    pub(crate) fn add(&mut self, incident: &Incident) {
        let incident = ConnectionIncident {
            at: incident.at,
            kind: incident.kind,
            count: incident.count,
            queue: incident.queue,
            listener: incident.peer.is_none(),
            sharing: Sharing::Nobody,
        };
        self.keep(incident);
    }

    fn keep(&mut self, incident: ConnectionIncident) {
        let place = self.newest.partition_point(|known| *known <= incident);
        self.newest.insert(place, incident);
        if self.newest.len() > NEWEST {
            self.newest.remove(0);
            self.evicted += 1;
        }
    }

    /// Returns them, to go on from.
    pub(crate) fn checkpoint(&self) -> IncidentsState {
        IncidentsState {
            newest: self.newest.clone(),
            evicted: self.evicted,
        }
    }

    /// Returns what was known before; `None` if there was nothing.
    pub(crate) fn restore(state: &IncidentsState) -> Option<Self> {
        let restored = Self {
            newest: state.newest.clone(),
            evicted: state.evicted,
        };
        (restored != Self::default()).then_some(restored)
    }

    /// Returns the newest, by time.
    pub(crate) fn newest(&self) -> &[ConnectionIncident] {
        &self.newest
    }

    /// Returns how many the bound left out.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

// === impl Elsewhere ===

impl Elsewhere {
    /// Adds what happened to a listener.
    pub(crate) fn listener(&mut self, incident: &Incident) {
        let place = (incident.netns, incident.local);
        self.listeners.entry(place).or_default().add(incident);
        self.evicted += keep_newest(&mut self.listeners);
    }

    /// Adds what happened to a connection that was not reported yet.
    pub(crate) fn untold(&mut self, id: ConnectionId, incident: &Incident) {
        self.untold.entry(id).or_default().add(incident);
        self.evicted += keep_newest(&mut self.untold);
    }

    /// Takes out what happened to a connection before it was reported.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<Incidents> {
        if self.untold.is_empty() {
            return None;
        }
        self.untold.remove(&id)
    }

    /// Returns what happened until a moment to the listener at `local`, or to one that listens at all
    /// addresses.
    pub(crate) fn of_listener(
        &self,
        netns: u64,
        local: Endpoint,
        until: BootNanos,
    ) -> impl Iterator<Item = &ConnectionIncident> {
        let everywhere: [std::net::IpAddr; 2] = [
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            std::net::Ipv6Addr::UNSPECIFIED.into(),
        ];
        let everywhere = everywhere.map(|address| Endpoint::new(address, local.port()));
        std::iter::once(local)
            .chain(everywhere)
            .filter_map(move |local| self.listeners.get(&(netns, local)))
            .flat_map(Incidents::newest)
            .filter(move |incident| incident.at <= until)
    }

    /// Puts all of them into a checkpoint.
    pub(crate) fn checkpoint(&self, checkpoint: &mut Checkpoint) {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|(&place, kept)| (place, kept.checkpoint()));
        checkpoint.listeners = listeners.collect();
        let untold = self.untold.iter();
        checkpoint.untold = untold.map(|(&id, kept)| (id, kept.checkpoint())).collect();
        checkpoint.incidents_evicted = self.evicted;
    }

    /// Restores what was known before.
    pub(crate) fn restore(&mut self, from: &Checkpoint) {
        let listeners = from.listeners.iter();
        let listeners =
            listeners.filter_map(|(place, kept)| Some((*place, Incidents::restore(kept)?)));
        self.listeners = listeners.collect();
        let untold = from.untold.iter();
        let untold = untold.filter_map(|(id, kept)| Some((*id, Incidents::restore(kept)?)));
        self.untold = untold.collect();
        self.evicted = from.incidents_evicted;
    }

    /// Returns how many incidents were dropped because too many places had some.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// Drops the place whose newest incident is the oldest, beyond the bound; returns how many incidents it had.
fn keep_newest<K: Copy + Ord>(places: &mut BTreeMap<K, Incidents>) -> u64 {
    if places.len() <= PLACES_MAX {
        return 0;
    }
    let newest = |incidents: &Incidents| incidents.newest.last().map(|newest| newest.at);
    let oldest = places
        .iter()
        .min_by_key(|(_, incidents)| newest(incidents))
        .map(|(place, _)| *place);
    let gone = oldest.and_then(|place| places.remove(&place));
    gone.map_or(0, |gone| gone.evicted + gone.newest.len() as u64)
}

#[cfg(test)]
mod tests {
    use syntrace_model::BootId;

    use super::*;
    use crate::fact::IncidentKind;

    fn incident(at: u64, local: &str) -> Incident {
        Incident {
            at: BootNanos(at),
            boot: BootId([1; 16]),
            cookie: 1,
            netns: 7,
            local: local.parse().unwrap(),
            peer: None,
            kind: IncidentKind::AcceptOverflow,
            count: 1,
            queue: None,
        }
    }

    #[test]
    fn the_newest_are_kept_whatever_order_they_come_in() {
        let n = 2 * NEWEST as u64;
        let kept = |times: Vec<u64>| {
            let mut incidents = Incidents::default();
            for at in times {
                incidents.add(&incident(at, "192.0.2.1:80"));
            }
            incidents
        };
        let forwards = kept((0..n).collect());
        assert_eq!(forwards, kept((0..n).rev().collect()));
        assert_eq!(forwards.newest().first().unwrap().at, BootNanos(n / 2));
        assert_eq!(forwards.evicted(), n / 2);
    }

    #[test]
    fn a_listener_at_all_addresses_is_found_by_each() {
        let mut elsewhere = Elsewhere::default();
        elsewhere.listener(&incident(10, "0.0.0.0:80"));
        let found = |netns, local: &str, until| {
            let local = local.parse().unwrap();
            let found = elsewhere.of_listener(netns, local, BootNanos(until));
            found.count()
        };
        assert_eq!(found(7, "192.0.2.1:80", 10), 1);
        assert_eq!(found(7, "192.0.2.1:80", 9), 0);
        assert_eq!(found(7, "192.0.2.1:81", 10), 0);
        assert_eq!(found(8, "192.0.2.1:80", 10), 0);
    }

    #[test]
    fn listeners_without_number_cost_bounded_memory() {
        const MANY: u16 = 3 * PLACES_MAX as u16;
        let mut elsewhere = Elsewhere::default();
        for port in 0..MANY {
            let listener = format!("192.0.2.1:{port}");
            elsewhere.listener(&incident(u64::from(port), &listener));
        }
        assert_eq!(elsewhere.listeners.len(), PLACES_MAX);
        assert_eq!(elsewhere.evicted() as usize, usize::from(MANY) - PLACES_MAX);
    }
}
