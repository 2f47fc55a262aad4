//! How much of what happens is reported: all, unless the ring cannot hold a second of it.
//!
//! A pure controller. Connections that end well are sampled under pressure; failures, resets and
//! handshakes that had to be repeated never are: the programs see to that.

use std::time::Duration;

/// The least that is reported: one of this many.
const LEAST: u32 = 1024;

/// Below this part of the ring each second, more may be reported again: after it, the rate is
/// still half of what is too much.
const CALM_PART: u64 = 4;

/// How long it is calm before more is reported.
const CALM_FOR: Duration = Duration::from_secs(1);

/// How long too much is read before less is reported: what waited for a reader that was stopped, or
/// that has just begun, is read in less.
const STRAIN_FOR: Duration = Duration::from_secs(1);

/// What happened to the ring in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Length of the interval.
    pub(crate) elapsed: Duration,
    /// Bytes that were read.
    pub(crate) read: u64,
    /// Records that found no room.
    pub(crate) lost: u64,
}

/// Steers the sampling.
#[derive(Debug)]
pub(crate) struct Pressure {
    ring_bytes: u64,
    one_in: u32,
    calm: Duration,
    strain: Duration,
}

// === impl Pressure ===

impl Pressure {
    /// Reports all, through a ring of `ring_bytes`.
    pub(crate) const fn new(ring_bytes: u64) -> Self {
        Self {
            ring_bytes,
            one_in: 1,
            calm: Duration::ZERO,
            strain: Duration::ZERO,
        }
    }

    /// Takes what happened; returns of how many connections that end well one is to be reported.
    pub(crate) fn handle_flow(&mut self, flow: Flow) -> u32 {
        // Over the interval as it was: a reader that was stopped finds much at once.
        let per_second = u128::from(flow.read) * 1_000_000_000 / flow.elapsed.as_nanos().max(1);
        let is_too_much = per_second > u128::from(self.ring_bytes);
        let is_calm = per_second < u128::from(self.ring_bytes / CALM_PART) && flow.lost == 0;
        self.strain = if is_too_much {
            self.strain + flow.elapsed
        } else {
            Duration::ZERO
        };
        self.calm = if is_calm {
            self.calm + flow.elapsed
        } else {
            Duration::ZERO
        };
        if flow.lost > 0 || self.strain >= STRAIN_FOR {
            self.one_in = (self.one_in * 2).min(LEAST);
        } else if self.calm >= CALM_FOR {
            self.one_in = (self.one_in / 2).max(1);
            self.calm = Duration::ZERO;
        }
        self.one_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: u64 = 1000;
    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn all_is_reported_while_the_ring_holds_a_second() {
        let mut pressure = Pressure::new(RING);
        for _ in 0..100 {
            assert_eq!(pressure.handle_flow(flow(100)), 1);
        }
    }

    #[test]
    fn what_waited_for_a_reader_is_no_pressure() {
        let mut pressure = Pressure::new(RING);
        let stopped = Flow {
            elapsed: Duration::from_secs(1),
            ..flow(1000)
        };
        assert_eq!(pressure.handle_flow(stopped), 1);
        // A successor reads the whole ring at once.
        assert_eq!(pressure.handle_flow(flow(1000)), 1);
        assert_eq!(pressure.handle_flow(flow(100)), 1);
    }

    #[test]
    fn too_much_for_a_second_halves_what_is_reported_as_long_as_it_lasts() {
        let mut pressure = Pressure::new(RING);
        let answers: Vec<u32> = (0..12).map(|_| pressure.handle_flow(flow(101))).collect();
        assert_eq!(answers, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8]);
        for _ in 0..20 {
            pressure.handle_flow(flow(101));
        }
        assert_eq!(pressure.handle_flow(flow(101)), LEAST);
        assert_eq!(pressure.handle_flow(flow(100)), LEAST);
    }

    #[test]
    fn a_loss_halves_at_once() {
        let lost = Flow { lost: 1, ..flow(0) };
        assert_eq!(Pressure::new(RING).handle_flow(lost), 2);
    }

    #[test]
    fn a_second_of_calm_doubles_what_is_reported() {
        let mut pressure = Pressure::new(RING);
        pressure.handle_flow(Flow { lost: 1, ..flow(0) });
        let answers: Vec<u32> = (0..10).map(|_| pressure.handle_flow(flow(24))).collect();
        assert_eq!(answers, [2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
    }

    fn flow(read: u64) -> Flow {
        Flow {
            elapsed: TENTH,
            read,
            lost: 0,
        }
    }
}
