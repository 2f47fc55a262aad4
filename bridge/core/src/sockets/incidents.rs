//! What happened to connections and listeners: of each the newest, the rest counted.
//!
//! Of one place, what happens pushes out only what is so much older that no request is expected to ask about it any
//! more: which request is settled before it is told, and which after, makes no difference. That is bounded by numbers.
//! Of what a bound left out the latest moment is known: what asks about that time knows that it may lack something.

use std::collections::BTreeMap;

use syntrace_model::{BootNanos, ConnectionId, Endpoint};

use crate::{
    checkpoint::{Checkpoint, IncidentsState},
    due::settles_at,
    fact::Incident,
    limits::Limits,
    record::{ConnectionIncident, Sharing},
};

/// Incidents kept of one place, however old they are.
const NEWEST: usize = 16;

/// Incidents kept of one connection, where they are recent.
const OF_CONNECTION_MAX: usize = 128;

/// Incidents kept of one listener's address, where they are recent: each worker may have a listener there, and each
/// of these is looked at every second.
const OF_LISTENER_MAX: usize = 1024;

/// Incidents kept beyond [`NEWEST`] of each connection, of all connections together.
const BEYOND_MAX: usize = 1 << 20;

/// Listeners, and connections that were not reported yet, of which incidents are kept.
const PLACES_MAX: usize = 1024;

/// What happened in one place: the newest, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incidents {
    newest: Vec<ConnectionIncident>,
    evicted: u64,
    /// When the latest of these happened.
    evicted_until: Option<BootNanos>,
}

/// How many incidents of one place are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// What happened so long before the newest is recent, nanoseconds.
    recent_ns: u64,
    /// So many that are recent.
    most: usize,
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
    /// Adds an incident; whom it hit is not known here. Returns how many are left out for it.
    pub(crate) fn add(&mut self, incident: &Incident, room: Room) -> u64 {
        let incident = ConnectionIncident {
            at: incident.at,
            kind: incident.kind,
            count: incident.count,
            queue: incident.queue,
            listener: incident.peer.is_none(),
            sharing: Sharing::Nobody,
        };
        let place = self.newest.partition_point(|known| *known <= incident);
        self.newest.insert(place, incident);
        self.keep(room)
    }

    fn keep(&mut self, room: Room) -> u64 {
        let beyond = self.beyond();
        let [.., newest] = &*self.newest else {
            return 0;
        };
        let recent_from = newest.at.minus_ns(room.recent_ns);
        let oldest = self.newest.iter().take(beyond);
        let old = oldest.take_while(|known| known.at < recent_from).count();
        let left_out = old.max(usize::from(self.newest.len() > room.most));
        let left_out = self.newest.drain(..left_out);
        self.evicted_until = left_out
            .as_slice()
            .last()
            .map(|last| last.at)
            .max(self.evicted_until);
        let left_out = left_out.count() as u64;
        self.evicted += left_out;
        left_out
    }

    /// Returns how many there are of which the next one may take the place.
    pub(crate) const fn beyond(&self) -> usize {
        self.newest.len().saturating_sub(NEWEST)
    }

    /// Returns them, to go on from.
    pub(crate) fn checkpoint(&self) -> IncidentsState {
        IncidentsState {
            newest: self.newest.clone(),
            evicted: self.evicted,
            evicted_until: self.evicted_until,
        }
    }

    /// Returns what was known before; `None` if there was nothing.
    pub(crate) fn restore(state: &IncidentsState) -> Option<Self> {
        let restored = Self {
            newest: state.newest.clone(),
            evicted: state.evicted,
            evicted_until: state.evicted_until,
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

    /// Returns how many the bound left out, if any of them happened at that moment or later.
    pub(crate) fn evicted_since(&self, from: BootNanos) -> u64 {
        let is_recent = self.evicted_until.is_some_and(|until| until >= from);
        if is_recent { self.evicted } else { 0 }
    }
}

// === impl Room ===

impl Room {
    /// Returns that of one of the connections that together keep `beyond` incidents beyond [`NEWEST`] of each.
    pub(crate) const fn of_connection(limits: &Limits, beyond: usize) -> Self {
        Self {
            recent_ns: recent_ns(limits),
            most: if beyond < BEYOND_MAX {
                OF_CONNECTION_MAX
            } else {
                NEWEST
            },
        }
    }

    const fn of_listener(limits: &Limits) -> Self {
        Self {
            recent_ns: recent_ns(limits),
            most: OF_LISTENER_MAX,
        }
    }
}

/// Returns how long ago may be asked about: a request settles so long after its end, and few take longer than the
/// proxy lets them by default.
const fn recent_ns(limits: &Limits) -> u64 {
    let settles_at = settles_at(BootNanos(0), limits.grace_ns);
    settles_at.0.saturating_add(limits.linger_ns)
}

// === impl Elsewhere ===

impl Elsewhere {
    /// Adds what happened to a listener.
    pub(crate) fn listener(&mut self, incident: &Incident, limits: &Limits) {
        let place = (incident.netns, incident.local);
        let kept = self.listeners.entry(place).or_default();
        self.evicted += kept.add(incident, Room::of_listener(limits));
        self.evicted += keep_newest(&mut self.listeners);
    }

    /// Adds what happened to a connection that was not reported yet.
    pub(crate) fn untold(&mut self, id: ConnectionId, incident: &Incident, limits: &Limits) {
        let kept = self.untold.entry(id).or_default();
        self.evicted += kept.add(incident, Room::of_connection(limits, 0));
        self.evicted += keep_newest(&mut self.untold);
    }

    /// Counts what connections leave out.
    pub(crate) const fn count_evicted(&mut self, count: u64) {
        self.evicted += count;
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
        let kept = self.at_address(netns, local);
        let kept = kept.flat_map(Incidents::newest);
        kept.filter(move |incident| incident.at <= until)
    }

    /// Returns how many incidents of that listener the bound left out, if any of them happened at that moment or
    /// later.
    pub(crate) fn evicted_of_listener(&self, netns: u64, local: Endpoint, from: BootNanos) -> u64 {
        let kept = self.at_address(netns, local);
        kept.map(|kept| kept.evicted_since(from)).sum()
    }

    /// Returns what happened to the listener at `local`, and to one that listens at all addresses.
    fn at_address(&self, netns: u64, local: Endpoint) -> impl Iterator<Item = &Incidents> {
        let everywhere: [std::net::IpAddr; 2] = [
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            std::net::Ipv6Addr::UNSPECIFIED.into(),
        ];
        let everywhere = everywhere.map(|address| Endpoint::new(address, local.port()));
        std::iter::once(local)
            .chain(everywhere)
            .filter_map(move |local| self.listeners.get(&(netns, local)))
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

    /// Returns how many incidents the bounds left out.
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
    gone.map_or(0, |gone| gone.newest.len() as u64)
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

    /// What is kept of incidents at these moments, of which one so long before the newest is recent.
    fn kept(recent_ns: u64, times: impl Iterator<Item = u64>) -> Incidents {
        let mut incidents = Incidents::default();
        let room = Room {
            recent_ns,
            most: OF_CONNECTION_MAX,
        };
        for at in times {
            incidents.add(&incident(at, "192.0.2.1:80"), room);
        }
        incidents
    }

    #[test]
    fn the_newest_and_the_recent_are_kept_whatever_order_they_come_in() {
        // (all, recent, left out)
        for (n, recent_ns, evicted) in [(16, 0, 0), (40, 0, 24), (40, 30, 9), (200, 1_000, 72)] {
            let forwards = kept(recent_ns, 0..n);
            assert_eq!(forwards, kept(recent_ns, (0..n).rev()));
            let mixed = (0..n).step_by(2).chain((1..n).step_by(2));
            assert_eq!(forwards, kept(recent_ns, mixed));
            assert_eq!(forwards.newest().first().unwrap().at, BootNanos(evicted));
            assert_eq!(forwards.evicted(), evicted);
            assert_eq!(forwards.evicted_since(BootNanos(evicted)), 0);
            let last = BootNanos(evicted.saturating_sub(1));
            assert_eq!(forwards.evicted_since(last), evicted);
        }
    }

    #[test]
    fn where_there_is_no_more_room_the_oldest_goes() {
        let mut incidents = kept(1_000, 0..20);
        let room = |beyond| Room::of_connection(&Limits::default(), beyond);
        let next = |at| incident(at, "192.0.2.1:80");
        assert_eq!(incidents.add(&next(20), room(BEYOND_MAX - 1)), 0);
        assert_eq!(incidents.add(&next(21), room(BEYOND_MAX)), 1);
        assert_eq!((incidents.newest().len(), incidents.beyond()), (21, 5));
    }

    #[test]
    fn a_listener_at_all_addresses_is_found_by_each() {
        let mut elsewhere = Elsewhere::default();
        elsewhere.listener(&incident(10, "0.0.0.0:80"), &Limits::default());
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
            elsewhere.listener(&incident(u64::from(port), &listener), &Limits::default());
        }
        assert_eq!(elsewhere.listeners.len(), PLACES_MAX);
        assert_eq!(elsewhere.evicted() as usize, usize::from(MANY) - PLACES_MAX);
    }
}
