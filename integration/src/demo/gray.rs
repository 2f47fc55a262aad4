//! A gray release: a tenth of all traces takes another release of the service, by dye that the filter gives and
//! Envoy's route matches, and each trace always the same one.
//!
//! Comes after what the demo is judged by: its requests are not among those.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    api::{Client, Request},
    clients::{self, Curl, Version},
    deadline::{self, Look},
    envoy::{Gateway, PORT},
    process::Process,
    sandbox::{SERVICE_HTTP, Sandbox},
    services,
};

/// Where the other release listens, on the same host as the first.
const PORT_V2: u16 = 8082;
/// Clients, each with a connection, and so a trace, of its own.
const CLIENTS: usize = 200;
/// How many of so many are dyed: 20, and seven standard deviations of 4.2 above; at least one, but for one run in a
/// billion.
const DYED: RangeInclusive<usize> = 1..=50;
/// Requests of each client.
const REQUESTS: usize = 2;
/// The authority that these clients name, and no other does.
const HOST: &str = "gateway";
/// Longest pause before each of their requests, seconds: all at once would be more than the service accepts.
const PAUSE: f64 = 1.0;
const SETTINGS: &str = r#"{"dye": {"header": "x-dye", "rules": [{"set": "gray=v2", "host": "gateway", "percent": 10}]}}"#;
/// Batches are flushed and records settle well within this.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What became of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Two lines for people.
    pub words: String,
    /// What is wrong, a line each.
    pub complaints: Vec<String>,
}

/// A request of these clients: its trace, its dye, and the release that served it.
struct Served {
    trace: String,
    dye: Option<String>,
    is_new: bool,
}

/// Returns the gateway as it is shipped, with a rule, a route and a cluster for the other release.
#[must_use]
pub fn gateway() -> Gateway {
    const ROUTE: &str = r#"- match: { prefix: "/dead" }"#;
    const CLUSTER: &str = "    - name: dead\n";
    Gateway::shipped()
        .with("${FILTER_CONFIG}", SETTINGS)
        .with(
            ROUTE,
            format!(
                r#"- match: {{ prefix: "/", headers: [{{ name: x-dye, string_match: {{ exact: "gray=v2" }} }}] }}
                          route: {{ cluster: service_v2 }}
                        {ROUTE}"#
            ),
        )
        .with(
            CLUSTER,
            format!(
                "    - {{ name: service_v2, connect_timeout: 1s, type: STATIC, load_assignment: {{ cluster_name: service_v2, \
                 endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: \
                 {{ address: {SERVICE_HTTP}, port_value: {PORT_V2} }} }} }} }}] }}] }} }}\n{CLUSTER}"
            ),
        )
}

/// Starts the other release, and waits until it listens.
///
/// # Errors
///
/// Fails if the service does not come up.
pub fn service(sandbox: &Sandbox) -> anyhow::Result<Process> {
    let namespace = &sandbox.service_http;
    services::http1(sandbox, &sandbox.watched, namespace, SERVICE_HTTP, PORT_V2)
}

/// Lets the clients come, then a trace of either release once more over a new connection, and asks the bridge who
/// served them.
///
/// # Errors
///
/// Fails if a client does, or if the bridge does not have all requests in time.
pub fn run(sandbox: &Sandbox, bridge: &Client) -> anyhow::Result<Told> {
    let answers = clients::many(sandbox, PORT, CLIENTS, REQUESTS, PAUSE)?;
    let failed = answers.iter().find(|answer| answer.status != 200);
    anyhow::ensure!(failed.is_none(), "a client got {failed:?}");
    let served = served(bridge, CLIENTS * REQUESTS)?;
    let either = [true, false].map(|is_new| served.iter().find(|one| one.is_new == is_new));
    let again: Vec<_> = either.into_iter().flatten().collect();
    for one in &again {
        let context = format!("traceparent: 00-{}-00f067aa0ba902b7-01", one.trace);
        let headers = [format!("host: {HOST}"), context];
        let headers = headers.each_ref().map(String::as_str);
        Curl::start(sandbox, PORT, Version::Http1, &headers, &["/h1/again"])?.finish()?;
    }
    let all = CLIENTS * REQUESTS + again.len();
    Ok(judge(&self::served(bridge, all)?))
}

/// Waits until the bridge has as many requests of these clients.
fn served(bridge: &Client, expected: usize) -> anyhow::Result<Vec<Served>> {
    let new = SocketAddr::from((SERVICE_HTTP, PORT_V2));
    let one = |request: &Request| Served {
        trace: request.trace_id.clone(),
        dye: request.dye.clone(),
        is_new: request.upstream.as_ref().and_then(|to| to.peer) == Some(new),
    };
    deadline::wait("the gray release's requests", ANSWER_DEADLINE, || {
        let requests = bridge.requests()?;
        let ours = requests.iter().filter(|one| {
            one.settled && (one.path.starts_with("/h1/") || one.path.starts_with("/h2/"))
        });
        let served: Vec<_> = ours.map(one).collect();
        Ok(if served.len() == expected {
            Look::Done(served)
        } else {
            Look::NotYet(format!("{} of {expected}", served.len()))
        })
    })
}

/// Pure: what is said of the release, and what contradicts it.
fn judge(served: &[Served]) -> Told {
    let mut releases: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    let mut complaints = Vec::new();
    for one in served {
        releases.entry(&one.trace).or_default().insert(one.is_new);
        if (one.dye.as_deref() == Some("gray=v2")) != one.is_new {
            complaints.push(format!(
                "a request of trace {} has the dye {:?}, and the {} release served it",
                one.trace,
                one.dye,
                if one.is_new { "new" } else { "old" }
            ));
        }
    }
    let both = releases.iter().filter(|(_, taken)| taken.len() > 1);
    complaints.extend(both.map(|(trace, _)| format!("trace {trace} was served by both releases")));
    let new = releases
        .values()
        .filter(|taken| taken.contains(&true))
        .count();
    if !DYED.contains(&new) {
        complaints.push(format!(
            "{new} of {} traces took the new release",
            releases.len()
        ));
    }
    Told {
        words: format!(
            "A gray release, 10 % by trace id: {new} of {} traces were dyed gray=v2, and took it each time.\n\
             What went there: syntrace --bridge $B tail --once dye=gray=v2",
            releases.len()
        ),
        complaints,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(trace: &str, dye: Option<&str>, is_new: bool) -> Served {
        Served {
            trace: trace.to_owned(),
            dye: dye.map(str::to_owned),
            is_new,
        }
    }

    #[test]
    fn a_release_that_keeps_to_its_traces_is_told_without_a_complaint() {
        let new = served("a", Some("gray=v2"), true);
        let old = || served("b", None, false);
        let told = judge(&[new, old(), old()]);
        assert_eq!(told.complaints, Vec::<String>::new());
        assert!(told.words.contains("1 of 2 traces"), "{}", told.words);
    }

    #[test]
    fn a_trace_on_both_releases_a_wrong_dye_and_a_wrong_share_are_complaints() {
        let dyed = || served("a", Some("gray=v2"), true);
        let cases = [
            vec![dyed(), served("a", None, false)],
            vec![dyed(), served("b", Some("gray=v2"), false)],
            vec![dyed(), served("b", None, true)],
            vec![served("b", None, false)],
            (0..51)
                .map(|n| served(&n.to_string(), Some("gray=v2"), true))
                .collect(),
        ];
        for case in cases {
            assert_eq!(judge(&case).complaints.len(), 1);
        }
    }
}
