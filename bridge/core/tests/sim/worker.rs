//! One worker of one gateway: its event loop, its pools, the requests that it carries.
//!
//! Pools are per worker and host, as Envoy's are: a request without a ready connection waits, and a
//! connect is begun for it; a connection that becomes free takes whoever has waited longest; the first
//! connect of a pool that fails, fails all that wait.

mod cut_short;
mod downstream;
mod front;
mod hedging;
mod kernel;
mod report;
mod upstream;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use syntrace_core::fact::Fact;
use syntrace_model::{BootId, ConnKey, Endpoint, Outcome};

use super::{
    is_burst,
    random::Random,
    truth::{Arrival, Ending, Mishap, Request, Truth, Way},
};

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const BOOT: BootId = BootId([1; 16]);

/// How far the proxy notices what the kernel did.
const NOTICE: (u64, u64) = (5 * US, 80 * US);
/// The same, of a worker that gets no processor.
const NOTICE_LATE: (u64, u64) = (MS / 2, 4 * MS);
const CONNECT_TIMEOUT: u64 = 250 * MS;
/// An attempt that is not answered by then gets a second one beside it (hedging). As long as a connect may take:
/// another request's connect that timed out meanwhile looks as if it had been its own.
const HEDGED_AFTER: u64 = CONNECT_TIMEOUT;
/// A segment is sent again after that: `TCP_RTO_MIN` and a little.
const RESENT_AFTER: u64 = 204 * MS;
/// Connects in a million that a pool begins although nobody waits for them (preconnect).
const PRECONNECTS: u64 = 60_000;
/// The proxy's limits for requests to a host that does not answer: some are over before Linux would retransmit.
const HANG_LIMITS: [u64; 5] = [120 * MS, 260 * MS, 700 * MS, 1_500 * MS, 4_000 * MS];
/// Requests in a million that find the cluster's circuit breaker open.
const BREAKS: u64 = 2_000;
/// Requests in a million that a gateway answers by itself if it does so at all: the first few of most workers.
const ANSWERS_ITSELF: u64 = 800_000;
const PORTS: u64 = 2_500;
/// Requests that take longer are told in detail: how long their bodies were. Whom shorter ones waited for
/// within that, nobody can tell.
const TOLD_ABOVE: u64 = 10 * MS;

/// How a host of a cluster behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answers {
        multiplexed: bool,
        takes: u64,
    },
    Flaky,
    Refuses,
    Drops,
    Silent,
    Unreachable,
    BreaksTls,
    Resets,
    ResetsStreams,
    /// Answers, and the proxy tries again: it retries on 5xx.
    Displeases,
    /// Takes connections, and never answers; or the network towards it carries nothing any more.
    Hangs,
}

/// Who keeps an answered request waiting, beside the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holdup {
    None,
    /// The service goes on with its answer slowly.
    Streaming,
    /// The client sends a long body slowly.
    Upload,
    /// The client takes a long answer slowly: by TCP's window, or by the stream's.
    Download,
    /// The worker gets no processor.
    Busy,
    /// A segment of the request is lost, and sent again.
    RequestLost,
    /// A segment of a long answer is lost on its way to the client.
    AnswerLost,
}

#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub end: Endpoint,
    pub manner: Manner,
    pub round_trip: u64,
}

/// A downstream connection that will come.
#[derive(Clone, Copy, Debug)]
pub struct Coming {
    pub at: u64,
    pub arrival: Arrival,
    pub socket: ConnKey,
    pub named: ConnKey,
    /// What the gateway's configuration tells of the socket's own ends.
    pub direct: Option<ConnKey>,
    pub requests: u32,
    pub reuse_port: bool,
    /// Whether the gateway answers some of its requests by itself.
    pub answered_itself: bool,
}

/// What a worker is told once.
#[derive(Clone, Debug)]
pub struct Place {
    pub netns: u64,
    pub pid: u32,
    pub tid: u32,
    pub address: std::net::IpAddr,
    /// Number of the worker among all of the world.
    pub number: u64,
    pub probe_began: u64,
}

/// A fact, and when its sender saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: u64,
    pub fact: Fact,
}

#[derive(Debug)]
struct Down {
    coming: Coming,
    cookie: u64,
    syn_at: u64,
    established_at: u64,
    accepted_at: u64,
    left: u32,
    running: u32,
    requests: u32,
    first_end: Option<u64>,
    closed: bool,
    /// The client's own end, where that is on this host.
    client: Option<u64>,
    /// The connection that a proxy in front accepted, and the one that it dialled.
    front: Option<[u64; 2]>,
}

#[derive(Debug)]
struct Up {
    cookie: u64,
    /// Begun ahead of need.
    ahead: bool,
    host: usize,
    key: ConnKey,
    syn_at: u64,
    established_at: Option<u64>,
    outcome: Outcome,
    closed_at: u64,
    syns: u32,
    uses: u32,
    running: u32,
}

#[derive(Debug)]
struct Ask {
    down: usize,
    host: usize,
    start: u64,
    since: u64,
    attempts: u32,
    most_attempts: u32,
    earlier: Vec<u64>,
    time: [u64; 6],
    before: [u64; 6],
    at: u64,
    served_at: u64,
    hedged: Option<Way>,
    mishap: Option<(Mishap, u64, u64)>,
    /// From then until the last byte of the answer.
    answered: u64,
    /// From the first byte of the request to the end of its head.
    head: u64,
    holdup: Holdup,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<usize>,
    waiting: VecDeque<usize>,
    connecting: u32,
    shared: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Come(usize),
    Tell(usize),
    Ask(usize),
    Attempt(usize),
    Connected(usize),
    Failed(usize),
    Free(usize),
    Done(usize, usize),
    Cut(usize, usize),
    CutShort(usize, usize, Ending),
    Leave(usize, u32, Ending),
    Close(usize),
}

/// Parties, as `Party::ALL` lists them.
const CLIENT: usize = 0;
const NETWORK: usize = 1;
const KERNEL: usize = 2;
const PROXY: usize = 3;
const SERVICE: usize = 4;
const UNKNOWN: usize = 5;

pub struct Worker<'a> {
    place: Place,
    hosts: &'a [Host],
    random: Random,
    wall: &'a dyn Fn(u64) -> u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    coming: Vec<Coming>,
    downs: Vec<Down>,
    ups: Vec<Up>,
    asks: Vec<Ask>,
    pools: Vec<Pool>,
    sockets: u64,
    spans: u64,
    next_port: u64,
    /// Failed connects: host, when, for rivals.
    failures: Vec<(usize, u64)>,
    kernel: Vec<Seen>,
    proxy: Vec<Seen>,
    truth: Truth,
}

/// What a worker's life amounts to.
pub struct Lived {
    pub kernel: Vec<Seen>,
    pub proxy: Vec<Seen>,
    pub truth: Truth,
}

impl<'a> Worker<'a> {
    pub fn new(
        place: Place,
        hosts: &'a [Host],
        random: Random,
        wall: &'a dyn Fn(u64) -> u64,
        coming: Vec<Coming>,
    ) -> Self {
        let mut worker = Self {
            place,
            hosts,
            random,
            wall,
            events: BinaryHeap::new(),
            order: 0,
            coming,
            downs: Vec::new(),
            ups: Vec::new(),
            asks: Vec::new(),
            pools: hosts.iter().map(|_| Pool::default()).collect(),
            sockets: 0,
            spans: 0,
            next_port: 0,
            failures: Vec::new(),
            kernel: Vec::new(),
            proxy: Vec::new(),
            truth: Truth::default(),
        };
        for index in 0..worker.coming.len() {
            worker.later(worker.coming[index].at, Event::Come(index));
        }
        worker
    }

    pub fn live(mut self) -> Lived {
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            match event {
                Event::Come(index) => self.come(index),
                Event::Tell(down) => self.tell_open(down, now),
                Event::Ask(down) => self.ask(down, now),
                Event::Attempt(ask) => self.attempt(ask, now),
                Event::Connected(up) => self.connected(up, now),
                Event::Failed(up) => self.connect_failed(up, now),
                Event::Free(up) => self.free(up, now),
                Event::Done(ask, up) => self.done(ask, Some(up), Ending::Answered, None, now),
                Event::Cut(ask, up) => self.cut(ask, up, now),
                Event::CutShort(ask, up, ending) => self.cut_short(ask, up, ending, now),
                Event::Leave(ask, attempt, ending) => self.leave(ask, attempt, ending, now),
                Event::Close(down) => self.close(down, now),
            }
        }
        Lived {
            kernel: self.kernel,
            proxy: self.proxy,
            truth: self.truth,
        }
    }

    fn later(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn cookie(&mut self) -> u64 {
        self.sockets += 1;
        self.truth.sockets += 1;
        (self.place.number << 32) + self.sockets
    }

    fn noticed(&mut self, at: u64) -> u64 {
        let late = self.random.in_million(20_000);
        let (least, most) = if late { NOTICE_LATE } else { NOTICE };
        at + self.random.between(least, most)
    }
}

/// The manners, in the order in which [`Worker::ask`] shares requests out.
pub const MANNERS: [Manner; 13] = [
    Manner::Answers {
        multiplexed: false,
        takes: 2 * MS,
    },
    Manner::Answers {
        multiplexed: true,
        takes: 2 * MS,
    },
    Manner::Answers {
        multiplexed: false,
        takes: 150 * MS,
    },
    Manner::Flaky,
    Manner::Refuses,
    Manner::Drops,
    Manner::Silent,
    Manner::Unreachable,
    Manner::BreaksTls,
    Manner::Resets,
    Manner::ResetsStreams,
    Manner::Displeases,
    Manner::Hangs,
];

fn is_multiplexed(manner: Manner) -> bool {
    matches!(
        manner,
        Manner::Answers {
            multiplexed: true,
            ..
        } | Manner::ResetsStreams
    )
}

fn party_of(ending: Ending) -> Option<syntrace_core::answer::Party> {
    use syntrace_core::answer::Party;
    match ending {
        Ending::Answered | Ending::AnsweredItself => None,
        Ending::Refused
        | Ending::ResetBeforeFirstByte
        | Ending::StreamReset
        | Ending::Unserved
        | Ending::Idle => Some(Party::Service),
        Ending::ConnectTimeout
        | Ending::Unanswered
        | Ending::Unreachable
        | Ending::NetworkDead
        | Ending::NoConnectionInTime => Some(Party::Network),
        Ending::ClientGone | Ending::Cancelled | Ending::RequestIncomplete => Some(Party::Client),
        Ending::CircuitOpen => Some(Party::Proxy),
        Ending::TlsFailed | Ending::ResetAtOnce => Some(Party::Service),
    }
}
