//! Which link is named for which evidence.

use serde_json::json;

use super::*;
use crate::cli::{bridge::AskError, doctor::host::Host};

/// What goes wrong, where all was well.
type Fault = fn(&mut Evidence);

#[test]
fn where_all_is_well_nothing_is_broken() {
    let checks = judge(&well());
    let states: Vec<_> = checks
        .iter()
        .map(|check| (check.link, check.state))
        .collect();
    let fine = [
        "kernel", "cgroup", "bridge", "probe", "envoy", "filter", "facts", "clocks", "joins",
        "export",
    ];
    assert_eq!(states, fine.map(|link| (link, State::Fine)));
}

#[test]
fn each_fault_breaks_its_own_link() {
    let cases: [(&str, Fault); 10] = [
        ("bridge", |found| found.bridge = Err(silent())),
        ("bridge", |found| {
            bridge(found).health.status = "stopping".to_owned()
        }),
        ("probe", |found| bridge(found).coverage.rung = None),
        ("filter", |found| envoy(found).configured = false),
        ("filter", |found| envoy(found).wasm_active = 0),
        ("facts", |found| {
            (envoy(found).connected, envoy(found).connect_fail) = (0, 3)
        }),
        ("facts", |found| envoy(found).taken = 0),
        ("clocks", |found| {
            envoy(found).clocks = Some(("2025-01-31T12:01:30Z".parse().unwrap(), noon()))
        }),
        ("joins", |found| {
            bridge(found).coverage.requests.joined.clear()
        }),
        ("export", |found| bridge(found).coverage.export.refused = 5),
    ];
    for (link, fault) in cases {
        let mut evidence = well();
        fault(&mut evidence);
        let checks = judge(&evidence);
        let broken: Vec<_> = checks
            .iter()
            .filter(|check| check.state == State::Broken)
            .collect();
        assert_eq!(
            broken.iter().map(|check| check.link).collect::<Vec<_>>(),
            [link]
        );
        assert!(
            broken.iter().all(|check| check.remedy.is_some()),
            "{broken:?}"
        );
    }
}

#[test]
fn a_lower_rung_is_named_with_what_it_lacks() {
    let mut evidence = well();
    let rung = bridge(&mut evidence).coverage.rung.as_mut().unwrap();
    rung.name = "observe".to_owned();
    rung.missing = vec!["no tag: CAP_NET_ADMIN is missing".to_owned()];
    let checks = judge(&evidence);
    let probe = checks.iter().find(|check| check.link == "probe").unwrap();
    assert_eq!(probe.state, State::Limited);
    assert!(probe.found.contains("observe") && probe.found.contains("CAP_NET_ADMIN"));
}

#[test]
fn an_old_request_says_nothing_about_clocks() {
    let mut evidence = well();
    bridge(&mut evidence).newest = Some(("2025-01-31T09:00:00Z".parse().unwrap(), noon()));
    assert!(
        judge(&evidence)
            .iter()
            .all(|check| check.state == State::Fine)
    );
    bridge(&mut evidence).newest = Some(("2025-01-31T12:00:09Z".parse().unwrap(), noon()));
    let broken = judge(&evidence)
        .into_iter()
        .find(|check| check.state == State::Broken);
    assert_eq!(broken.unwrap().link, "clocks");
}

fn noon() -> Timestamp {
    "2025-01-31T12:00:00Z".parse().unwrap()
}

fn silent() -> AskError {
    AskError::Late("http://127.0.0.1:4390".parse().unwrap())
}

fn bridge(evidence: &mut Evidence) -> &mut BridgeFound {
    evidence.bridge.as_mut().unwrap()
}

fn envoy(evidence: &mut Evidence) -> &mut Envoy {
    evidence.envoy.as_mut().unwrap()
}

fn well() -> Evidence {
    let health = json!({"status": "ready", "missing": []});
    let coverage = json!({
        "rung": {"name": "full", "missing": []},
        "connections": {"live": 1, "settled": 2, "evicted": 0},
        "requests": {"live": 0, "settled": 10, "evicted": 0,
            "joined": [{"method": "exact", "confidence": "certain", "count": 9}],
            "unjoined": [{"missing": "no_connection", "count": 1}]},
        "senders": [], "late": 0, "undecodable": 0, "lost": 0,
        "export": {"exported": 40, "refused": 0, "queue_full": 0, "failing": false},
    });
    let found = BridgeFound {
        health: serde_json::from_value(health).unwrap(),
        coverage: serde_json::from_value(coverage).unwrap(),
        newest: Some((noon(), noon())),
    };
    Evidence {
        host: Host {
            release: "6.18.5".to_owned(),
            btf: true,
            cgroup2: Some("/sys/fs/cgroup".to_owned()),
        },
        bridge: Ok(found),
        bridge_address: "http://127.0.0.1:4390".to_owned(),
        envoy: Ok(Envoy {
            clocks: Some((noon(), noon())),
            wasm_active: 3,
            configured: true,
            has_cluster: true,
            connect_fail: 0,
            connected: 1,
            sent: 7,
            taken: 7,
        }),
        envoy_address: "http://127.0.0.1:9901".to_owned(),
        bridge_cluster: "syntrace_bridge".to_owned(),
    }
}
