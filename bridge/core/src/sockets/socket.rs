//! What the kernel says of a live connection, as joins read it: in place, without a copy.

use syntrace_model::{BootNanos, ConnKey, ConnectionId, Opening, Outcome, TraceId};

use super::{Connection, Kernel};
use crate::fact::{Counters, Origin, Snapshot, Tag};

/// What the kernel says of a live connection, read in place; names and meanings are [`Snapshot`]'s.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) connection: Connection<'a>,
}

// === impl Socket ===

/// Reads what the kernel says under the same name.
macro_rules! read {
    ($($name:ident: $type:ty),*) => {
        $(
            /// Returns what [`Snapshot`] says under the same name.
            #[must_use]
            pub fn $name(self) -> $type {
                self.kernel.$name()
            }
        )*
    };
}

/// Reads what it shares with others.
macro_rules! shared {
    ($($name:ident: $type:ty),*) => {
        $(
            /// Returns what [`Snapshot`] says under the same name.
            #[must_use]
            pub const fn $name(self) -> $type {
                self.connection.context.$name
            }
        )*
    };
}

impl<'a> Socket<'a> {
    read! {
        seen_at: BootNanos,
        began_at: BootNanos,
        syn_at: Option<BootNanos>,
        syn_ack_at: Option<BootNanos>,
        established_at: Option<BootNanos>,
        accepted_at: Option<BootNanos>,
        closed_at: Option<BootNanos>,
        counters: Counters,
        tag: Option<Tag>
    }

    shared! {
        netns: u64,
        owner_pid: u32,
        owner_tid: u32,
        mark: u32,
        origin: Origin,
        accept_deferred: bool
    }

    /// Returns what names the socket.
    #[must_use]
    pub fn id(self) -> ConnectionId {
        self.connection.id()
    }

    /// Returns the socket's cookie.
    #[must_use]
    pub const fn cookie(self) -> u64 {
        self.connection.entry.number
    }

    /// Returns both ends.
    #[must_use]
    pub const fn key(self) -> ConnKey {
        self.kernel.key()
    }

    /// Returns who sent the SYN.
    #[must_use]
    pub const fn opening(self) -> Opening {
        self.kernel.opening
    }

    /// Returns how far it came.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        self.kernel.outcome
    }

    /// Returns the id that the kernel view minted.
    #[must_use]
    pub const fn minted(self) -> TraceId {
        self.kernel.minted
    }

    /// Returns the ids of the kernel view that may have been shown, though another counts now.
    pub(crate) fn shown(self) -> &'a [TraceId] {
        self.kernel.shown()
    }

    /// Returns whether its probe still watches it, or reported its end: if not, it may be gone, and nothing is
    /// certain of it after [`Self::seen_at`].
    #[must_use]
    pub fn is_watched(self) -> bool {
        self.connection.watched || self.kernel.outcome.is_final()
    }

    /// Returns whether the facts about it contradict each other: then nothing is certain of it.
    #[must_use]
    pub fn is_contradicted(self) -> bool {
        !self.connection.contradictions().is_empty()
    }

    /// Returns whether anything can be certain of it.
    #[must_use]
    pub fn is_sound(self) -> bool {
        self.is_watched() && !self.is_contradicted()
    }

    /// Returns whether its end is known only as an upper bound: nobody saw it, a later table lacked the socket.
    pub(crate) fn ended_unseen(self) -> bool {
        self.origin() != Origin::Watched
            && self.kernel.outcome == Outcome::Unknown
            && self.kernel.closed_at().is_some()
    }

    /// Returns the last moment at which it is known to have been there, up to its end; `None` if its end was
    /// seen: then all of its life is known.
    pub(crate) fn known_until(self) -> Option<BootNanos> {
        if self.ended_unseen() {
            return Some(self.began_at());
        }
        self.kernel.closed_at().is_none().then(|| self.seen_at())
    }

    /// Returns all that is known, as a value of its own.
    #[must_use]
    pub fn snapshot(self) -> Snapshot {
        self.kernel.snapshot(self.cookie(), self.connection.context)
    }

    /// Returns the connection that it is.
    pub(crate) const fn connection(self) -> Connection<'a> {
        self.connection
    }
}
