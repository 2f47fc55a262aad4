//! Which request an incident hit.
//!
//! Segments carry no request: no hook sees a request's sequence numbers, and sizes are not wire bytes. So an
//! incident is charged by time: to the request that ran on the connection, alone, or `shared` among the streams
//! that ran, and among both neighbours within one round trip of a boundary.
//!
//! The record of a connection knows all of its requests. The record of a request settles earlier and knows only
//! those that had ended by then, or shortly after: on a connection that can carry several at once it says
//! `shared`, even if it knows of no other. How many requests an upstream connection can carry at once is not
//! reported.

use syntrace_model::{BootNanos, ConnectionId, SpanId};

use crate::{
    join::{DISORDER_NS, Interval, TIGHT_NS},
    record::{ChargedIncident, ConnectionIncident, LinkKind, Sharing},
};

/// A request on a connection, and when it ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) span_id: SpanId,
    pub(crate) interval: Interval,
}

/// Returns which request an incident hit, of all that ran on its connection.
pub(crate) fn share(
    at: BootNanos,
    round_trip_ns: u64,
    requests: impl Iterator<Item = Ran>,
) -> Sharing {
    let mut hit = requests.filter(|request| request.interval.is_near(at, round_trip_ns));
    match (hit.next(), hit.count()) {
        (None, _) => Sharing::Nobody,
        (Some(only), 0) => Sharing::Exclusive(only.span_id),
        (Some(_), others) => Sharing::Shared {
            streams: u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1),
        },
    }
}

/// Returns what is charged to `request`, of what happened to one of its connections.
///
/// `others` are the other known requests on that connection; `multiplexed` says that there may be more at the
/// same time.
pub(crate) fn charge(
    connection: ConnectionId,
    link: LinkKind,
    incidents: &[ConnectionIncident],
    request: Ran,
    others: impl Iterator<Item = Ran> + Clone,
    round_trip_ns: u64,
    multiplexed: bool,
) -> impl Iterator<Item = ChargedIncident> {
    let others = others.filter(move |other| other.span_id != request.span_id);
    incidents
        .iter()
        .filter(move |incident| may_have_hit(request.interval, incident.at, round_trip_ns))
        .map(move |incident| {
            let all = std::iter::once(request).chain(others.clone());
            let known = share(incident.at, round_trip_ns, all);
            let sharing = if multiplexed && matches!(known, Sharing::Exclusive(_)) {
                Sharing::Shared { streams: 1 }
            } else {
                known
            };
            ChargedIncident {
                connection,
                link,
                incident: ConnectionIncident {
                    sharing,
                    ..*incident
                },
            }
        })
}

/// Returns from when on something may have happened to a request that ran then.
pub(crate) fn may_hit_from(ran: Interval, round_trip_ns: u64) -> BootNanos {
    ran.start.minus_ns(round_trip_ns.max(TIGHT_NS))
}

/// Returns whether what happened may have happened to a request that ran then.
pub(crate) fn may_have_hit(ran: Interval, at: BootNanos, round_trip_ns: u64) -> bool {
    // What happens after the request has ended may be reported after it has settled.
    at <= ran.end.plus_ns(DISORDER_NS) && ran.is_near(at, round_trip_ns)
}

// === impl Interval ===

impl Interval {
    /// Returns whether the moment lies within this, or within one round trip of it.
    fn is_near(self, at: BootNanos, round_trip_ns: u64) -> bool {
        let slack_ns = round_trip_ns.max(TIGHT_NS);
        may_hit_from(self, round_trip_ns) <= at && at <= self.end.plus_ns(slack_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ran(n: u8, from_ms: u64, until_ms: u64) -> Ran {
        Ran {
            span_id: SpanId::new([n; 8]).unwrap(),
            interval: Interval {
                start: BootNanos(from_ms * MS),
                end: BootNanos(until_ms * MS),
            },
        }
    }

    #[test]
    fn an_incident_hits_the_one_request_that_ran() {
        let requests = [ran(1, 10, 20), ran(2, 30, 40)];
        let at = |ms| share(BootNanos(ms * MS), MS, requests.into_iter());
        assert_eq!(at(15), Sharing::Exclusive(requests[0].span_id));
        assert_eq!(at(35), Sharing::Exclusive(requests[1].span_id));
        assert_eq!(at(25), Sharing::Nobody);
    }

    #[test]
    fn several_streams_or_neighbours_within_a_round_trip_share_it() {
        let streams = [ran(1, 10, 20), ran(2, 12, 40), ran(3, 14, 18)];
        let at = |ms| share(BootNanos(ms * MS), MS, streams.into_iter());
        assert_eq!(at(16), Sharing::Shared { streams: 3 });
        let neighbours = [ran(1, 10, 20), ran(2, 21, 30)];
        let between = share(BootNanos(20_500_000), MS, neighbours.into_iter());
        assert_eq!(between, Sharing::Shared { streams: 2 });
    }
}
