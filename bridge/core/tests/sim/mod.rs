//! A simulated host whose truth is known: gateways, clients, services, and the ways that facts take.
//!
//! No IO, and the same for the same seed. What is simulated follows what Envoy and Linux do as far as
//! facts depend on it; what the facts look like follows what the filter and the probe send.

#![allow(
    clippy::allow_attributes,
    clippy::let_underscore_must_use,
    clippy::wildcard_enum_match_arm,
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of the simulator"
)]

pub mod echoes;
pub mod far;
pub mod garbage;
pub mod hops;
pub mod random;
pub mod sampling;
pub mod score;
pub mod tables;
pub mod truth;
pub mod worker;

use std::net::{IpAddr, Ipv4Addr};

use syntrace_core::fact::{Fact, Rung};
use syntrace_model::{BootNanos, ClockSample, ConnKey, Endpoint, UnixNanos};

use self::{
    random::Random,
    truth::{Arrival, Truth},
    worker::{Coming, Host, MANNERS, MS, Manner, Place, Seen, US, Worker},
};

/// When the simulation begins, nanoseconds since boot: something has to be older.
pub const BEGIN: u64 = 100_000 * MS;
/// What the wall clock shows when the host boots.
const WALL: u64 = 1_700_000_000_000 * MS;
/// How often both clocks are read.
const CLOCK_INTERVAL: u64 = 200 * MS;

/// The namespace whose connections to services lead to another host that is observed too.
const LEADS_FAR: u64 = 4;

/// The namespace in which the accept queue is full at times.
const OVERFLOWS: u64 = 1;

/// Whether the accept queue is full, or will be or was within `near`.
pub fn is_burst(at: u64, near: u64) -> bool {
    let since = at.saturating_sub(BEGIN) % (30_000 * MS);
    (20_000 * MS - near..20_500 * MS + near).contains(&since)
}

/// What a world is made with.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub seed: u64,
    /// Downstream connections of each worker.
    pub connections: u64,
    /// How long they keep coming.
    pub span: u64,
    /// Steps of the wall clock.
    pub steps: bool,
}

/// What the facts of one sender are.
#[derive(Debug)]
pub struct Sender {
    pub name: &'static str,
    pub epoch: u64,
    pub facts: Vec<Seen>,
}

/// All that happened, as its senders saw it and as it was.
#[derive(Debug)]
pub struct World {
    pub senders: Vec<Sender>,
    /// What is seen at another host, where some connections lead.
    pub far: Vec<Sender>,
    pub truth: Truth,
}

/// One gateway: a process with workers, in a namespace.
struct Gateway {
    netns: u64,
    pid: u32,
    workers: u64,
    address: IpAddr,
    arrivals: &'static [Arrival],
}

const GATEWAYS: [Gateway; 7] = [
    Gateway {
        netns: 1,
        pid: 101,
        workers: 4,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        arrivals: &[
            Arrival::Plain,
            Arrival::Plain,
            Arrival::Multiplexed,
            Arrival::Nat,
            Arrival::PortReused,
            Arrival::EqualAddresses,
            Arrival::TcpSession,
            Arrival::Backfilled,
        ],
    },
    Gateway {
        netns: 2,
        pid: 102,
        workers: 4,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        arrivals: &[
            Arrival::EqualAddresses,
            Arrival::Plain,
            Arrival::Polled,
            Arrival::Plain,
        ],
    },
    Gateway {
        netns: 3,
        pid: 103,
        workers: 2,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
        arrivals: &[Arrival::SharedPort],
    },
    Gateway {
        netns: 3,
        pid: 104,
        workers: 2,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
        arrivals: &[Arrival::SharedPort],
    },
    Gateway {
        netns: 4,
        pid: 105,
        workers: 2,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 4)),
        arrivals: &[
            Arrival::Tproxy,
            Arrival::RedirectDirect,
            Arrival::ProxyProtocolDirect,
        ],
    },
    Gateway {
        netns: 5,
        pid: 106,
        workers: 2,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5)),
        arrivals: &[Arrival::Redirect, Arrival::Tproxy, Arrival::ProxyProtocol],
    },
    Gateway {
        netns: 6,
        pid: 107,
        workers: 2,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 6)),
        arrivals: &[Arrival::ProxyInFront, Arrival::Untold],
    },
];

/// Steps of the wall clock: when, in parts of the span, and by how much.
const STEPS: [(u64, i64); 3] = [
    (200, 3_600_000_000_000),
    (500, -1_800_000_000_000),
    (800, 45_000_000),
];

impl World {
    /// All gateways and all of their workers.
    pub fn new(weather: Weather) -> Self {
        Self::of(weather, &GATEWAYS, u64::MAX)
    }

    /// One gateway with one or two workers and few connections, close to each other.
    pub fn small(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x51a11);
        let weather = Weather {
            seed,
            connections: 1 + random.below(3),
            span: 40 * MS,
            steps: false,
        };
        let gateway = random.below(GATEWAYS.len() as u64) as usize;
        Self::of(weather, &GATEWAYS[gateway..=gateway], 1 + random.below(2))
    }

    fn of(weather: Weather, gateways: &[Gateway], workers: u64) -> Self {
        let mut random = Random::new(weather.seed);
        let drift_ppm = random.below(40) as i64 - 20;
        let wall = move |at: u64| {
            let drift = (at as i64 - BEGIN as i64) / 1_000_000 * drift_ppm;
            let stepped = STEPS
                .iter()
                .filter(|(part, _)| weather.steps && at >= BEGIN + weather.span / 1_000 * part);
            let steps: i64 = stepped.map(|(_, by)| by).sum();
            WALL.wrapping_add(at)
                .wrapping_add_signed(drift)
                .wrapping_add_signed(steps)
        };
        let hosts = hosts();
        let mut world = Self {
            senders: Vec::new(),
            far: Vec::new(),
            truth: Truth::default(),
        };
        let mut kernel = vec![Seen {
            at: BEGIN,
            fact: Fact::Rung(Rung {
                name: "full".into(),
                missing: Vec::new(),
                counted: Vec::new(),
                sockets_map_id: None,
            }),
        }];
        let mut number = 0;
        for gateway in gateways {
            for index in 0..gateway.workers.min(workers) {
                number += 1;
                let place = Place {
                    netns: gateway.netns,
                    pid: gateway.pid,
                    tid: gateway.pid * 10 + index as u32,
                    address: gateway.address,
                    number,
                    probe_began: BEGIN,
                };
                let coming = coming(gateway, index, weather, &mut random);
                let chance = Random::new(random.next());
                let lived = Worker::new(place, &hosts, chance, &wall, coming).live();
                kernel.extend(lived.kernel);
                world.truth.requests.extend(lived.truth.requests);
                world.truth.mishaps.extend(lived.truth.mishaps);
                world.truth.sockets += lived.truth.sockets;
                world.senders.push(Sender {
                    name: "filter",
                    epoch: 1_000 + number,
                    facts: lived.proxy,
                });
            }
        }
        world.far = far::lead(&mut kernel, LEADS_FAR, &mut world.truth.far);
        let end = kernel.iter().map(|seen| seen.at).max().unwrap_or(BEGIN);
        let mut at = BEGIN - CLOCK_INTERVAL;
        while at < end + CLOCK_INTERVAL {
            let error = random.below(4 * US);
            kernel.push(Seen {
                at,
                fact: Fact::Clock(ClockSample {
                    boot: BootNanos(at),
                    unix: UnixNanos(wall(at) + error),
                }),
            });
            at += CLOCK_INTERVAL;
        }
        world.senders.push(Sender {
            name: "probe",
            epoch: 1,
            facts: kernel,
        });
        for sender in &mut world.senders {
            sender.facts.sort_by_key(|seen| seen.at);
        }
        world
    }
}

fn hosts() -> Vec<Host> {
    let round_trips = [200 * US, 300 * US, 1_000 * US];
    MANNERS
        .into_iter()
        .zip(0_u8..)
        .map(|(manner, n)| Host {
            end: Endpoint::new(Ipv4Addr::new(198, 51, 100, n + 1).into(), 80),
            manner,
            round_trip: match manner {
                Manner::Refuses => 150 * US,
                _ => round_trips[usize::from(n) % 3],
            },
        })
        .collect()
}

/// The connections that come to one worker.
fn coming(gateway: &Gateway, worker: u64, weather: Weather, random: &mut Random) -> Vec<Coming> {
    let end = |a, b, c, d, port: u64| Endpoint::new(Ipv4Addr::new(a, b, c, d).into(), port as u16);
    let listener = Endpoint::new(gateway.address, 8080);
    let pid = gateway.pid as u8;
    (0..weather.connections)
        .map(|n| {
            let arrival = *random.pick(gateway.arrivals);
            // A client's port: of this worker alone, and used again after all others.
            let port = 2_000 + worker * 15_000 + n % 15_000;
            let client = match arrival {
                Arrival::Nat => end(203, 0, 113, 1, port),
                // Both namespaces have clients with these ends.
                Arrival::EqualAddresses => end(10, 0, 0, 2, 2_000 + worker * 15_000 + n % 300),
                _ => end(10, pid, (n % 4) as u8, 2, port),
            };
            let socket = |local| ConnKey {
                local,
                peer: client,
            };
            let service = end(198, 51, 100, 200, 443);
            let (socket, named) = match arrival {
                Arrival::Tproxy => (socket(service), socket(service)),
                Arrival::RedirectDirect | Arrival::Redirect => {
                    let redirected = socket(Endpoint::new(gateway.address, 15_001));
                    (redirected, socket(service))
                }
                Arrival::ProxyProtocolDirect | Arrival::ProxyProtocol => {
                    let told = ConnKey {
                        local: listener,
                        peer: end(172, 16, pid, 9, 1_024 + n % 60_000),
                    };
                    (socket(listener), told)
                }
                Arrival::ProxyInFront => {
                    let dialled = ConnKey {
                        local: listener,
                        peer: Endpoint::new(gateway.address, port as u16),
                    };
                    (dialled, socket(Endpoint::new(gateway.address, 8443)))
                }
                _ => (socket(listener), socket(listener)),
            };
            let is_told = !matches!(
                arrival,
                Arrival::Redirect
                    | Arrival::ProxyProtocol
                    | Arrival::ProxyInFront
                    | Arrival::Untold
            );
            let older = matches!(arrival, Arrival::Backfilled);
            // Equal ends come in turn within one namespace, and at once in both.
            let at = if older {
                BEGIN - 10 * MS - random.below(60_000 * MS)
            } else {
                BEGIN + weather.span / weather.connections * n + random.below(20 * MS)
            };
            let overflows = gateway.netns == OVERFLOWS && is_burst(at, 0);
            let arrival = match arrival {
                Arrival::Plain if overflows => Arrival::Overflowed,
                _ => arrival,
            };
            Coming {
                at,
                arrival,
                socket,
                named,
                direct: is_told.then_some(socket),
                requests: 1 + random.below(6) as u32,
                reuse_port: arrival == Arrival::PortReused,
                answered_itself: matches!(arrival, Arrival::ProxyInFront | Arrival::Untold),
            }
        })
        .collect()
}
