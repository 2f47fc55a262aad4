//! Decides from the evidence what is broken. Pure.

use jiff::Timestamp;

use super::{
    Check, State,
    envoy::Envoy,
    evidence::{BridgeFound, Evidence},
    host::KERNEL_MIN,
};

/// Seconds that two clocks may differ: HTTP dates have a resolution of a second.
const CLOCKS_APART_S: i64 = 2;

/// Unjoined requests, out of a hundred settled ones, beyond which the probe is taken to watch others.
const UNJOINED_PERCENT: u64 = 50;

/// Returns the finding for each link, in the order of the chain.
pub(super) fn judge(evidence: &Evidence) -> Vec<Check> {
    let bridge = evidence.bridge.as_ref().ok();
    let envoy = evidence.envoy.as_ref().ok();
    let mut checks = vec![kernel(evidence), cgroup(evidence), the_bridge(evidence)];
    checks.extend(bridge.map(probe));
    checks.push(the_envoy(evidence));
    checks.extend(filter(envoy, bridge));
    checks.extend(envoy.map(|envoy| way(envoy, &evidence.bridge_cluster, bridge)));
    checks.extend(clocks(envoy, bridge));
    checks.extend(bridge.and_then(joins));
    checks.extend(bridge.map(export));
    checks
}

fn check(link: &'static str, state: State, found: impl Into<String>) -> Check {
    Check {
        link,
        state,
        found: found.into(),
        remedy: None,
    }
}

impl Check {
    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

fn kernel(Evidence { host, .. }: &Evidence) -> Check {
    let found = format!("Linux {}", host.release);
    let (major, minor) = KERNEL_MIN;
    match host.version() {
        Some(version) if version < KERNEL_MIN => check("kernel", State::Limited, found)
            .remedy(format!("the probe's eBPF programs need Linux {major}.{minor} or later; on older kernels it polls the socket table")),
        Some(_) if !host.btf => check("kernel", State::Limited, format!("{found}, without BTF"))
            .remedy("without BTF (CONFIG_DEBUG_INFO_BTF) the probe cannot read the kernel's own fields"),
        Some(_) => check("kernel", State::Fine, format!("{found}, with BTF")),
        None => check("kernel", State::Unknown, "the kernel's release could not be read"),
    }
}

fn cgroup(Evidence { host, .. }: &Evidence) -> Check {
    match &host.cgroup2 {
        Some(place) => check("cgroup", State::Fine, format!("cgroup v2 at {place}")),
        None => check(
            "cgroup",
            State::Limited,
            "no cgroup v2 is mounted on this host",
        )
        .remedy(
            "the probe attaches to a cgroup v2 directory: mount -t cgroup2 none /sys/fs/cgroup",
        ),
    }
}

fn the_bridge(evidence: &Evidence) -> Check {
    let address = &evidence.bridge_address;
    match &evidence.bridge {
        Ok(found) if found.health.status == "ready" => match found.health.incomplete {
            None => check("bridge", State::Fine, format!("answers at {address}")),
            Some(left_out) => {
                let found = format!("answers at {address}, but incompletely: {left_out}");
                check("bridge", State::Limited, found)
            }
        },
        Ok(found) => check("bridge", State::Broken, format!("{address} says that it is {}", found.health.status))
            .remedy("see the bridge's log"),
        Err(error) => check("bridge", State::Broken, error.to_string())
            .remedy("start it: syntrace-bridge --facts unix:/run/syntrace/bridge.sock --listen 127.0.0.1:4390; or name it: --bridge, --token-file"),
    }
}

fn probe(found: &BridgeFound) -> Check {
    match &found.coverage.rung {
        None => check("probe", State::Broken, "no probe has reported to the bridge")
            .remedy("start it beside Envoy: syntrace-probe run --cgroup DIRECTORY --bridge unix:/run/syntrace/bridge.sock"),
        Some(rung) if rung.name == "full" && rung.missing.is_empty() => {
            check("probe", State::Fine, "reports, on rung full")
        }
        Some(rung) => {
            let state = if rung.name == "l7-only" {
                State::Broken
            } else {
                State::Limited
            };
            let missing = rung.missing.join("; ");
            let found = format!("reports, on rung {}; missing: {missing}", rung.name);
            check("probe", state, found)
                .remedy("run syntrace-probe check: it says what this kernel and these privileges allow")
        }
    }
}

fn the_envoy(evidence: &Evidence) -> Check {
    let address = &evidence.envoy_address;
    match &evidence.envoy {
        Ok(_) => check(
            "envoy",
            State::Fine,
            format!("its admin interface answers at {address}"),
        ),
        Err(_) => check(
            "envoy",
            State::Unknown,
            format!("no admin interface answers at {address}"),
        )
        .remedy("say where it is: --envoy-admin http://HOST:PORT or unix:/PATH"),
    }
}

fn filter(envoy: Option<&Envoy>, bridge: Option<&BridgeFound>) -> Option<Check> {
    let reported = bridge.map(|found| !found.health.missing.iter().any(|view| view == "proxy"));
    let load = "envoy/gateway.yaml shows how the filter is configured; Envoy's log says why a module does not load";
    Some(match (envoy, reported) {
        (Some(envoy), _) if !envoy.configured => check(
            "filter",
            State::Broken,
            "Envoy's configuration does not name the filter",
        )
        .remedy(load),
        (Some(envoy), _) if envoy.wasm_active == 0 => check(
            "filter",
            State::Broken,
            "the filter is configured, but its module does not run",
        )
        .remedy(load),
        (Some(envoy), Some(true)) => check(
            "filter",
            State::Fine,
            format!("runs in {} Wasm VMs, and has reported", envoy.wasm_active),
        ),
        (Some(envoy), Some(false)) => check(
            "filter",
            State::Limited,
            format!(
                "runs in {} Wasm VMs, but the bridge has received nothing from it",
                envoy.wasm_active
            ),
        )
        .remedy("it reports with the first request: send one"),
        (Some(envoy), None) => check(
            "filter",
            State::Fine,
            format!("runs in {} Wasm VMs", envoy.wasm_active),
        ),
        (None, Some(true)) => check("filter", State::Fine, "has reported to the bridge"),
        (None, Some(false)) => check(
            "filter",
            State::Broken,
            "no filter has reported to the bridge",
        )
        .remedy(load),
        (None, None) => return None,
    })
}

/// From the filter to the bridge: a cluster of Envoy's.
fn way(envoy: &Envoy, cluster: &str, bridge: Option<&BridgeFound>) -> Check {
    let link = "facts";
    if !envoy.has_cluster {
        return check(link, State::Broken, format!("Envoy has no cluster {cluster}, so the filter reaches no bridge"))
            .remedy("add the cluster to Envoy, and name it in the filter's bridge_cluster; if it has another name, pass --bridge-cluster");
    }
    let batches = format!("accepted {} of {} batches", envoy.taken, envoy.sent);
    if envoy.connected == 0 && envoy.connect_fail > 0 {
        return check(
            link,
            State::Broken,
            format!(
                "the filter cannot reach the bridge: {} connects to cluster {cluster} failed",
                envoy.connect_fail
            ),
        )
        .remedy(
            "its address must be the bridge's socket, and Envoy must be in the socket's group",
        );
    }
    match (envoy.sent, envoy.taken) {
        (0, _) => check(link, State::Unknown, "the filter has sent nothing yet").remedy("it reports with the first request: send one"),
        (_, 0) => check(link, State::Broken, format!("the bridge refuses what the filter sends: it {batches}"))
            .remedy("the bridge refuses a filter that is newer than itself; /v1/coverage counts what it could not read"),
        _ if bridge.is_some_and(|found| found.health.missing.iter().any(|view| view == "proxy")) => {
            check(link, State::Broken, format!("a bridge {batches}, but not this one")).remedy("the cluster and --bridge must lead to the same bridge")
        }
        _ => check(link, State::Fine, format!("the bridge {batches}")),
    }
}

fn clocks(envoy: Option<&Envoy>, bridge: Option<&BridgeFound>) -> Option<Check> {
    let remedy =
        "requests are joined by time: keep both clocks right with chrony or another NTP client";
    let ahead = |(there, here): (Timestamp, Timestamp)| there.duration_since(here).as_secs();
    let envoys = envoy.and_then(|envoy| envoy.clocks).map(ahead);
    if let Some(s) = envoys.filter(|s| s.abs() > CLOCKS_APART_S) {
        return Some(
            check(
                "clocks",
                State::Broken,
                format!(
                    "Envoy's clock is {} s {} this host's",
                    s.abs(),
                    direction(s)
                ),
            )
            .remedy(remedy),
        );
    }
    // A request that has ended cannot have begun in the future; one that is old says nothing.
    let newest = bridge.and_then(|found| found.newest).map(ahead);
    match newest.filter(|&s| s > CLOCKS_APART_S) {
        Some(s) => Some(
            check(
                "clocks",
                State::Broken,
                format!("the newest request began {s} s in the future: its proxy's clock is ahead of this host's"),
            )
            .remedy(remedy),
        ),
        None => envoys.map(|_| {
            check(
                "clocks",
                State::Fine,
                format!("Envoy's and this host's differ by at most {CLOCKS_APART_S} s"),
            )
        }),
    }
}

const fn direction(ahead_s: i64) -> &'static str {
    if ahead_s > 0 { "ahead of" } else { "behind" }
}

/// A probe that sees others than Envoy joins nothing.
fn joins(found: &BridgeFound) -> Option<Check> {
    found.coverage.rung.as_ref()?;
    let requests = &found.coverage.requests;
    let joined: u64 = requests.joined.iter().map(|join| join.count).sum();
    let unjoined: u64 = requests.unjoined.iter().map(|join| join.count).sum();
    let all = joined + unjoined;
    if all == 0 {
        return None;
    }
    let words = format!("{joined} of {all} settled requests were joined to their connection");
    if unjoined * 100 <= all * UNJOINED_PERCENT {
        return Some(check("joins", State::Fine, words));
    }
    let most = requests.unjoined.iter().max_by_key(|join| join.count);
    let why = most.map_or("", |join| join.missing.as_str());
    let remedy = match why {
        "no_connection" => {
            "Envoy is not in the cgroup that the probe watches, or its connections are older than the probe: compare --cgroup with /proc/$(pidof envoy)/cgroup"
        }
        "no_kernel_view" => "the probe reported later than these requests",
        "address_hidden" | "process_unknown" => {
            "Envoy does not tell the sockets' own addresses: give its listeners set_filter_state, as in envoy/README.md"
        }
        _ => "GET /v1/coverage counts the reasons",
    };
    Some(
        check(
            "joins",
            State::Broken,
            format!("{words}; most often: {}", why.replace('_', " ")),
        )
        .remedy(remedy),
    )
}

fn export(found: &BridgeFound) -> Check {
    let export = found.coverage.export;
    let remedy =
        "OTEL_EXPORTER_OTLP_ENDPOINT names the collector; the bridge's log has its answers";
    if export.failing {
        let found = "the collector accepts nothing; records are kept, and sent again";
        return check("export", State::Broken, found).remedy(remedy);
    }
    let lost = export.refused + export.queue_full;
    if lost > 0 {
        let found = format!(
            "{lost} spans were lost or refused; the collector accepted {}",
            export.exported
        );
        return check("export", State::Broken, found).remedy(remedy);
    }
    match export.exported {
        0 => check("export", State::Unknown, "no span has been exported yet")
            .remedy("without OTEL_EXPORTER_OTLP_ENDPOINT nothing is exported"),
        exported => check(
            "export",
            State::Fine,
            format!("the collector accepted {exported} spans"),
        ),
    }
}

#[cfg(test)]
mod tests;
