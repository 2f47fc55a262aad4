//! The worker's clients: their connections, and the requests on them.

use syntrace_core::fact::IncidentKind;

use super::{
    Arrival, Ask, CLIENT, Coming, Down, Event, Holdup, KERNEL, MANNERS, MS, NETWORK, PROXY, US,
    Worker, is_burst,
};

impl Worker<'_> {
    pub(super) fn come(&mut self, index: usize) {
        let coming = self.coming[index];
        let cookie = self.cookie();
        let overflown = coming.arrival == Arrival::Overflowed;
        let syn_at = match overflown {
            true => coming.at + self.random.between(1_000 * MS, 1_010 * MS),
            false => coming.at,
        };
        let mut handshake = self.random.between(60 * US, 900 * US);
        // While the queue is full, that is what drops segments.
        if self.random.in_million(3_000) && !is_burst(coming.at, 2_000 * MS) {
            handshake += 1_000 * MS;
        }
        let established_at = syn_at + handshake;
        let wait = if self.random.in_million(10_000) {
            self.random.between(MS, 400 * MS)
        } else {
            self.random.between(8 * US, 120 * US)
        };
        let accepted_at = established_at + wait;
        let idles = self.random.in_million(100_000);
        let first_at = if idles {
            accepted_at + self.random.between(MS, 3_000 * MS)
        } else {
            accepted_at + self.random.between(5 * US, 150 * US)
        };
        self.downs.push(Down {
            coming,
            cookie,
            syn_at,
            established_at,
            accepted_at,
            left: coming.requests,
            running: 0,
            requests: 0,
            first_end: None,
            closed: false,
            client: None,
            front: None,
        });
        let down = self.downs.len() - 1;
        if overflown {
            self.overflow(down);
        }
        if coming.arrival == Arrival::ProxyInFront {
            self.come_through_front(down);
        }
        let told_at = match coming.arrival {
            // The probe comes later, and finds it.
            Arrival::Backfilled => self.place.probe_began.max(accepted_at),
            Arrival::Polled => accepted_at + self.random.below(1_000 * MS),
            _ => accepted_at,
        };
        self.later(told_at, Event::Tell(down));
        if coming.arrival == Arrival::Multiplexed {
            self.downs[down].left = 0;
            let mut at = first_at;
            for n in 0..coming.requests {
                self.downs[down].running += 1;
                self.later(at, Event::Ask(down));
                if n % 4 == 3 {
                    at += self.random.about(20 * MS);
                }
                at += self.random.between(0, 300 * US);
            }
        } else {
            self.downs[down].left -= 1;
            self.downs[down].running = 1;
            let first_at = match coming.arrival {
                Arrival::Backfilled | Arrival::Polled => {
                    self.place.probe_began.max(accepted_at) + self.random.between(MS, 500 * MS)
                }
                _ => first_at,
            };
            self.later(first_at, Event::Ask(down));
        }
    }

    /// The listener drops the client's first SYN; the client is on this host, and its end is told of.
    fn overflow(&mut self, down: usize) {
        let cookie = self.cookie();
        self.downs[down].client = Some(cookie);
        let coming = self.downs[down].coming;
        let (listener, dropped_at) = (coming.socket.local, coming.at + 3 * US);
        self.incident(IncidentKind::AcceptOverflow, 1, listener, None, dropped_at);
        let socket = self.client_socket(down, cookie, None);
        self.tell(self.downs[down].established_at, socket);
    }

    pub(super) fn tell_open(&mut self, down: usize, now: u64) {
        if !self.downs[down].closed {
            let socket = self.downstream_socket(down, None);
            self.tell(now, socket);
        }
    }

    pub(super) fn close(&mut self, down: usize, now: u64) {
        self.downs[down].closed = true;
        let socket = self.downstream_socket(down, Some(now));
        self.tell(now, socket);
        if let Some(cookie) = self.downs[down].client {
            let socket = self.client_socket(down, cookie, Some(now));
            self.tell(now, socket);
        }
        self.close_front(down, now);
        let coming = self.downs[down].coming;
        if coming.reuse_port {
            let again = Coming {
                at: now + self.random.between(50 * US, 4 * MS),
                reuse_port: self.random.in_million(300_000),
                ..coming
            };
            self.coming.push(again);
            self.later(again.at, Event::Come(self.coming.len() - 1));
        }
    }

    pub(super) fn ask(&mut self, down: usize, now: u64) {
        let roll = self.random.below(1_000);
        let host = self
            .hosts
            .iter()
            .position(|host| {
                // A host's share of the requests, in a thousand.
                let manner = match roll {
                    0..600 => 0,
                    600..750 => 1,
                    750..830 => 2,
                    830..900 => 3,
                    900..925 => 4,
                    925..940 => 5,
                    940..945 => 6,
                    945..955 => 7,
                    955..965 => 8,
                    965..980 => 9,
                    980..990 => 10,
                    990..996 => 11,
                    _ => 12,
                };
                host.manner == MANNERS[manner]
            })
            .unwrap_or(0);
        let mut before = [0; 6];
        let known = &self.downs[down];
        let fresh = known.first_end.is_none_or(|ended| ended >= now)
            && !matches!(known.coming.arrival, Arrival::Backfilled | Arrival::Polled);
        if fresh {
            before[KERNEL] += known.syn_at - known.coming.at;
            before[NETWORK] += known.established_at - known.syn_at;
            before[KERNEL] += known.accepted_at - known.established_at;
            before[CLIENT] += now - known.accepted_at;
        }
        let most_attempts = 1 + self.random.below(3) as u32;
        self.asks.push(Ask {
            down,
            host,
            start: now,
            since: now,
            attempts: 0,
            most_attempts,
            earlier: Vec::new(),
            time: [0; 6],
            before,
            at: now,
            served_at: 0,
            hedged: None,
            mishap: None,
            answered: 0,
            head: 0,
            holdup: Holdup::None,
        });
        self.downs[down].requests += 1;
        let ask = self.asks.len() - 1;
        let slow = self.random.in_million(5_000);
        let head = if slow {
            self.random.between(MS, 400 * MS)
        } else {
            self.random.between(2 * US, 30 * US)
        };
        self.asks[ask].head = head;
        self.charge(ask, if slow { CLIENT } else { PROXY }, now + head);
        let at = now + head + self.random.between(8 * US, 90 * US);
        self.later(at, Event::Attempt(ask));
    }

    /// Charges the time that passed since the last charge.
    pub(super) fn charge(&mut self, ask: usize, party: usize, now: u64) {
        let ask = &mut self.asks[ask];
        ask.time[party] += now.saturating_sub(ask.at);
        ask.at = ask.at.max(now);
    }
}
