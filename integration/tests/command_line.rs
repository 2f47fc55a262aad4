//! `syntrace` against the real stack: what it says of real traffic, and which broken link its doctor names.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{fs, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;
use syntrace_integration::{
    api::Client,
    bridge::{self, Bridge},
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Envoy, Gateway, PORT},
    paths,
    probe::Probe,
    process::Program,
    requirements,
    sandbox::Sandbox,
    services::Services,
};

/// Batches are flushed and records settle well within this.
const SOON: Duration = Duration::from_secs(30);

/// Where the gateway's admin page is in the shipped configuration.
const ADMIN: &str = "socket_address: { address: 127.0.0.1, port_value: ${ADMIN_PORT} }";

/// What a command wrote, and how it ended.
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

/// The parts of a stack, each of which may be missing or wrong.
struct Parts {
    bridge: Bridge,
    _probe: Option<Probe>,
    _services: Services,
    _envoy: Envoy,
}

#[test]
fn every_command_answers_about_real_traffic() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), probe(&sandbox, &[]));
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
    assert_eq!(broken(&doctor), ["bridge"]);

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

#[test]
fn the_doctor_finds_nothing_where_all_is_well() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), probe(&sandbox, &[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.out);
    assert_eq!(broken(&doctor), [""; 0], "{}", doctor.out);
    assert_eq!(state(&doctor, "facts"), "fine", "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_probe_that_is_missing() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), None);
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(doctor.code, Some(2));
    assert_eq!(broken(&doctor), ["probe"], "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_probe_on_a_lower_rung_with_what_it_lacks() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let without = ["--without", "tag,accept-wait"];
    let parts = Parts::start(&sandbox, gateway(&sandbox), probe(&sandbox, &without));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(broken(&doctor), [""; 0], "{}", doctor.out);
    assert_eq!(state(&doctor, "probe"), "limited", "{}", doctor.out);
    let lacks = |what| doctor.out.contains(what);
    assert!(lacks("accept wait") && lacks("tag"), "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_filter_that_is_not_loaded() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let template = sandbox.directory().join("bare.yaml");
    fs::write(&template, bare(&sandbox)).unwrap();
    let gateway = Gateway::configured_by(template);
    let parts = Parts::start(&sandbox, gateway, probe(&sandbox, &[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(broken(&doctor)[0], "filter", "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_filter_that_cannot_reach_the_bridge() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let gateway = gateway(&sandbox).with("${BRIDGE_SOCKET}", "/nowhere/bridge.sock");
    let parts = Parts::start(&sandbox, gateway, probe(&sandbox, &[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = eventually(&sandbox, &parts.bridge, "facts");
    assert_eq!(broken(&doctor), ["facts"], "{}", doctor.out);
    assert!(
        doctor.out.contains("cannot reach the bridge"),
        "{}",
        doctor.out
    );
}

#[test]
fn the_doctor_names_clocks_that_are_apart() {
    if !requirements::are_met() || !is_installed("faketime") {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), probe(&sandbox, &[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    // This host's clock goes wrong, for the doctor's eyes.
    let doctor = examine(&sandbox, &parts.bridge, &["faketime", "-f", "+90s"]);
    assert_eq!(broken(&doctor), ["clocks"], "{}", doctor.out);
}

#[test]
fn the_doctor_names_an_export_that_fails() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut parts = Parts::start(&sandbox, gateway(&sandbox), probe(&sandbox, &[]));
    parts.bridge.process().end().unwrap();
    let mut exporting = Program::new(
        "exporting-bridge",
        &sandbox.watching,
        paths::program("syntrace-bridge").unwrap(),
    )
    .args(["--facts", &bridge::facts_url(&sandbox)])
    .args(["--listen", "127.0.0.1:0"])
    // Where nobody listens.
    .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    .env("NO_COLOR", "1")
    .start(sandbox.directory())
    .unwrap();
    let line = exporting.wait_for_line("Listening", SOON).unwrap();
    let (_, address) = line.split_once("address=").unwrap();
    let address = address.split_whitespace().next().unwrap();
    let bridge = Client::new(address.parse().unwrap());
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = deadline::wait("the doctor to see the export fail", SOON, || {
        let doctor = doctor(&sandbox, &bridge, &[]);
        Ok(match broken(&doctor).as_slice() {
            [link] if link == "export" => Look::Done(doctor),
            _ => Look::NotYet(doctor.out),
        })
    });
    assert_eq!(doctor.unwrap().code, Some(2));
}

impl Parts {
    fn start(sandbox: &Sandbox, gateway: Gateway, probe: Option<Vec<String>>) -> Self {
        let bridge = Bridge::start(sandbox).unwrap();
        let probe = probe.map(|options| {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let facts = bridge::facts_url(sandbox);
            Probe::start_on(sandbox, &sandbox.watched, &facts, &options).unwrap()
        });
        Self {
            bridge,
            _probe: probe,
            _services: Services::start(sandbox).unwrap(),
            _envoy: gateway.start(sandbox).unwrap(),
        }
    }

    fn wait_until_settled(&self, expected: usize) {
        deadline::wait("all requests, settled", SOON, || {
            let requests = self.bridge.client().requests()?;
            let all = requests.len() == expected && requests.iter().all(|request| request.settled);
            Ok(if all {
                Look::Done(())
            } else {
                Look::NotYet(format!("{requests:?}"))
            })
        })
        .unwrap();
    }
}

/// The shipped gateway; its admin page is at a path that every network namespace reaches.
fn gateway(sandbox: &Sandbox) -> Gateway {
    let pipe = format!("pipe: {{ path: {} }}", admin(sandbox).display());
    Gateway::shipped().with(ADMIN, pipe)
}

/// A gateway that knows nothing of us.
fn bare(sandbox: &Sandbox) -> String {
    let admin = admin(sandbox);
    format!(
        r#"
admin: {{ address: {{ pipe: {{ path: "{}" }} }} }}
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: ${{LISTEN}}, port_value: ${{LISTEN_PORT}} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: bare
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: "/" }}, direct_response: {{ status: 200 }} }}]
"#,
        admin.display()
    )
}

fn admin(sandbox: &Sandbox) -> PathBuf {
    sandbox.directory().join("admin.sock")
}

fn probe(_: &Sandbox, options: &[&str]) -> Option<Vec<String>> {
    Some(options.iter().map(|&option| option.to_owned()).collect())
}

fn examine(sandbox: &Sandbox, bridge: &Bridge, through: &[&str]) -> Said {
    doctor(sandbox, bridge.client(), through)
}

/// Lets the doctor look until a link is broken: some faults show with the next flush.
fn eventually(sandbox: &Sandbox, bridge: &Bridge, link: &str) -> Said {
    let waited = deadline::wait("the doctor to see it", SOON, || {
        let doctor = examine(sandbox, bridge, &[]);
        Ok(if broken(&doctor).iter().any(|broken| broken == link) {
            Look::Done(doctor)
        } else {
            Look::NotYet(doctor.out)
        })
    });
    waited.unwrap()
}

fn doctor(sandbox: &Sandbox, bridge: &Client, through: &[&str]) -> Said {
    let admin = format!("unix:{}", admin(sandbox).display());
    run(
        bridge,
        through,
        &["doctor", "--json", "--envoy-admin", &admin],
    )
}

fn syntrace(bridge: &Client, arguments: &[&str]) -> Said {
    run(bridge, &[], arguments)
}

/// Runs `syntrace` as a person would; `through` are the words of a program that runs it.
fn run(bridge: &Client, through: &[&str], arguments: &[&str]) -> Said {
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

/// The links that the doctor calls broken, in the order of the chain.
fn broken(doctor: &Said) -> Vec<String> {
    let checks = checks(doctor);
    let broken = checks.iter().filter(|check| check["state"] == "broken");
    broken
        .map(|check| check["link"].as_str().unwrap().to_owned())
        .collect()
}

fn state(doctor: &Said, link: &str) -> String {
    let checks = checks(doctor);
    let check = checks.iter().find(|check| check["link"] == link).unwrap();
    check["state"].as_str().unwrap().to_owned()
}

fn checks(doctor: &Said) -> Vec<Value> {
    serde_json::from_str(&doctor.out).unwrap_or_else(|_| panic!("{}{}", doctor.out, doctor.err))
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("REQUIRE_KERNEL").is_none_or(|value| value != "1"),
        "SKIP: needs `{program}`"
    );
    found
}
