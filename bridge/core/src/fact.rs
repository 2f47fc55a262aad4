//! What goes in: facts, each a thing that one sender saw.
//!
//! Only shapes: `fact/kernel.rs` has what probes report, `fact/proxy.rs` what filters report. Turning the
//! wire's messages into these, and refusing those without meaning, is the bridge's `ingest`; folding them is
//! the reconciler's.

mod kernel;
mod proxy;

use std::{fmt, sync::Arc};

use syntrace_model::ClockSample;

pub use self::{
    kernel::{
        Counters, Incident, IncidentKind, Origin, Queue, Sampling, Snapshot, Tag, TagState, Watch,
    },
    proxy::{Header, Http, Mark, Report, TraceLink, TraceLinkKind, Upstream},
};

/// Consecutive facts of one sender, and what it says of itself beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who saw them.
    pub sender: SenderId,
    /// Number of the first fact among all that the sender saw in this epoch, from 0.
    pub first_seq: u64,
    /// What was seen, in order, without a gap.
    pub facts: Vec<Fact>,
    /// All that the sender lost in this epoch so far, by cause.
    pub losses: Vec<(Box<str>, u64)>,
    /// The sender ends in order: nothing of this epoch follows.
    pub goodbye: bool,
}

/// One run of one sender.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId {
    /// Stable over restarts, such as `filter/gateway-1/0`.
    pub name: Arc<str>,
    /// Drawn at random at each start.
    pub epoch: u64,
}

/// One thing that one sender saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most facts are connections and requests, and those that are neither are few"
)]
pub enum Fact {
    /// Both clocks of the probe's host at one moment.
    Clock(ClockSample),
    /// All that the kernel knows of one socket at one moment.
    Connection(Snapshot),
    /// One request, at its end.
    Request(Arc<Report>),
    /// What the probe can see at present.
    Rung(Rung),
    /// Something that happened to a socket or a listener at one moment.
    Incident(Incident),
    /// How many of the connections that end well the probe reports, from one moment on.
    Sampling(Sampling),
    /// A fact without meaning, and which of its fields has none: only its number counts.
    Refused(&'static str),
}

/// A rung of the ladder: what the probe is allowed to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// `full`, `observe`, `poll` or `l7-only`.
    pub name: Box<str>,
    /// One sentence for each capability that is missing.
    pub missing: Vec<Box<str>>,
    /// What the probe left undone or did not believe, by name, since its epoch began; none of it is a loss.
    pub counted: Vec<(Box<str>, u64)>,
    /// The kernel's id of the map that holds the sockets which the probe's hooks follow, if it has hooks. A run with
    /// the map of an earlier one follows its sockets on, and tells of them only what happens next.
    pub sockets_map_id: Option<u32>,
}

// === impl Fact ===

impl Fact {
    /// Returns whether only a probe reports it.
    pub(crate) const fn is_of_kernel(&self) -> bool {
        matches!(
            self,
            Self::Connection(_) | Self::Incident(_) | Self::Sampling(_) | Self::Rung(_)
        )
    }
}

// === impl SenderId ===

impl fmt::Debug for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:016x}", self.name, self.epoch)
    }
}
