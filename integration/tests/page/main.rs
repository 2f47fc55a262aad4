//! The page in a real browser, with real traffic behind it: a person's way from a complaint to its cause.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../../../bridge/tests/browser/mod.rs"]
mod browser;

use std::{fs, thread, time::Duration};

use jiff::tz::TimeZone;
use rustix::process::Signal;
use syntrace_integration::{
    api::{Client, Request},
    clients::{self, Curl, Version},
    deadline::{self, Look},
    envoy::PORT,
    requirements,
    sandbox::Sandbox,
    stack::Stack,
};

/// Batches are flushed and records settle well within this.
const SOON: Duration = Duration::from_secs(30);

/// How long the gateway accepts nothing: long beside every other wait of the request that comes then.
const NOT_ACCEPTING: Duration = Duration::from_millis(600);

#[test]
fn people_find_the_cause_of_real_failures_by_keyboard() {
    if !requirements::are_met() || !browser::is_there() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut stack = Stack::start(&sandbox).unwrap();
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello", "/hello"]).unwrap();
    clients::curl(&sandbox, PORT, Version::Http1, &["/dead"]).unwrap();
    while_not_accepting(&sandbox, &mut stack, "/waited");
    let bridge = stack.bridge.client();
    let requests = settled(bridge, 4);
    let dead = requests.iter().find(|request| request.path == "/dead");
    let dead = dead.unwrap();
    let minute = dead.started_at.to_zoned(TimeZone::system());
    let told = [
        format!("minute={}", minute.strftime("%H:%M")),
        format!("request_id={}", request_id(bridge, &dead.id)),
        "slow=/waited".to_owned(),
    ];
    let told = told.each_ref().map(String::as_str);
    browser::run("whole_paths.py", bridge.base(), &told);
    browser::run("every_view.py", bridge.base(), &[]);
}

#[test]
fn without_the_probe_the_page_says_what_it_does_not_see() {
    if !requirements::are_met() || !browser::is_there() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start_without_probe(&sandbox).unwrap();
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let bridge = stack.bridge.client();
    settled(bridge, 1);
    browser::run("states.py", bridge.base(), &["case=no-probe"]);
}

/// Sends a request on a new connection while the gateway accepts nothing, and lets it go on later.
fn while_not_accepting(sandbox: &Sandbox, stack: &mut Stack, path: &str) {
    let envoy = stack.envoy.process();
    let id = envoy.id();
    wait_for_established(id, 0);
    envoy.signal(Signal::STOP).unwrap();
    let curl = Curl::start(sandbox, PORT, Version::Http1, &[], &[path]).unwrap();
    wait_for_established(id, 1);
    // The wait is what is looked for.
    thread::sleep(NOT_ACCEPTING);
    envoy.signal(Signal::CONT).unwrap();
    curl.finish().unwrap();
}

/// Waits until as many connections to the gateway are established, accepted or not.
fn wait_for_established(envoy: u32, expected: usize) {
    deadline::wait("the gateway's connections", SOON, || {
        let table = fs::read_to_string(format!("/proc/{envoy}/net/tcp"))?;
        let established = table.lines().filter(|line| is_established(line, PORT));
        Ok(if established.count() == expected {
            Look::Done(())
        } else {
            Look::NotYet(table)
        })
    })
    .unwrap();
}

/// Whether a line of `/proc/<pid>/net/tcp` is an established connection (state 01) to `port`.
fn is_established(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1));
    state == Some("01") && local.ends_with(&format!(":{port:04X}"))
}

fn settled(bridge: &Client, expected: usize) -> Vec<Request> {
    deadline::wait("all requests, settled", SOON, || {
        let requests = bridge.requests()?;
        let all = requests.len() == expected && requests.iter().all(|request| request.settled);
        Ok(if all {
            Look::Done(requests)
        } else {
            Look::NotYet(format!("{requests:?}"))
        })
    })
    .unwrap()
}

/// The `x-request-id`, as it stands in the gateway's access log.
fn request_id(bridge: &Client, id: &str) -> String {
    let url = format!("{}/v1/requests/{id}", bridge.base());
    let mut answer = ureq::get(&url).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
    request["request_id"].as_str().unwrap().to_owned()
}
