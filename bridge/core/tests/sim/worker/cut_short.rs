//! Requests that somebody cuts short: a client that leaves or cancels, and the proxy's limits of time.
//!
//! A limit is reached because a service does not answer, because the network carries nothing, or because the
//! client does not send the rest of its request. The proxy reports the same of the first two.

use syntrace_core::fact::IncidentKind;

use super::{
    Arrival, CLIENT, Ending, Event, HANG_LIMITS, MS, NETWORK, PROXY, RESENT_AFTER, SERVICE, US,
    Worker,
};

impl Worker<'_> {
    /// Some requests that wait for a connection are not there any more when it is.
    pub(super) fn may_leave(&mut self, ask: usize, now: u64) {
        if self.arrival(ask) == Arrival::TcpSession || !self.random.in_million(10_000) {
            return;
        }
        let ending = match self.random.in_million(300_000) {
            true => Ending::NoConnectionInTime,
            false => self.leaving(ask),
        };
        let at = now + self.random.between(50 * US, 240 * MS);
        let attempt = self.asks[ask].attempts;
        self.later(at, Event::Leave(ask, attempt, ending));
    }

    pub(super) fn leave(&mut self, ask: usize, attempt: u32, ending: Ending, now: u64) {
        let host = self.asks[ask].host;
        let waiting = &mut self.pools[host].waiting;
        let place = waiting.iter().position(|waiting| *waiting == ask);
        let Some(place) = place.filter(|_| self.asks[ask].attempts == attempt) else {
            return;
        };
        // The connect goes on.
        waiting.remove(place);
        self.charge(ask, NETWORK, now);
        self.done(ask, None, ending, None, now);
    }

    /// The connection was given the request, and nothing will ever come back on it.
    pub(super) fn hang(&mut self, ask: usize, up: usize, round_trip: u64, now: u64) {
        let limit = *self.random.pick(&HANG_LIMITS);
        let limit = limit + self.random.below(limit / 10);
        let roll = self.random.below(100);
        let (ending, until) = match roll {
            0..35 => (Ending::Unserved, now + limit),
            35..65 => (Ending::NetworkDead, now + limit),
            65..80 => (Ending::Idle, now + limit),
            80..90 => (Ending::RequestIncomplete, now + limit),
            _ => {
                let after = self.random.between(5 * MS, limit);
                (self.leaving(ask), now + after)
            }
        };
        match ending {
            Ending::NetworkDead => {
                self.resend_in_vain(up, now, until);
                self.charge(ask, NETWORK, until);
            }
            Ending::RequestIncomplete => self.charge(ask, CLIENT, until),
            _ => {
                self.charge(ask, NETWORK, now + round_trip);
                self.charge(ask, SERVICE, until);
            }
        }
        self.later(until, Event::CutShort(ask, up, ending));
    }

    pub(super) fn cut_short(&mut self, ask: usize, up: usize, ending: Ending, now: u64) {
        // On HTTP/1.1 a stream is given up with its connection.
        let closed_at = now + self.random.between(5 * US, 50 * US);
        self.close_upstream(up, closed_at);
        let at = now + self.random.between(8 * US, 120 * US);
        self.charge(ask, PROXY, at);
        self.done(ask, Some(up), ending, None, at);
    }

    /// The request is sent again and again, each time after twice the time.
    fn resend_in_vain(&mut self, up: usize, from: u64, until: u64) {
        let (cookie, key) = (self.ups[up].cookie, self.ups[up].key);
        let mut after = RESENT_AFTER;
        let mut at = from + after;
        while at < until {
            self.incident(
                IncidentKind::Retransmit,
                cookie,
                key.local,
                Some(key.peer),
                at,
            );
            after *= 2;
            at += after;
        }
    }

    /// How a client leaves: on HTTP/1.1 with its connection, on HTTP/2 by a reset of the stream.
    fn leaving(&self, ask: usize) -> Ending {
        match self.arrival(ask) {
            Arrival::Multiplexed => Ending::Cancelled,
            _ => Ending::ClientGone,
        }
    }

    fn arrival(&self, ask: usize) -> Arrival {
        self.downs[self.asks[ask].down].coming.arrival
    }
}
