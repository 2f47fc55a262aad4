//! The worker's pools: connects, who waits for them, who is served, who fails.

use syntrace_model::{ConnKey, Endpoint, Outcome};

use super::{
    ANSWERS_ITSELF, Arrival, BREAKS, CLIENT, CONNECT_TIMEOUT, Ending, Event, Holdup, Host, MS,
    Manner, Mishap, NETWORK, PORTS, PRECONNECTS, PROXY, RESENT_AFTER, SERVICE, TOLD_ABOVE, UNKNOWN,
    US, Up, Worker, is_multiplexed,
};

impl Worker<'_> {
    pub(super) fn attempt(&mut self, ask: usize, now: u64) {
        self.charge(ask, PROXY, now);
        self.asks[ask].attempts += 1;
        self.asks[ask].since = now;
        let host = self.asks[ask].host;
        let coming = self.downs[self.asks[ask].down].coming;
        let may_answer = coming.answered_itself && self.asks[ask].attempts == 1;
        if may_answer && self.random.in_million(ANSWERS_ITSELF) {
            self.done(ask, None, Ending::AnsweredItself, None, now);
        } else if let Some(up) = self.pools[host].shared {
            self.serve(ask, up, now);
        } else if let Some(up) = self.pools[host].idle.pop() {
            self.serve(ask, up, now);
        } else if self.asks[ask].attempts == 1 && self.random.in_million(BREAKS) {
            self.done(ask, None, Ending::CircuitOpen, None, now);
        } else {
            let multiplexed = is_multiplexed(self.hosts[host].manner);
            self.pools[host].waiting.push_back(ask);
            self.may_leave(ask, now);
            if !multiplexed || self.pools[host].connecting == 0 {
                self.connect(host, false, now);
                if !multiplexed && self.random.in_million(PRECONNECTS) {
                    self.connect(host, true, now);
                }
            }
        }
    }

    pub(super) fn connect(&mut self, host: usize, ahead: bool, now: u64) {
        let Host {
            manner, round_trip, ..
        } = self.hosts[host];
        let cookie = self.cookie();
        let syn_at = now + self.random.between(5 * US, 40 * US);
        let round_trip = self.random.between(round_trip / 2, round_trip * 3 / 2);
        let flaky = manner == Manner::Flaky;
        let roll = self.random.below(100);
        let established = || (Outcome::Established, Some(syn_at + round_trip), 0, 0);
        let (outcome, established_at, closed_at, syns) = match manner {
            Manner::Refuses => (Outcome::Refused, None, syn_at + round_trip, 0),
            _ if flaky && roll < 5 => (Outcome::Refused, None, syn_at + round_trip, 0),
            Manner::Drops => (Outcome::Aborted, None, syn_at + CONNECT_TIMEOUT, 0),
            _ if flaky && roll < 7 => (Outcome::Aborted, None, syn_at + CONNECT_TIMEOUT, 0),
            _ if flaky && roll < 9 => {
                let after = round_trip + self.random.between(5 * US, 60 * US);
                let outcome = Outcome::ResetByPeer;
                (outcome, Some(syn_at + round_trip), syn_at + after, 0)
            }
            Manner::Silent => (Outcome::Unanswered, None, syn_at + 3_000 * MS, 1),
            Manner::Unreachable => {
                let after = self.random.between(MS, 30 * MS);
                (Outcome::Unreachable, None, syn_at + after, 0)
            }
            Manner::BreaksTls => {
                let after = round_trip + self.random.between(MS, 4 * MS);
                let reset = self.random.in_million(500_000);
                let outcome = if reset {
                    Outcome::ResetByPeer
                } else {
                    Outcome::Closed
                };
                (outcome, Some(syn_at + round_trip), syn_at + after, 0)
            }
            Manner::Answers { .. }
            | Manner::Flaky
            | Manner::Resets
            | Manner::ResetsStreams
            | Manner::Displeases
            | Manner::Hangs => established(),
        };
        let up = Up {
            cookie,
            ahead,
            host,
            key: self.next_key(host),
            syn_at,
            established_at,
            outcome,
            closed_at,
            syns,
            uses: 0,
            running: 0,
        };
        self.pools[host].connecting += 1;
        if let Some(established_at) = established_at {
            let socket = self.upstream_socket(&up, Outcome::Established, None);
            self.tell(established_at, socket);
        }
        if closed_at > 0 {
            self.failures.push((host, closed_at));
            let socket = self.upstream_socket(&up, outcome, Some(closed_at));
            self.tell(closed_at, socket);
        }
        let event_at = match (closed_at, established_at) {
            (0, Some(established_at)) => established_at,
            (closed_at, _) => closed_at,
        };
        let noticed = self.noticed(event_at);
        self.ups.push(up);
        let up = self.ups.len() - 1;
        let event = if closed_at > 0 {
            Event::Failed(up)
        } else {
            Event::Connected(up)
        };
        self.later(noticed, event);
    }

    /// The ends of the next connection to a host.
    pub(super) fn next_key(&mut self, host: usize) -> ConnKey {
        let port = 20_000 + self.place.number % 16 * PORTS + self.next_port % PORTS;
        self.next_port += 1;
        ConnKey {
            local: Endpoint::new(self.place.address, port as u16),
            peer: self.hosts[host].end,
        }
    }

    pub(super) fn connected(&mut self, up: usize, now: u64) {
        let host = self.ups[up].host;
        self.pools[host].connecting -= 1;
        if is_multiplexed(self.hosts[host].manner) {
            self.pools[host].shared = Some(up);
            while let Some(ask) = self.pools[host].waiting.pop_front() {
                self.serve(ask, up, now);
            }
        } else {
            self.ready(up, now);
        }
    }

    /// Gives a connection that is free to whoever has waited longest.
    pub(super) fn ready(&mut self, up: usize, now: u64) {
        let host = self.ups[up].host;
        match self.pools[host].waiting.pop_front() {
            Some(ask) => self.serve(ask, up, now),
            None => self.pools[host].idle.push(up),
        }
    }

    pub(super) fn connect_failed(&mut self, up: usize, now: u64) {
        let Up {
            host,
            cookie,
            closed_at,
            outcome,
            established_at,
            syn_at,
            ..
        } = self.ups[up];
        self.pools[host].connecting -= 1;
        let ending = match outcome {
            Outcome::Refused => Ending::Refused,
            Outcome::Aborted => Ending::ConnectTimeout,
            Outcome::Unanswered => Ending::Unanswered,
            Outcome::Unreachable => Ending::Unreachable,
            _ if self.hosts[host].manner == Manner::Flaky => Ending::ResetAtOnce,
            _ => Ending::TlsFailed,
        };
        for ask in std::mem::take(&mut self.pools[host].waiting) {
            let since = self.asks[ask].since;
            let begun = syn_at.max(since);
            self.charge(ask, PROXY, begun);
            let until = established_at.unwrap_or(closed_at);
            self.charge(ask, NETWORK, until.max(begun));
            self.charge(ask, UNKNOWN, closed_at);
            self.charge(ask, PROXY, now);
            if self.asks[ask].attempts < self.asks[ask].most_attempts {
                self.asks[ask].earlier.push(cookie);
                let backoff = self.random.between(0, 25 * MS);
                if self.random.in_million(500_000) {
                    // A host of the same cluster that answers.
                    self.asks[ask].host = 0;
                }
                self.later(now + backoff, Event::Attempt(ask));
            } else {
                let at = now + self.random.between(8 * US, 120 * US);
                self.charge(ask, PROXY, at);
                self.done(ask, None, ending, Some(cookie), at);
            }
        }
    }

    pub(super) fn serve(&mut self, ask: usize, up: usize, now: u64) {
        let since = self.asks[ask].since;
        let known = &self.ups[up];
        if let Some(established_at) = known.established_at
            && established_at > since
        {
            let begun = known.syn_at.max(since);
            self.charge(ask, PROXY, begun);
            self.charge(ask, NETWORK, established_at);
        }
        self.charge(ask, PROXY, now);
        let Host {
            manner, round_trip, ..
        } = self.hosts[self.ups[up].host];
        self.ups[up].uses += 1;
        self.ups[up].running += 1;
        let travel = self.random.between(round_trip / 2, round_trip * 3 / 2);
        let down = self.asks[ask].down;
        if manner == Manner::Hangs && self.downs[down].coming.arrival != Arrival::TcpSession {
            self.asks[ask].served_at = now;
            self.hang(ask, up, travel, now);
            return;
        }
        let works = match manner {
            Manner::Answers { takes, .. } => self.random.about(takes),
            _ => self.random.about(2 * MS),
        };
        let roll = self.random.below(100);
        let breaks = match manner {
            Manner::Resets => roll < 30,
            Manner::ResetsStreams => roll < 30,
            _ => false,
        };
        let holdup = self.holdup(ask, up);
        let upload = match holdup {
            Holdup::Upload => self.random.between(TOLD_ABOVE, 300 * MS),
            _ => 0,
        };
        let lost = match holdup {
            Holdup::RequestLost => RESENT_AFTER + self.random.below(4 * MS),
            _ => 0,
        };
        let first_byte = now + upload + lost + travel + works;
        self.asks[ask].served_at = now;
        if lost > 0 {
            let mishap = match is_multiplexed(manner) {
                true => Mishap::StreamResent,
                false => Mishap::RequestResent,
            };
            let (cookie, key) = (self.ups[up].cookie, self.ups[up].key);
            self.mishap(ask, mishap, cookie, key, now + lost);
        }
        if self.hedges(ask, up, first_byte - now) {
            self.hedge(ask, up, now, first_byte);
            return;
        }
        self.charge(ask, CLIENT, now + upload);
        self.charge(ask, NETWORK, now + upload + lost + travel);
        self.charge(ask, SERVICE, first_byte);
        if breaks {
            let noticed = self.noticed(first_byte);
            if manner == Manner::Resets {
                self.ups[up].outcome = Outcome::ResetByPeer;
                self.ups[up].closed_at = first_byte;
                let socket =
                    self.upstream_socket(&self.ups[up], Outcome::ResetByPeer, Some(first_byte));
                self.tell(first_byte, socket);
            }
            self.later(noticed, Event::Cut(ask, up));
            return;
        }
        let slow = match holdup {
            Holdup::Download => self.random.between(TOLD_ABOVE, 300 * MS),
            Holdup::AnswerLost => RESENT_AFTER + self.random.below(100 * MS),
            _ => self.random.between(2 * MS, 300 * MS),
        };
        let multiplexed = self.downs[down].coming.arrival == Arrival::Multiplexed;
        let mishap = match (holdup, multiplexed) {
            (Holdup::Download, false) => Some((Mishap::WindowClosed, 0)),
            (Holdup::AnswerLost, false) => Some((Mishap::AnswerResent, RESENT_AFTER)),
            (Holdup::AnswerLost, true) => Some((Mishap::StreamAnswerResent, RESENT_AFTER)),
            // A stream's window is nothing that the kernel knows of.
            _ => None,
        };
        if let Some((mishap, after)) = mishap {
            let (cookie, key) = (self.downs[down].cookie, self.downs[down].coming.socket);
            self.mishap(ask, mishap, cookie, key, first_byte + after);
        }
        // Of an HTTP/2 stream the proxy holds what the client's window does not take.
        let (answer, after) = match holdup {
            Holdup::Streaming => (Some((SERVICE, slow)), None),
            Holdup::Download if multiplexed => (None, Some((CLIENT, slow))),
            Holdup::Download => (Some((CLIENT, slow)), None),
            Holdup::AnswerLost => (Some((NETWORK, slow)), None),
            Holdup::Busy => (None, Some((PROXY, slow))),
            Holdup::None | Holdup::Upload | Holdup::RequestLost => (None, None),
        };
        let mut at = first_byte;
        if let Some((party, took)) = answer {
            at += took;
            self.charge(ask, party, at);
        }
        self.asks[ask].answered = at - now;
        if let Some((party, took)) = after {
            at += took;
            self.charge(ask, party, at);
        }
        let done = at + self.random.between(10 * US, 200 * US);
        self.charge(ask, PROXY, done);
        let again = manner == Manner::Displeases
            && roll < 40
            && self.asks[ask].attempts < self.asks[ask].most_attempts;
        if again {
            let pause = self.random.below(25 * MS);
            self.later(done + pause, Event::Attempt(ask));
        } else {
            self.later(done, Event::Done(ask, up));
        }
        let free = done
            .saturating_sub(self.random.below(5 * US))
            .max(first_byte);
        self.later(free, Event::Free(up));
    }

    /// Who keeps this request waiting; resets come at once.
    fn holdup(&mut self, ask: usize, up: usize) -> Holdup {
        let roll = self.random.below(1_000);
        let manner = self.hosts[self.ups[up].host].manner;
        let holdup = match roll {
            _ if matches!(manner, Manner::Resets | Manner::ResetsStreams) => Holdup::None,
            0..20 => Holdup::Streaming,
            20..25 => Holdup::Upload,
            25..35 => Holdup::Download,
            35..45 => Holdup::Busy,
            45..48 => Holdup::RequestLost,
            48..50 => Holdup::AnswerLost,
            _ => Holdup::None,
        };
        self.asks[ask].holdup = holdup;
        holdup
    }

    pub(super) fn free(&mut self, up: usize, now: u64) {
        self.ups[up].running -= 1;
        let shared = self.pools[self.ups[up].host].shared == Some(up);
        let worn = self.ups[up].uses >= 40;
        if shared {
            if worn {
                // GOAWAY: those that run may end.
                self.pools[self.ups[up].host].shared = None;
            }
        } else if !worn {
            self.ready(up, now);
        }
        if worn && self.ups[up].running == 0 && self.ups[up].closed_at == 0 {
            let closed_at = now + self.random.between(MS, 40 * MS);
            self.ups[up].closed_at = closed_at;
            self.ups[up].outcome = Outcome::Closed;
            let socket = self.upstream_socket(&self.ups[up], Outcome::Closed, Some(closed_at));
            self.tell(closed_at, socket);
        }
    }

    /// The service ended the stream before it had answered.
    pub(super) fn cut(&mut self, ask: usize, up: usize, now: u64) {
        let reset = self.ups[up].closed_at > 0 && self.ups[up].outcome == Outcome::ResetByPeer;
        let ending = if reset {
            Ending::ResetBeforeFirstByte
        } else {
            Ending::StreamReset
        };
        if reset {
            self.ups[up].running -= 1;
        } else {
            self.free(up, now);
        }
        let at = now + self.random.between(8 * US, 120 * US);
        self.charge(ask, PROXY, at);
        self.done(ask, Some(up), ending, None, at);
    }
}
