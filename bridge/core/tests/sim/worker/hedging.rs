//! A second attempt beside the first, that takes too long: whoever answers first is the answer, and the
//! other one is given up (`hedge_on_per_try_timeout`). The proxy tells of the one that was answered, and
//! how many there were.

use syntrace_model::Outcome;

use super::{
    Event, HEDGED_AFTER, Holdup, MS, Manner, NETWORK, PROXY, SERVICE, US, Up, Way, Worker,
};

impl Worker<'_> {
    /// Whether an attempt that will be answered after `takes` gets another one beside it.
    pub(super) fn hedges(&self, ask: usize, up: usize, takes: u64) -> bool {
        let ask = &self.asks[ask];
        let slow = matches!(
            self.hosts[self.ups[up].host].manner,
            Manner::Answers { multiplexed: false, takes } if takes > 100 * MS
        );
        slow && ask.holdup == Holdup::None
            && ask.attempts < ask.most_attempts
            && takes > HEDGED_AFTER
    }

    /// The first attempt was given to `first` at `now`, and is answered at `answered_at`; the second one opens
    /// a connection, to the quick host of the cluster or to the same.
    pub(super) fn hedge(&mut self, ask: usize, first: usize, now: u64, answered_at: u64) {
        let hedged_at = now + HEDGED_AFTER;
        self.asks[ask].attempts += 1;
        let slow_s = self.ups[first].host;
        let host = *self.random.pick(&[0, slow_s, slow_s, slow_s]);
        let second = self.dial(host, hedged_at);
        let ready_at = self.ups[second].established_at.unwrap_or(hedged_at);
        let given_at = self.noticed(ready_at);
        let round_trip = self.hosts[host].round_trip;
        let travel = self.random.between(round_trip / 2, round_trip * 3 / 2);
        let works = self.random.about(if host == 0 { 2 * MS } else { 150 * MS });
        let second_at = given_at + travel + works;
        self.charge(
            ask,
            NETWORK,
            now + self.hosts[self.ups[first].host].round_trip,
        );
        if second_at < answered_at {
            self.charge(ask, SERVICE, hedged_at);
            self.charge(ask, PROXY, self.ups[second].syn_at);
            self.charge(ask, NETWORK, ready_at);
            self.charge(ask, PROXY, given_at);
            self.charge(ask, NETWORK, given_at + travel);
            self.charge(ask, SERVICE, second_at);
            let known = &mut self.asks[ask];
            known.since = hedged_at;
            known.served_at = given_at;
            known.answered = second_at - given_at;
            known.host = host;
            known.hedged = Some(Way::HedgedSecond);
            self.answered(ask, second, first, second_at);
        } else {
            self.charge(ask, SERVICE, answered_at);
            let known = &mut self.asks[ask];
            known.answered = answered_at - now;
            known.hedged = Some(Way::HedgedFirst);
            self.answered(ask, first, second, answered_at.max(ready_at));
        }
    }

    fn answered(&mut self, ask: usize, up: usize, given_up: usize, now: u64) {
        let done = now + self.random.between(10 * US, 200 * US);
        self.charge(ask, PROXY, done);
        self.later(done, Event::Done(ask, up));
        self.later(done, Event::Free(up));
        // On HTTP/1.1 a stream is given up with its connection.
        let closed_at = now + self.random.between(5 * US, 50 * US);
        self.close_upstream(given_up, closed_at);
    }

    pub(super) fn close_upstream(&mut self, up: usize, at: u64) {
        self.ups[up].closed_at = at;
        self.ups[up].outcome = Outcome::Closed;
        let socket = self.upstream_socket(&self.ups[up], Outcome::Closed, Some(at));
        self.tell(at, socket);
    }

    /// A connect that succeeds, and belongs to no pool yet.
    fn dial(&mut self, host: usize, now: u64) -> usize {
        let cookie = self.cookie();
        let round_trip = self.hosts[host].round_trip;
        let syn_at = now + self.random.between(5 * US, 40 * US);
        let up = Up {
            cookie,
            ahead: false,
            host,
            key: self.next_key(host),
            syn_at,
            established_at: Some(syn_at + self.random.between(round_trip / 2, round_trip * 3 / 2)),
            outcome: Outcome::Established,
            closed_at: 0,
            syns: 0,
            uses: 1,
            running: 1,
        };
        let socket = self.upstream_socket(&up, Outcome::Established, None);
        self.tell(up.established_at.unwrap_or(syn_at), socket);
        self.ups.push(up);
        self.ups.len() - 1
    }
}
