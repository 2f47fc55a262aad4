//! One stretch of a record's time as JSON.

use serde::Serialize;
use syntrace_core::record;
use syntrace_model::UnixNanos;
use utoipa::ToSchema;

use super::time;

/// One stretch of a record's time; each begins where the one before it ends.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Phase {
    /// What went on: `handshake`, `accept_wait`, `service` and others.
    name: &'static str,
    /// Whose time it was.
    party: &'static str,
    /// RFC 3339.
    started_at: String,
    duration_ns: u64,
}

impl Phase {
    /// Shows the phases of a record that began then.
    pub(super) fn of(phases: &[record::Phase], began_at: UnixNanos) -> Vec<Self> {
        let shown = phases.iter().map(|phase| Self {
            name: phase.kind.name(),
            party: phase.party.name(),
            started_at: time(began_at.plus_ns(phase.after_ns)),
            duration_ns: phase.duration_ns,
        });
        shown.collect()
    }
}
