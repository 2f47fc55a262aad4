//! `syntrace` against the real stack: what it says of real traffic, and which broken link its doctor names.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod doctor;
mod stack;

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::Value;
use stack::{Parts, gateway};
use syntrace_integration::{
    api::Client,
    clients::{self, Version},
    envoy::PORT,
    paths, requirements,
    sandbox::Sandbox,
};

/// Batches are flushed and records settle well within this.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What a command wrote, and how it ended.
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

#[test]
fn every_command_answers_about_real_traffic() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), Some(&[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    clients::curl(&sandbox, PORT, Version::Http1, &["/dead"]).unwrap();
    parts.wait_until_settled(2);
    let bridge = parts.bridge.client();
    let requests = bridge.requests().unwrap();
    let dead = requests.iter().find(|request| request.path == "/dead");
    let dead = dead.unwrap();
    let sentence = "503: the service at 127.0.0.1:9 refused the connection";

    let why = syntrace(bridge, &["why"]);
    assert!(why.out.starts_with("1 of 2 requests failed"), "{}", why.out);
    assert!(why.out.contains("service   connect refused"), "{}", why.out);
    assert!(why.out.contains(sentence), "{}", why.out);
    let why: Value = serde_json::from_str(&syntrace(bridge, &["why", "--json"]).out).unwrap();
    assert_eq!(why["causes"][0]["code"], "connect_refused");

    let tail = syntrace(bridge, &["tail", "--once", "status=503"]);
    assert_eq!(tail.out.lines().count(), 1, "{}", tail.out);
    assert!(tail.out.contains(sentence) && !tail.out.contains('\u{1b}'));
    let tail = syntrace(
        bridge,
        &[
            "tail",
            "--once",
            "--json",
            "--connections",
            "outcome=refused",
        ],
    );
    let refused: Value = serde_json::from_str(&tail.out).unwrap();
    let refused_id = refused["id"].as_str().unwrap();

    for id in [dead.id.as_str(), refused_id, dead.trace_id.as_str()] {
        let show = syntrace(bridge, &["show", id]);
        assert_eq!(show.code, Some(0), "{id}: {}", show.err);
        assert!(show.out.contains("refused the connection"), "{}", show.out);
    }
    let traceparent = format!("00-{}-{}-01", dead.trace_id, dead.id);
    assert!(
        syntrace(bridge, &["show", &traceparent])
            .out
            .contains(sentence)
    );

    let peer = refused["peer"].as_str().unwrap();
    let local = refused["local"].as_str().unwrap();
    let pair = format!("{local} -> {peer}");
    for what in [
        vec![peer],
        vec![local, "to", peer],
        vec![&pair],
        vec!["127.0.0.0/8"],
    ] {
        let find = syntrace(bridge, &[vec!["find"], what].concat());
        assert!(find.out.contains(refused_id), "{}", find.out);
    }
    let minute = dead.started_at.strftime("%Y-%m-%dT%H:%M").to_string();
    let find = syntrace(bridge, &["find", "503", &minute]);
    assert!(find.out.contains(&dead.id), "{}", find.out);
    let coverage = syntrace(bridge, &["coverage"]);
    assert!(
        coverage.out.starts_with("100 % of 2 settled requests"),
        "{}",
        coverage.out
    );
}

#[test]
fn what_cannot_be_done_has_a_code_and_a_sentence() {
    let nobody = Client::new("127.0.0.1:1".parse().unwrap());
    let asked = syntrace(&nobody, &["why"]);
    assert_eq!(asked.code, Some(1));
    assert!(
        asked
            .err
            .starts_with("error: http://127.0.0.1:1 does not answer"),
        "{}",
        asked.err
    );
    assert_eq!(syntrace(&nobody, &["frobnicate"]).code, Some(64));
    assert_eq!(
        syntrace(&nobody, &["--bridge", "https://host", "why"]).code,
        Some(64)
    );
    let doctor = syntrace(&nobody, &["doctor", "--json"]);
    assert_eq!(doctor.code, Some(2));
    assert_eq!(doctor::broken(&doctor), ["bridge"]);

    for shell in ["bash", "zsh", "fish"] {
        assert!(
            syntrace(&nobody, &["completions", shell])
                .out
                .contains("doctor")
        );
    }
    let page = syntrace(&nobody, &["man"]).out;
    assert!(
        page.contains(".TH syntrace 1") && page.contains("doctor"),
        "{page}"
    );
}

fn syntrace(bridge: &Client, arguments: &[&str]) -> Said {
    run(bridge, &[], arguments)
}

/// Runs `syntrace` as a person would; `through` are the words of a program that runs it.
pub(crate) fn run(bridge: &Client, through: &[&str], arguments: &[&str]) -> Said {
    let program = paths::program("syntrace").unwrap();
    let mut words = through.iter().map(PathBuf::from).chain([program]);
    let ended = Command::new(words.next().unwrap())
        .args(words)
        .args(arguments)
        .env("SYNTRACE_BRIDGE", bridge.base())
        .output()
        .unwrap();
    Said {
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
        code: ended.status.code(),
    }
}
