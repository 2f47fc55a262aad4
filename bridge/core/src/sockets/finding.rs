//! Finds live connections: by ends, by names, by age, by how they ended.
//!
//! Several are returned in an order that the facts decide.

use smallvec::SmallVec;
use syntrace_model::{BootNanos, ConnKey, Endpoint, Opening, TraceId};

use super::{
    Connection, Socket, Sockets,
    indexing::AGE_SHIFT,
    tuple::{FarEnd, HashedTuple, Tuple},
};
use crate::{identity, record::ConnectionIncident, slab::Slot};

/// Sockets that fit what is looked for: as a rule one.
pub(crate) type Fitting<'a> = SmallVec<[Socket<'a>; 2]>;

impl Sockets {
    /// Returns what the sockets with these ends are found by.
    pub(crate) fn hashed(&self, opening: Opening, key: ConnKey) -> HashedTuple {
        let tuple = Tuple::from(key);
        let hash = tuple.found_by(&self.by_tuple, opening);
        HashedTuple { tuple, hash }
    }

    /// Returns the accepted sockets with these ends, the youngest first.
    pub(crate) fn accepted(&self, tuple: HashedTuple) -> Fitting<'_> {
        youngest_first(self.with_tuple(Opening::Passive, tuple))
    }

    /// Returns the accepted sockets with the far end of these, the youngest first.
    pub(crate) fn accepted_from(&self, tuple: HashedTuple) -> Fitting<'_> {
        let peer: FarEnd = tuple.tuple.peer();
        let sockets = self.found_by(tuple.hash).filter(move |socket| {
            socket.opening() == Opening::Passive && socket.kernel.tuple.peer() == peer
        });
        youngest_first(sockets)
    }

    /// Returns the dialled sockets with these ends, the youngest first.
    pub(crate) fn dialled(&self, tuple: HashedTuple) -> Fitting<'_> {
        youngest_first(self.with_tuple(Opening::Active, tuple))
    }

    /// Returns the sockets that are perhaps the far end of this one and began at or before `until`: those of
    /// this host that have its ends the other way round, and those with its tag, which leads on where ends were
    /// rewritten.
    pub(crate) fn far_ends(
        &self,
        socket: Socket<'_>,
        until: BootNanos,
    ) -> impl Iterator<Item = Socket<'_>> {
        let opening = match socket.opening() {
            Opening::Active => Opening::Passive,
            Opening::Passive => Opening::Active,
        };
        let mirrored = self.hashed(opening, socket.key().mirrored());
        let mirrored = self.with_tuple(opening, mirrored);
        let tag = identity::authentic_tag(socket);
        let tagged = tag.into_iter().flat_map(|tag| self.perhaps_named(tag));
        let tagged = tagged.filter_map(Connection::socket).filter(move |other| {
            other.opening() == opening && identity::authentic_tag(*other) == tag
        });
        mirrored
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

    /// Returns what happened until a moment to the listener at `local`.
    pub(crate) fn listener_incidents(
        &self,
        netns: u64,
        local: Endpoint,
        until: BootNanos,
    ) -> impl Iterator<Item = &ConnectionIncident> {
        self.elsewhere.of_listener(netns, local, until)
    }

    /// Returns how many incidents of that listener the bound left out, if any of them happened at that moment or
    /// later.
    pub(crate) fn listener_incidents_evicted(
        &self,
        netns: u64,
        local: Endpoint,
        from: BootNanos,
    ) -> u64 {
        self.elsewhere.evicted_of_listener(netns, local, from)
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
            let mut held: Vec<_> = slots.filter_map(|slot| self.at(slot)).collect();
            held.sort_unstable_by_key(|held| std::cmp::Reverse((held.began_at(), held.id())));
            held
        })
    }

    /// Returns the sockets with these ends.
    fn with_tuple(&self, opening: Opening, tuple: HashedTuple) -> impl Iterator<Item = Socket<'_>> {
        self.found_by(tuple.hash)
            .filter(move |socket| socket.opening() == opening && socket.kernel.tuple == tuple.tuple)
    }

    /// Returns the sockets whose ends have this hash.
    fn found_by(&self, hash: u32) -> impl Iterator<Item = Socket<'_>> {
        let slots = self.by_tuple.slots(hash);
        slots.filter_map(|slot| self.at(slot)?.socket())
    }
}

/// Sorts what was found.
fn youngest_first<'a>(sockets: impl Iterator<Item = Socket<'a>>) -> Fitting<'a> {
    let mut fitting = Fitting::new();
    sockets.for_each(|socket| fitting.push(socket));
    fitting.sort_unstable_by_key(|socket| std::cmp::Reverse((socket.began_at(), socket.id())));
    fitting
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        net::Ipv6Addr,
    };

    use syntrace_model::ConnectionId;

    use super::*;
    use crate::{
        example,
        fact::{Origin, Snapshot, Tag, TagState},
        limits::Limits,
        probes::ProbeId,
    };

    /// Two numbers, by chance, whose names have the same hash; `differ` says more of them.
    fn alike(hash: impl Fn(u64) -> u32, differ: impl Fn(u64, u64) -> bool) -> [u64; 2] {
        let mut seen = BTreeMap::new();
        let mut chance = 7_u64;
        let mut found = (0..4_000_000).filter_map(|_| {
            chance = chance.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let n = chance ^ chance >> 33;
            let other = seen.insert(hash(n), n)?;
            (other != n && differ(other, n)).then_some([other, n])
        });
        found.next().unwrap()
    }

    fn end(n: u64) -> Endpoint {
        Endpoint::new(Ipv6Addr::from_bits(n.into()).into(), 80)
    }

    fn id(n: u64) -> TraceId {
        TraceId::new((u128::from(n) + 1).to_be_bytes()).unwrap()
    }

    fn socket(cookie: u64, opening: Opening, local: u64, peer: u64) -> Snapshot {
        let at = Some(BootNanos(cookie));
        Snapshot {
            cookie,
            seen_at: BootNanos(cookie),
            key: ConnKey {
                local: end(local),
                peer: end(peer),
            },
            opening,
            syn_at: at,
            established_at: at,
            minted: id(cookie << 32),
            ..example::socket()
        }
    }

    const fn any(_: u64, _: u64) -> bool {
        true
    }

    fn told(told: &[Snapshot]) -> Sockets {
        let mut sockets = Sockets::new(Limits::default());
        for snapshot in told {
            sockets.observe(None, snapshot, ProbeId::default());
        }
        sockets
    }

    fn cookies<'a>(found: impl IntoIterator<Item = Socket<'a>>) -> Vec<u64> {
        found.into_iter().map(Socket::cookie).collect()
    }

    fn index() -> crate::index::Index {
        Sockets::new(Limits::default()).by_tuple
    }

    #[test]
    fn connections_whose_ids_or_numbers_are_alike_in_the_index_are_told_apart() {
        let index = index();
        let boot = example::socket().boot;
        let cookies = alike(
            |cookie| index.hash(ConnectionId::Socket { boot, cookie }),
            any,
        );
        let numbers = alike(|number| index.hash((7_u64, number)), any);
        let both = cookies.map(|cookie| socket(cookie, Opening::Passive, 1, cookie));
        let mut sockets = told(&both);
        for (told_of, number) in both.iter().zip(numbers) {
            let slot = sockets.find(told_of.id()).unwrap();
            assert_eq!(sockets.at(slot).unwrap().id(), told_of.id());
            sockets.learn(slot, None, Some((7, number)));
        }
        for (told_of, number) in both.iter().zip(numbers) {
            assert_eq!(sockets.numbered((7, number)), sockets.find(told_of.id()));
        }
    }

    #[test]
    fn connections_whose_ends_are_alike_in_the_index_are_told_apart() {
        let index = index();
        let hash = |opening, n| {
            let tuple = Tuple::from(socket(1, opening, 5, n).key);
            tuple.found_by(&index, opening)
        };
        let passive = |n| hash(Opening::Passive, n);
        let active = |n| hash(Opening::Active, n);
        let peers = alike(passive, any);
        let [first, second] = [0, 1].map(|n| socket(n + 1, Opening::Passive, 5, peers[n as usize]));
        let sockets = told(&[first.clone(), second.clone()]);
        for one in [first, second] {
            let tuple = sockets.hashed(Opening::Passive, one.key);
            assert_eq!(cookies(sockets.accepted(tuple)), [one.cookie]);
            assert_eq!(cookies(sockets.accepted_from(tuple)), [one.cookie]);
        }
        let peers = alike(active, any);
        let [first, second] = [0, 1].map(|n| socket(n + 1, Opening::Active, 5, peers[n as usize]));
        let sockets = told(&[first.clone(), second.clone()]);
        for one in [first, second] {
            let tuple = sockets.hashed(Opening::Active, one.key);
            assert_eq!(cookies(sockets.dialled(tuple)), [one.cookie]);
        }
        // One that was accepted, and one that was dialled.
        let mixed = |n: u64| {
            if n.is_multiple_of(2) {
                passive(n)
            } else {
                active(n)
            }
        };
        let mut pair = alike(mixed, |one, other| (one ^ other) & 1 == 1);
        pair.sort_unstable_by_key(|n| n % 2);
        let [one, other] = pair;
        let accepted = socket(1, Opening::Passive, 5, one);
        let dialled = socket(2, Opening::Active, 5, other);
        let sockets = told(&[accepted.clone(), dialled.clone()]);
        let with = |opening, key: ConnKey| {
            let tuple = sockets.hashed(opening, key);
            cookies(sockets.with_tuple(opening, tuple))
        };
        assert_eq!(with(Opening::Passive, accepted.key), [1]);
        assert_eq!(with(Opening::Active, dialled.key), [2]);
    }

    #[test]
    fn a_far_end_has_the_ends_the_other_way_round_or_the_same_tag() {
        let by_name = index();
        let tags = alike(|n| by_name.hash(id(n)), any).map(id);
        let tagged = |cookie, opening, local, peer, tag: usize| Snapshot {
            tag: Some(Tag {
                id: tags[tag],
                state: TagState::Believed,
            }),
            ..socket(cookie, opening, local, peer)
        };
        let dialled = tagged(1, Opening::Active, 5, 6, 0);
        let sockets = told(&[
            dialled.clone(),
            socket(2, Opening::Passive, 6, 5),
            socket(3, Opening::Passive, 7, 5),
            tagged(4, Opening::Passive, 8, 9, 0),
            tagged(5, Opening::Passive, 8, 10, 1),
            tagged(6, Opening::Active, 8, 11, 0),
        ]);
        let dialled = sockets.get(dialled.id()).unwrap().socket().unwrap();
        let far_ends = |until| cookies(sockets.far_ends(dialled, BootNanos(until)));
        assert_eq!(far_ends(10), [2, 4]);
        assert_eq!(far_ends(3), [2]);
        assert_eq!(far_ends(1), [0; 0]);
    }

    #[test]
    fn a_socket_is_held_once_under_each_id_that_may_have_been_shown_and_under_none_when_it_is_gone()
    {
        let origins = [Origin::Watched, Origin::Backfilled, Origin::Polled];
        let mut words = Vec::new();
        for (n, origin) in (1..).zip(origins) {
            let mut word = socket(1, Opening::Passive, 5, 6);
            (word.watch.origin, word.minted) = (origin, id(n));
            words.push(word);
        }
        for order in [[0, 1, 2, 0, 1], [2, 1, 0, 2, 1], [1, 0, 2, 2, 0]] {
            let mut sockets = Sockets::new(Limits::default());
            let held = |sockets: &Sockets, id| {
                let slots = sockets.by_name.slots(sockets.by_name.hash(id));
                slots.count()
            };
            for told in 1..=order.len() {
                let [.., last] = order[..told] else {
                    unreachable!()
                };
                let known = sockets.find(words[last].id());
                sockets.observe(known, &words[last], ProbeId::default());
                for (n, word) in words.iter().enumerate() {
                    let shown = usize::from(order[..told].contains(&n));
                    assert_eq!(
                        held(&sockets, word.minted),
                        shown,
                        "{n} of {:?}",
                        &order[..told]
                    );
                }
            }
            sockets.remove(sockets.find(words[0].id()).unwrap());
            assert!(words.iter().all(|word| held(&sockets, word.minted) == 0));
        }
    }

    #[test]
    fn what_sockets_are_found_by_differs_and_is_even() {
        let sockets = Sockets::new(Limits::default());
        for opening in [Opening::Passive, Opening::Active] {
            let found_by = |n| sockets.hashed(opening, socket(1, opening, 5, n).key).hash();
            let different: BTreeSet<_> = (0..1_000).map(found_by).collect();
            assert!(different.len() > 990 && different.iter().all(|hash| hash % 2 == 0));
        }
    }
}
