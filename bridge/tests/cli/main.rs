//! `syntrace` as a person runs it, against a bridge as it is run: by TLS, over restarts, without a bridge.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../page/bridge.rs"]
mod bridge;
mod command;
mod lists;
mod pages;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use bridge::Running;
use command::{Lines, run};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::Value;
use support::{facts, traffic};
use syntrace_proto::{Fact, fact::Body};

/// A token that is long enough.
const TOKEN: &str = "the-right-token-here";

#[test]
fn a_bridge_behind_tls_is_asked_with_its_signer_a_certificate_and_a_token() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    certificates(place.path());
    fs::write(file("token"), TOKEN).unwrap();
    fs::set_permissions(file("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let bridge = Running::start(&[
        ("SYNTRACE_LISTEN", "tls:127.0.0.1:0"),
        ("SYNTRACE_LISTEN_TOKEN_FILE", &file("token")),
        ("SYNTRACE_TLS_CERTIFICATE", &file("server.pem")),
        ("SYNTRACE_TLS_KEY", &file("server.key")),
        ("SYNTRACE_TLS_CLIENT_CA", &file("signer.pem")),
    ]);
    let port = bridge.address().rsplit_once(':').unwrap().1;
    let address = format!("https://localhost:{port}");
    let (signer, token) = (file("signer.pem"), file("token"));
    let (cert, key) = (file("client.pem"), file("client.key"));
    let whole = [
        "--bridge",
        &address,
        "--token-file",
        &token,
        "--ca",
        &signer,
        "--cert",
        &cert,
        "--key",
        &key,
    ];
    let said = run(&[&whole[..], &["coverage"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("no probe has reported"), "{}", said.out);

    let without = |name: &str| {
        let at = whole.iter().position(|word| *word == name).unwrap();
        let mut words = whole.to_vec();
        words.drain(at..at + 2);
        words.push("coverage");
        run(&words)
    };
    let stranger = without("--ca");
    assert_eq!(stranger.code, Some(1));
    assert!(stranger.err.contains("UnknownIssuer"), "{}", stranger.err);
    let nobody = without("--token-file");
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("--token-file"), "{}", nobody.err);
    assert_eq!(without("--key").code, Some(64));
    let unnamed = [&whole[..8], &["coverage"]].concat();
    let unnamed: Vec<&str> = unnamed
        .into_iter()
        .filter(|word| *word != "--cert" && *word != cert)
        .collect();
    assert_eq!(run(&unnamed).code, Some(1));
}

#[test]
fn a_tail_goes_on_where_it_was_when_the_bridge_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let bridge = Running::start(&[("SYNTRACE_DATA_DIR", data)]);
    let address = bridge.address().to_owned();
    bridge.post(&traffic::opening());
    bridge.post(&traffic::batch(traffic::OPENING, 1));
    bridge.wait_until_settled("requests", 1);
    let mut tail = Lines::of(&["--bridge", &format!("http://{address}"), "tail", "--json"]);
    assert_eq!(tail.next_ids(1), [id(1)]);
    bridge.post(&traffic::batch(traffic::OPENING + 2, 2));
    let mut ids = tail.next_ids(2);
    ids.sort();
    assert_eq!(ids, [id(2), id(3)]);
    let place = bridge.kill();
    let bridge = Running::start_in(
        place,
        &[("SYNTRACE_DATA_DIR", data), ("SYNTRACE_LISTEN", &address)],
    );
    bridge.post(&traffic::batch(traffic::OPENING + 6, 1));
    assert_eq!(tail.next_ids(1), [id(4)]);
    assert!(tail.end().contains("The bridge ended the stream"));
}

#[test]
fn a_tail_says_how_many_came_and_went_unseen() {
    // So few are kept that most of a batch is gone before anybody is told.
    let bridge = Running::start(&[("SYNTRACE_SETTLED_RECORDS", "10")]);
    let address = format!("http://{}", bridge.address());
    bridge.post(&traffic::opening());
    bridge.post(&traffic::batch(traffic::OPENING, 1));
    bridge.wait_until_settled("requests", 1);
    let mut tail = Lines::of(&["--bridge", &address, "tail", "--json"]);
    assert_eq!(tail.next_ids(1), [id(1)]);
    bridge.post(&traffic::batch(traffic::OPENING + 2, 2_000));
    let first = tail.next_ids(1).remove(0);
    assert_ne!(first, id(2), "all are kept");
    let said = tail.end();
    assert!(
        said.contains("records settled too fast to be listed"),
        "{said}"
    );
}

#[test]
fn a_copied_log_comes_to_the_records_that_its_bridge_had() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let bridge = Running::start(&[("SYNTRACE_DATA_DIR", path)]);
    bridge.post(&traffic::opening());
    bridge.post(&traffic::batch(traffic::OPENING, 3));
    bridge.wait_until_settled("requests", 3);
    bridge.wait_until_settled("connections", 3);
    let had = |kind: &str| {
        let mut answer = bridge.ask(&format!("/v1/{kind}"));
        let Value::Array(records) = answer[kind].take() else {
            panic!("{answer}");
        };
        records
    };
    let mut expected = [had("requests"), had("connections")].concat();
    drop(bridge.kill());

    let replayed = run(&["replay", path, "--json"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    let lines = replayed.out.lines();
    let mut records: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for records in [&mut records, &mut expected] {
        records.sort_by_key(|record| record["id"].to_string());
    }
    let (count, had) = (records.len(), expected.len());
    assert!(records == expected, "{count} records, the bridge had {had}");

    // The log alone is enough, and words are for people.
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data.path().join("log")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let said = run(&["replay", copy.path().to_str().unwrap()]);
    assert!(said.out.contains("GET /story"), "{}", said.out);
    assert!(
        said.out
            .contains("0 of them missing, 0 unreadable, 0 bytes torn off"),
        "{}",
        said.out
    );
    let empty = tempfile::tempdir().unwrap();
    let nothing = run(&["replay", empty.path().to_str().unwrap()]);
    assert_eq!(nothing.code, Some(3), "{}", nothing.out);
    let nothing = run(&["replay", "/nowhere/at/all"]);
    assert_eq!(nothing.code, Some(1), "{}", nothing.out);
    assert!(
        nothing
            .err
            .starts_with("error: replaying the log in /nowhere")
    );
}

#[test]
fn a_request_is_told_once_of_each_connection_however_it_had_to_do_with_it() {
    let bridge = Running::start(&[]);
    let mut batch = traffic::whole_batch(0, 0, 1);
    let of_downstream = batch.facts.iter().find_map(|fact| match &fact.body {
        Some(Body::Connection(connection)) => Some(connection.clone()),
        _ => None,
    });
    let downstream = of_downstream.unwrap();
    let later_ns = downstream.syn_at_ns - facts::BOOT_NS;
    let mut upstream = facts::upstream(7);
    upstream.netns_cookie = downstream.netns_cookie;
    for at in [
        &mut upstream.seen_at_ns,
        &mut upstream.syn_at_ns,
        &mut upstream.syn_ack_at_ns,
        &mut upstream.established_at_ns,
        &mut upstream.closed_at_ns,
    ] {
        *at += later_ns;
    }
    let body = Some(Body::Connection(upstream));
    batch.facts.push(Fact { body });
    bridge.post(&batch);
    bridge.wait_until_settled("requests", 1);
    let address = format!("http://{}", bridge.address());
    let said = run(&["--bridge", &address, "show", &id(0)]).out;
    let both = ["waited for", "carried by"].map(|how| {
        let line = said.lines().find(|line| line.contains(how));
        line.unwrap_or_default().contains(".7  ")
    });
    assert_eq!(both, [true; 2], "{said}");
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("SYN received"), 1, "{said}");
    assert_eq!(lines("SYN sent"), 1, "{said}");
}

#[test]
fn a_status_and_a_time_find_the_requests_of_that_minute() {
    let (_bridge, address) = after_the_story();
    let (served, failed) = ("51".repeat(8), "52".repeat(8));
    for (words, expected) in [
        (&["find", "503 2023-11-14 22:13"][..], Some(&failed)),
        (
            &["show", "503s", "at", "2023-11-14", "22:13:20"],
            Some(&failed),
        ),
        (&["find", "p99 2023-11-14 22:13"], Some(&served)),
        (&["find", "503 2023-11-14 22:14"], None),
        (&["find", "404"], None),
    ] {
        let said = run(&[&["--bridge", &address][..], words].concat());
        match expected {
            Some(id) => {
                assert_eq!(said.code, Some(0), "{words:?}: {}", said.err);
                assert_eq!(said.out.lines().count(), 1, "{words:?}: {}", said.out);
                assert!(said.out.contains(id), "{words:?}: {}", said.out);
            }
            None => {
                assert_eq!(said.code, Some(3), "{words:?}: {}", said.out);
                assert!(
                    said.out.contains("No stored request matches"),
                    "{}",
                    said.out
                );
            }
        }
    }
    let unknown = run(&["--bridge", &address, "find", "the 503s of noon"]);
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.err.contains("What can be found"), "{}", unknown.err);
}

/// A bridge that was told the story, and where it answers.
fn after_the_story() -> (Running, String) {
    let bridge = Running::start(&[]);
    // Nobody waits for what else its probe may tell.
    let mut story = facts::story();
    story.goodbye = true;
    bridge.post(&story);
    bridge.wait_until_settled("connections", 3);
    bridge.wait_until_settled("requests", 2);
    let address = format!("http://{}", bridge.address());
    (bridge, address)
}

/// The span id of the nth request of the traffic, from 1 on.
fn id(n: u64) -> String {
    format!("{:016x}", traffic::name(0, n))
}

/// A signer, and what it signed for a server and for a client.
fn certificates(place: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(place.join("signer.pem"), signer.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &signer).unwrap();
        fs::write(place.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(place.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
