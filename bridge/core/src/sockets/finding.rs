//! Finds live connections: by ends, by names, by age, by how they ended.
//!
//! Whoever gets several gets them in an order that facts decide.

use syntrace_model::{BootNanos, ConnKey, Endpoint, Opening, TraceId};

use super::{
    Connection, Socket, Sockets,
    standing::{AGE_SHIFT, ends},
};
use crate::{identity, record::ConnectionIncident, slab::Slot};

impl Sockets {
    /// Returns the accepted sockets with these ends that began at or before `until`, the youngest first.
    pub(crate) fn accepted(
        &self,
        key: ConnKey,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let sockets = self.with_ends(Opening::Passive, key);
        youngest_first(
            sockets.filter(move |socket| socket.key() == key && socket.began_at() <= until),
        )
    }

    /// Returns the accepted sockets with the far end `peer` that began at or before `until`, the youngest
    /// first.
    pub(crate) fn accepted_from(
        &self,
        peer: Endpoint,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let sockets = self.with_ends(Opening::Passive, ConnKey { local: peer, peer });
        youngest_first(
            sockets.filter(move |socket| socket.key().peer == peer && socket.began_at() <= until),
        )
    }

    /// Returns the dialled sockets with these ends that began at or before `until`, the youngest first.
    pub(crate) fn dialled(
        &self,
        key: ConnKey,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let sockets = self.with_ends(Opening::Active, key);
        youngest_first(
            sockets.filter(move |socket| socket.key() == key && socket.began_at() <= until),
        )
    }

    /// Returns the sockets that are perhaps the far end of this one and began at or before `until`: those of
    /// this host that have its ends the other way round, and those with its tag, which leads on where ends were
    /// rewritten.
    pub(crate) fn far_ends(
        &self,
        socket: Socket<'_>,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let key = socket.key().mirrored();
        let opening = match socket.opening() {
            Opening::Active => Opening::Passive,
            Opening::Passive => Opening::Active,
        };
        let mirrored = self.with_ends(opening, key);
        let tag = identity::authentic_tag(socket);
        let tagged = tag.into_iter().flat_map(|tag| self.perhaps_named(tag));
        let tagged = tagged.filter_map(Connection::socket).filter(move |other| {
            other.opening() == opening && identity::authentic_tag(*other) == tag
        });
        mirrored
            .filter(move |other| other.key() == key)
            .chain(tagged)
            .filter(move |other| other.began_at() <= until)
    }

    /// Returns the dialled sockets towards `peer` that ended within the interval, in order.
    pub(crate) fn ended_towards(
        &self,
        peer: Endpoint,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let ended = self.ended.towards(peer, from, until);
        ended.filter_map(|id| self.get(id)?.socket())
    }

    /// Returns the sockets that this thread dialled and that ended within the interval, in order.
    pub(crate) fn ended_by_thread(
        &self,
        tid: u32,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let ended = self.ended.by_thread(tid, from, until);
        ended.filter_map(|id| self.get(id)?.socket())
    }

    /// Returns what happened within the interval to the listener at `local`.
    pub(crate) fn listener_incidents(
        &self,
        netns: u64,
        local: Endpoint,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = &ConnectionIncident> {
        self.elsewhere.of_listener(netns, local, from, until)
    }

    /// Returns where the socket is kept that is known to be the connection with the proxy's number.
    pub(crate) fn numbered(&self, number: (u64, u64)) -> Option<Slot> {
        let is = |slot: &Slot| self.at(*slot).and_then(Connection::number) == Some(number);
        self.by_number.slots(self.by_number.hash(number)).find(is)
    }

    /// Returns the connections of which `id` may be a name, in no order that means anything.
    pub(crate) fn perhaps_named(&self, id: TraceId) -> impl Iterator<Item = Connection<'_>> {
        let slots = self.by_name.slots(self.by_name.hash(id));
        slots.filter_map(|slot| self.at(slot))
    }

    /// Returns the connections that began at or before `until`, the youngest first.
    pub(crate) fn newest(&self, until: BootNanos) -> impl Iterator<Item = Connection<'_>> {
        let ticks = self.by_age.until(until.0 >> AGE_SHIFT);
        ticks.flat_map(move |slots| {
            let mut held: Vec<_> = slots.iter().filter_map(|&slot| self.at(slot)).collect();
            held.sort_unstable_by_key(|held| std::cmp::Reverse((held.began_at(), held.id())));
            held
        })
    }

    pub(super) fn with_ends(
        &self,
        opening: Opening,
        key: ConnKey,
    ) -> impl Iterator<Item = Socket<'_>> {
        let slots = self.by_ends.slots(ends(&self.by_ends, opening, key));
        slots
            .filter_map(|slot| self.at(slot)?.socket())
            .filter(move |socket| socket.opening() == opening)
    }
}

/// Sorts what was found; one alone costs nothing.
fn youngest_first<'a>(
    mut sockets: impl Iterator<Item = Socket<'a>>,
) -> impl Iterator<Item = Socket<'a>> {
    let first = sockets.next();
    let second = sockets.next();
    let (only, mut several) = match second {
        Some(_) => (
            None,
            first.into_iter().chain(second).chain(sockets).collect(),
        ),
        None => (first, Vec::new()),
    };
    several.sort_unstable_by_key(|socket| std::cmp::Reverse((socket.began_at(), socket.id())));
    only.into_iter().chain(several)
}
