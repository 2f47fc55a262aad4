//! Which process and which thread a sender of reports is, learnt from joins that are certain.
//!
//! One filter VM runs in one worker thread of one proxy. A worker dials its upstream connections
//! itself, because pools are per worker; so a certain [`served_by`](crate::record::LinkKind::ServedBy)
//! shows the thread. An accepted socket shows the process, and the thread only where the worker accepts
//! by itself. Contradictory evidence cancels out: nothing is then concluded from it.
//!
//! What is learnt is a function of the set of facts, and not of their order of arrival: requests settle
//! in the order in which they ended, and each learns only from those that settled before it.

use std::collections::BTreeMap;

use crate::sockets::Socket;

/// Senders remembered; the lowest epoch is forgotten beyond.
const SENDERS_MAX: usize = 4096;

/// What is known of the process and thread behind a report; 0 where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) netns: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
}

/// What certain joins taught of each sender, by its epoch: the run of one VM.
#[derive(Debug, Default)]
pub(crate) struct Bindings(BTreeMap<u64, Binding>);

/// What certain joins taught of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The cookie of its network namespace.
    pub netns: Agreed<u64>,
    /// Its process.
    pub pid: Agreed<u32>,
    /// The thread that dialled its upstream connections.
    pub dialled_by: Agreed<u32>,
    /// The thread that accepted its downstream connections.
    pub accepted_by: Agreed<u32>,
}

/// What all evidence so far says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agreed<T> {
    /// Nothing yet.
    #[default]
    Unknown,
    /// The same.
    One(T),
    /// Different things.
    Torn,
}

// === impl Gateway ===

impl Gateway {
    /// Completes what is not known by what a socket of the same worker says.
    pub(crate) fn completed_by(self, socket: Socket<'_>) -> Self {
        let or = |known: u32, other: u32| if known == 0 { other } else { known };
        Self {
            netns: if self.netns == 0 {
                socket.netns()
            } else {
                self.netns
            },
            pid: or(self.pid, socket.owner_pid()),
            tid: or(self.tid, socket.owner_tid()),
        }
    }

    /// Returns whether nothing that is known says that the socket is of another process.
    pub(crate) fn may_own(self, socket: Socket<'_>) -> bool {
        agree(self.netns, socket.netns())
            && agree(u64::from(self.pid), u64::from(socket.owner_pid()))
    }

    /// Returns whether the socket is known to be of this process.
    pub(crate) fn owns(self, socket: Socket<'_>) -> bool {
        self.pid != 0 && self.pid == socket.owner_pid() && agree(self.netns, socket.netns())
    }

    /// Returns whether nothing that is known says that another thread dialled the socket.
    pub(crate) fn may_have_dialled(self, socket: Socket<'_>) -> bool {
        self.may_own(socket) && agree(u64::from(self.tid), u64::from(socket.owner_tid()))
    }

    /// Returns whether this thread is known to have dialled the socket.
    pub(crate) fn dialled(self, socket: Socket<'_>) -> bool {
        self.owns(socket) && self.tid != 0 && self.tid == socket.owner_tid()
    }
}

fn agree(known: u64, other: u64) -> bool {
    known == 0 || other == 0 || known == other
}

// === impl Bindings ===

impl Bindings {
    /// Returns what is known of the sender with this epoch.
    pub(crate) fn of(&self, epoch: u64) -> Gateway {
        self.0.get(&epoch).map_or_else(Gateway::default, |binding| {
            let tid = if binding.dialled_by == Agreed::Unknown {
                binding.accepted_by
            } else {
                binding.dialled_by
            };
            Gateway {
                netns: binding.netns.value(),
                pid: binding.pid.value(),
                tid: tid.value(),
            }
        })
    }

    /// Returns all, by epoch.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, Binding)> {
        self.0.iter().map(|(&epoch, &binding)| (epoch, binding))
    }

    /// Restores what was learnt before.
    pub(crate) fn restore(&mut self, learnt: &[(u64, Binding)]) {
        self.0 = learnt.iter().copied().collect();
    }

    /// Learns that the sender accepted this socket, for certain.
    pub(crate) fn accepted(&mut self, epoch: u64, socket: Socket<'_>) {
        let binding = self.entry(epoch, socket);
        binding.accepted_by.learn(socket.owner_tid());
    }

    /// Learns that the sender dialled this socket, for certain.
    pub(crate) fn dialled(&mut self, epoch: u64, socket: Socket<'_>) {
        let binding = self.entry(epoch, socket);
        binding.dialled_by.learn(socket.owner_tid());
    }

    fn entry(&mut self, epoch: u64, socket: Socket<'_>) -> &mut Binding {
        if self.0.len() >= SENDERS_MAX && !self.0.contains_key(&epoch) {
            self.0.pop_first();
        }
        let binding = self.0.entry(epoch).or_default();
        binding.netns.learn(socket.netns());
        binding.pid.learn(socket.owner_pid());
        binding
    }
}

// === impl Agreed ===

impl<T: Copy + Default + PartialEq> Agreed<T> {
    /// Takes evidence in; the default value is none.
    fn learn(&mut self, value: T) {
        *self = match *self {
            known if value == T::default() => known,
            Self::Unknown => Self::One(value),
            Self::One(known) if known == value => Self::One(value),
            Self::One(_) | Self::Torn => Self::Torn,
        };
    }

    fn value(self) -> T {
        match self {
            Self::One(value) => value,
            Self::Unknown | Self::Torn => T::default(),
        }
    }
}

#[cfg(test)]
mod tests;
