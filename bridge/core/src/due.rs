//! When a request settles, as far as its time is known.

use syntrace_model::BootNanos;

use crate::{clock::Clock, fact::Report, join::DISORDER_NS, limits::Limits, requests::Place};

/// How long after a request the next sample of both clocks may be, nanoseconds.
pub(crate) const SAMPLE_NS: u64 = 300_000_000;

/// A report whose end lies this far in the future, nanoseconds, has a wrong time.
const FUTURE_NS: u64 = 3_600_000_000_000;

/// How far time may have gone on when a report arrives, nanoseconds: the caller says what time it is with each
/// batch, and each probe sends several a second.
const UNNOTICED_NS: u64 = 1_000_000_000;

/// Returns by when a request began: it had ended when its report arrived. What time it was then is not known
/// before any has passed.
pub(crate) const fn began_by(report: &Report, arrived_at: BootNanos) -> BootNanos {
    match arrived_at {
        BootNanos(0) => BootNanos(u64::MAX),
        _ => arrived_at
            .plus_ns(UNNOTICED_NS)
            .minus_ns(report.duration_ns),
    }
}

/// Returns when a request that ended at `ended_at` settles.
pub(crate) const fn settles_at(ended_at: BootNanos, grace_ns: u64) -> BootNanos {
    ended_at.plus_ns(DISORDER_NS + SAMPLE_NS + grace_ns)
}

/// Returns when a request settles: by then, what it is joined to and the next sample of both clocks have
/// arrived. One that came later waits for a grace period from its arrival: for the clock, if for nothing else.
///
/// What time it is does not matter: one that is due already waits for a probe that is behind, as its connections do,
/// and they settle in the order in which they are due.
pub(crate) fn place(
    clock: &Clock,
    limits: &Limits,
    report: &Report,
    arrived_at: BootNanos,
) -> Place {
    let again = arrived_at.plus_ns(limits.grace_ns);
    let Some(started_at) = clock.to_boot_by(report.started_at, began_by(report, arrived_at)) else {
        let wrong = !clock.is_empty();
        return Place {
            due: wrong.then_some(again),
            late: false,
            wrong: wrong.then_some("out_of_time"),
        };
    };
    let due = settles_at(started_at.plus_ns(report.duration_ns), limits.grace_ns);
    let late = due <= arrived_at;
    let future = arrived_at > BootNanos(0) && due > arrived_at.plus_ns(FUTURE_NS);
    Place {
        due: Some(if late || future { again } else { due }),
        late,
        wrong: future.then_some("from_the_future"),
    }
}
