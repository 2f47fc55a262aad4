//! When a request settles, as far as its time can be told.

use syntrace_model::BootNanos;

use crate::{clock::Clock, fact::Report, join::DISORDER_NS, limits::Limits, requests::Place};

/// How long after a request both clocks may be read next.
pub(crate) const SAMPLE_NS: u64 = 300_000_000;

/// A request that ends so long after it was told of has a time that is wrong.
const FUTURE_NS: u64 = 3_600_000_000_000;

/// Returns when a request that ended at `ended_at` settles.
pub(crate) const fn due(ended_at: BootNanos, grace_ns: u64) -> BootNanos {
    ended_at.plus_ns(DISORDER_NS + SAMPLE_NS + grace_ns)
}

/// Says when a request settles: what it is joined to, and both clocks after it, arrive within the grace
/// period. One that came later waits for another grace period: for the clock, if for nothing else.
pub(crate) fn place(
    clock: &Clock,
    limits: &Limits,
    report: &Report,
    arrived_at: BootNanos,
    now: BootNanos,
) -> Place {
    let again = now.plus_ns(limits.grace_ns);
    let Some(started_at) = clock.to_boot(report.started_at) else {
        let wrong = !clock.is_empty();
        return Place {
            due: wrong.then_some(again),
            late: false,
            wrong: wrong.then_some("out_of_time"),
        };
    };
    let due = due(started_at.plus_ns(report.duration_ns), limits.grace_ns);
    let late = due <= arrived_at;
    let future = arrived_at > BootNanos(0) && due > arrived_at.plus_ns(FUTURE_NS);
    Place {
        due: Some(if due <= now || future { again } else { due }),
        late,
        wrong: future.then_some("from_the_future"),
    }
}
