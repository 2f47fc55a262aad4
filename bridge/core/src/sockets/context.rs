//! What many sockets have in common, kept once: host, namespace, owner, how they are watched.

use syntrace_model::{BootId, ConnectionId};

use crate::{
    fact::{Origin, Snapshot, Watch},
    index::Index,
    probes::ProbeId,
    slab::{Slab, Slot},
};

/// What a connection shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub(crate) space: Space,
    pub(crate) probe: ProbeId,
    pub(crate) netns: u64,
    pub(crate) owner_pid: u32,
    pub(crate) owner_tid: u32,
    pub(crate) cgroup: u64,
    pub(crate) mark: u32,
    pub(crate) one_in: u32,
    pub(crate) origin: Origin,
    pub(crate) accepted_exactly: bool,
    pub(crate) accept_deferred: bool,
}

/// Within what a connection's number names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// A run of the kernel: the number is a socket's cookie.
    Boot(BootId),
    /// A run of a filter: the number is Envoy's.
    Filter(u64),
}

/// All contexts in use.
#[derive(Debug)]
pub(crate) struct Contexts {
    kept: Slab<(Context, u32)>,
    index: Index,
}

// === impl Context ===

impl Context {
    /// Returns what a snapshot says of it.
    pub(crate) const fn of(snapshot: &Snapshot, probe: ProbeId) -> Self {
        let watch = &snapshot.watch;
        Self {
            space: Space::Boot(snapshot.boot),
            probe,
            netns: snapshot.netns,
            owner_pid: snapshot.owner_pid,
            owner_tid: snapshot.owner_tid,
            cgroup: watch.cgroup,
            mark: watch.mark,
            one_in: watch.one_in,
            origin: watch.origin,
            accepted_exactly: watch.accepted_exactly,
            accept_deferred: watch.accept_deferred,
        }
    }

    /// Returns that of a connection that only the proxy saw.
    pub(crate) fn proxy(epoch: u64) -> Self {
        Self {
            space: Space::Filter(epoch),
            probe: ProbeId::default(),
            netns: 0,
            owner_pid: 0,
            owner_tid: 0,
            cgroup: 0,
            mark: 0,
            one_in: 0,
            origin: Origin::default(),
            accepted_exactly: false,
            accept_deferred: false,
        }
    }

    /// Returns the id of the connection with this number.
    pub(crate) const fn id(&self, number: u64) -> ConnectionId {
        match self.space {
            Space::Boot(boot) => ConnectionId::Socket {
                boot,
                cookie: number,
            },
            Space::Filter(epoch) => ConnectionId::Proxy {
                epoch,
                connection: number,
            },
        }
    }

    /// Returns how the socket is watched, without why it was reset.
    pub(crate) fn watch(&self) -> Watch {
        Watch {
            origin: self.origin,
            first_seen_at: None,
            one_in: self.one_in,
            accepted_exactly: self.accepted_exactly,
            accept_deferred: self.accept_deferred,
            reset_reason: Box::default(),
            mark: self.mark,
            cgroup: self.cgroup,
        }
    }
}

// === impl Contexts ===

impl Contexts {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            kept: Slab::default(),
            index: Index::new(seed),
        }
    }

    /// Returns a context.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Context> {
        self.kept.get(slot).map(|(context, _)| context)
    }

    /// Takes one more share in a context.
    pub(crate) fn share(&mut self, context: Context) -> Slot {
        let hash = self.index.hash(context);
        let same = |slot: &Slot| self.get(*slot) == Some(&context);
        let known = self.index.slots(hash).find(same);
        if let Some((_, shares)) = known.and_then(|slot| self.kept.get_mut(slot)) {
            *shares += 1;
        }
        known.unwrap_or_else(|| {
            let slot = self.kept.insert((context, 1));
            self.index.insert(hash, slot);
            slot
        })
    }

    /// Gives a share back; the last one takes the context with it.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        let Some((context, shares)) = self.kept.get_mut(slot) else {
            return;
        };
        *shares -= 1;
        if *shares == 0 {
            let hash = self.index.hash(*context);
            self.index.remove(hash, slot);
            self.kept.remove(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_goes_with_its_last_share() {
        let mut contexts = Contexts::new(7);
        let slots: Vec<_> = [1, 2, 1]
            .map(|epoch| contexts.share(Context::proxy(epoch)))
            .into();
        assert_eq!(slots[0], slots[2]);
        assert_ne!(slots[0], slots[1]);
        contexts.give_back(slots[0]);
        assert!(contexts.get(slots[0]).is_some());
        contexts.give_back(slots[0]);
        assert!(contexts.get(slots[0]).is_none());
        assert_eq!(contexts.kept.len(), 1);
    }
}
