//! Many clients, four workers, pools of HTTP/1.1 and HTTP/2, and a network that refuses and drops: a 503
//! names the connect that caused it, by the word of Envoy's own debug log, or says that it does not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    time::Duration,
};

use syntrace_integration::{
    api::{Connection, Join, Opening, Request},
    clients::{self, Timed},
    deadline::{self, Look},
    envoy::{Gateway, PORT, log},
    requirements,
    sandbox::{SERVICE_HTTP, Sandbox},
    services::{self, FAST_PORT},
    stack::Stack,
};

/// Clients at the same time, and requests of each.
const CLIENTS: usize = 200;
const REQUESTS: usize = 20;

/// Every record settles within this: a grace period, and the linger of what the pools dialled.
const SETTLED: Duration = Duration::from_secs(60);

/// Of the SYNs to the service, 2 % vanish and 5 % are refused.
const FAULTS: &str = "table ip faults { chain in { type filter hook input priority 0; \
    tcp flags & (syn|ack) == syn numgen random mod 100 < 2 drop; \
    tcp flags & (syn|ack) == syn numgen random mod 100 < 5 reject with tcp reset; }; }";

#[test]
fn a_503_names_the_connect_that_caused_it_or_none_and_every_phase_is_accounted_for() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let _service =
        services::fast(&sandbox, &sandbox.service_http, SERVICE_HTTP, FAST_PORT).unwrap();
    let stack = Stack::start_with(&sandbox, pools()).unwrap();
    sandbox.service_http.filter_packets(FAULTS).unwrap();
    let answers = clients::many(&sandbox, PORT, CLIENTS, REQUESTS, 1.0).unwrap();
    sandbox.service_http.filter_packets("").unwrap();

    let bridge = stack.bridge.client();
    let requests = deadline::wait("all requests, settled", SETTLED, || {
        let requests = bridge.requests()?;
        let settled = requests.iter().filter(|request| request.settled).count();
        Ok(if settled == CLIENTS * REQUESTS {
            Look::Done(requests)
        } else {
            Look::NotYet(format!("{settled} of {}", requests.len()))
        })
    })
    .unwrap();
    let connections = bridge.connections().unwrap();
    let coverage = bridge.coverage().unwrap();
    assert_eq!((coverage.lost, coverage.late), (0, 0), "{coverage:?}");

    let truth = stack.envoy.connects().unwrap();
    let failures = judge_failures(&requests, &connections, &truth, &answers);
    say(&failures.to_string());
    let times = judge_times(&requests, &answers);
    say(&times.to_string());
    assert!(failures.seen >= 10, "the faults failed too few requests");
    assert!(failures.wrong.is_empty(), "{}", failures.wrong.join("\n"));
    let undecided = failures.ambiguous + failures.unjoined.len();
    assert!(undecided * 20 <= failures.seen, "{failures}");

    assert_eq!(times.not_summing, Vec::<String>::new());
    // About 1 %, and 3 % beside four busy loops: attempts before the last that several failed connects may have
    // failed, and heads that may have come late or been read late.
    assert!(times.unknown_ns * 20 <= times.total_ns, "{times}");
}

/// The shipped gateway with two pools to a service that sometimes fails: HTTP/1.1 with one retry, and
/// HTTP/2 without. Connections are used a few times only, so that there are many connects.
fn pools() -> Gateway {
    let pool = |name: &str, protocol: &str, most: u32| {
        format!(
            "    - {{name: {name}, connect_timeout: 0.5s, type: STATIC, typed_extension_protocol_options: \
             {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{'@type': \
             type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
             common_http_protocol_options: {{max_requests_per_connection: {most}}}, \
             explicit_http_config: {{{protocol}: {{}}}}}}}}, load_assignment: {{cluster_name: {name}, \
             endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: \
             {SERVICE_HTTP}, port_value: {FAST_PORT}}}}}}}}}]}}]}}}}\n"
        )
    };
    let route = |prefix: &str, cluster: &str, retry: &str| {
        format!("- {{match: {{prefix: {prefix}}}, route: {{cluster: {cluster}{retry}}}}}\n{INDENT}")
    };
    let retry = ", retry_policy: {retry_on: connect-failure, num_retries: 1}";
    Gateway::shipped()
        .workers(4)
        .saying(log::LEVELS)
        .with(
            "  clusters:\n",
            format!(
                "  clusters:\n{}{}",
                pool("h1", "http_protocol_options", 2),
                pool("h2", "http2_protocol_options", 4)
            ),
        )
        .with(
            FIRST_ROUTE,
            format!(
                "{}{}{FIRST_ROUTE}",
                route("/h1/", "h1", retry),
                route("/h2/", "h2", "")
            ),
        )
}

const FIRST_ROUTE: &str = "- match: { prefix: \"/\", grpc: {} }";
const INDENT: &str = "                        ";

/// How the requests that failed were explained.
#[derive(Debug, Default)]
struct Failures {
    seen: usize,
    certain: usize,
    likely: usize,
    ambiguous: usize,
    wrong: Vec<String>,
    /// No connect was found.
    unjoined: Vec<String>,
}

/// Holds the bridge's joins of failed requests against Envoy's log.
fn judge_failures(
    requests: &[Request],
    connections: &[Connection],
    truth: &log::Connects,
    answers: &[Timed],
) -> Failures {
    let dialled = dialled(connections);
    let mut failures = Failures::default();
    let by_path: BTreeMap<&str, &Request> = requests
        .iter()
        .map(|request| (request.path.as_str(), request))
        .collect();
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        failures.seen += 1;
        let path = answer.path.as_str();
        let Some(expected) = truth.failed.get(path).and_then(|&failed| {
            let connect = truth.started.get(failed)?;
            dialled.get(&connect.thread)?.get(connect.nth).copied()
        }) else {
            failures.wrong.push(format!("{path}: no connect failed it"));
            continue;
        };
        let said = by_path
            .get(path)
            .and_then(|request| request.opened.as_ref());
        match said {
            Some(Join::Made {
                connection,
                confidence,
                candidate_ids,
                ..
            }) => {
                let found = match confidence.as_str() {
                    "certain" | "likely" => connection == expected,
                    _ => candidate_ids.iter().any(|id| id == expected),
                };
                match confidence.as_str() {
                    "certain" => failures.certain += 1,
                    "likely" => failures.likely += 1,
                    _ => failures.ambiguous += 1,
                }
                if !found {
                    let said = format!("{path}: {said:?}, not {expected}");
                    failures.wrong.push(said);
                }
            }
            Some(Join::Missing { .. }) | None => {
                let request = by_path.get(path);
                let connect = connections.iter().find(|known| known.id == expected);
                failures
                    .wrong
                    .push(format!("{path}: {request:?}\nnot {connect:?}"));
            }
        }
    }
    failures
}

/// Returns the ids of the connections that each thread dialled towards the service, in order.
fn dialled(connections: &[Connection]) -> BTreeMap<u32, Vec<&str>> {
    let mut in_order: BTreeSet<_> = BTreeSet::new();
    for connection in connections {
        let towards = connection.peer.is_some_and(|peer| peer.port() == FAST_PORT);
        if connection.opening == Some(Opening::Active)
            && towards
            && let (Some(owner), Some(syn_at)) = (connection.owner, connection.syn_at)
        {
            in_order.insert((owner.tid, syn_at, connection.id.as_str()));
        }
    }
    let mut dialled: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (thread, _, id) in in_order {
        dialled.entry(thread).or_default().push(id);
    }
    dialled
}

/// Where the time of all requests went, beside the clients' own clock.
#[derive(Debug, Default)]
struct Times {
    total_ns: u64,
    unknown_ns: u64,
    /// By kind of phase.
    unknown_by: BTreeMap<String, u64>,
    not_summing: Vec<String>,
    /// What the client waited beyond the gateway's duration, sorted.
    beyond_ns: Vec<i64>,
}

fn judge_times(requests: &[Request], answers: &[Timed]) -> Times {
    let waited: BTreeMap<&str, u64> = answers
        .iter()
        .map(|answer| (answer.path.as_str(), answer.duration_ns))
        .collect();
    let mut times = Times::default();
    for request in requests {
        times.total_ns += request.duration_ns;
        times.unknown_ns += request.time.unknown_ns;
        for phase in request
            .phases
            .iter()
            .filter(|phase| phase.party == "unknown")
        {
            *times.unknown_by.entry(phase.name.clone()).or_default() += phase.duration_ns / 1000;
        }
        if request.time.total_ns() != request.duration_ns {
            times.not_summing.push(format!("{request:?}"));
        }
        if let Some(waited) = waited.get(request.path.as_str()) {
            let beyond = waited.cast_signed() - request.duration_ns.cast_signed();
            times.beyond_ns.push(beyond);
        }
    }
    times.beyond_ns.sort_unstable();
    times
}

impl std::fmt::Display for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} requests answered 503: {} certain, {} likely, {} ambiguous, {} unjoined, {} wrong {}",
            self.seen,
            self.certain,
            self.likely,
            self.ambiguous,
            self.unjoined.len(),
            self.wrong.len(),
            self.unjoined.join("\n")
        )
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |percent: usize| {
            let at = self.beyond_ns.len().saturating_sub(1) * percent / 100;
            self.beyond_ns.get(at).unwrap_or(&0) / 1000
        };
        write!(
            f,
            "{} of {} us unknown {:?}; the clients waited {} us longer in the median, {} at p1, {} at p99",
            self.unknown_ns / 1000,
            self.total_ns / 1000,
            self.unknown_by,
            of(50),
            of(1),
            of(99)
        )
    }
}

/// Prints past the harness's capture: figures for whoever reads the log.
fn say(line: &str) {
    writeln!(io::stderr(), "{line}").unwrap_or_default();
}
