//! A great many requests while the bridge is up, absent, refusing, hanging and killed: no client notices,
//! every report is delivered or counted, and the filter's memory does not grow.
//!
//! `LOAD_REQUESTS` sets how many of each kind are sent in each state of the bridge: with 66667 a million in all,
//! for which the programs should be release builds (`cargo test --release`).

use std::{env, path::PathBuf, time::Duration};

use anyhow::Context as _;
use syntrace_integration::{
    bridge::{self, Bridge},
    deadline::{self, Look},
    envoy::{ADMIN_PORT, Gateway},
    load::Load,
    paths,
    process::{Process, Program},
    requirements,
    sandbox::{SERVICE_HTTP, Sandbox},
    services::{self, FAST_PORT},
};

/// Of each kind (HTTP/1.1, HTTP/2, gRPC), in each state of the bridge.
const REQUESTS: u64 = 4_000;
const KINDS: u64 = 3;
const STATES: u64 = 5;

/// What the filter keeps is delivered within its back-off.
const SOON: Duration = Duration::from_secs(60);

#[expect(
    clippy::print_stdout,
    reason = "a run of a million requests has figures to tell: `--nocapture`"
)]
#[test]
fn no_state_of_the_bridge_costs_a_request_and_every_report_is_delivered_or_counted() {
    if !requirements::are_met() {
        return;
    }
    let requests = env::var("LOAD_REQUESTS").map_or(REQUESTS, |text| text.parse().unwrap());
    let sandbox = Sandbox::new().unwrap();
    let _service =
        services::fast(&sandbox, &sandbox.service_http, SERVICE_HTTP, FAST_PORT).unwrap();
    let load = || Load::start(&sandbox, requests);
    let mut without = gateway().with(FILTER, off()).start(&sandbox).unwrap();
    let answered_without = load().unwrap().finish().unwrap();
    assert_eq!(answered_without.succeeded, KINDS * requests);
    assert!(without.process().end().unwrap().success());
    drop(without);

    let mut envoy = gateway().start(&sandbox).unwrap();
    let finish = |load: Load| assert_eq!(load.finish().unwrap(), answered_without);

    let bridge = durable(&sandbox).unwrap();
    finish(load().unwrap());
    drop(bridge);
    finish(load().unwrap());
    for mode in ["refuse", "hang"] {
        let failing = failing(&sandbox, mode).unwrap();
        finish(load().unwrap());
        drop(failing);
    }
    let under_way = load().unwrap();
    let mut kills = 0;
    while !under_way.is_done().unwrap() {
        let mut bridge = durable(&sandbox).unwrap();
        bridge.process().kill().unwrap();
        kills += 1;
    }
    finish(under_way);
    assert!(kills > 0);

    // Every request of every state is a number that some worker gave: received, or told as lost.
    let bridge = durable(&sandbox).unwrap();
    let expected = STATES * KINDS * requests;
    let (received, missing) = deadline::wait("every report", SOON, || {
        let coverage = bridge.client().coverage()?;
        let filters = coverage
            .senders
            .iter()
            .filter(|s| s.name.starts_with("filter/"));
        let (received, missing) = filters.fold((0, 0), |(received, missing), sender| {
            (received + sender.received, missing + sender.missing)
        });
        let seen = format!("{received} received, {missing} missing of {expected}");
        Ok(if received + missing == expected {
            Look::Done((received, missing))
        } else {
            Look::NotYet(seen)
        })
    })
    .unwrap();
    assert!(missing > 0, "the queue was never full");
    // The filter counts the same from its side, once the last answer has reached it.
    let (delivered, dropped) = deadline::wait("the filter's count", SOON, || {
        let delivered = metric(&sandbox, "delivered_total")?;
        let dropped = metric(&sandbox, "dropped_total")?;
        Ok(if delivered + dropped == expected {
            Look::Done((delivered, dropped))
        } else {
            Look::NotYet(format!(
                "{delivered} delivered, {dropped} dropped of {expected}"
            ))
        })
    })
    .unwrap();
    assert_eq!(metric(&sandbox, "reports_total").unwrap(), expected);
    // What the bridge said that it keeps, it kept, however it was killed; what it kept without having said
    // so is exactly what the filter counts as dropped although nothing of it is missing.
    let unsaid = received.checked_sub(delivered).unwrap();
    assert_eq!(dropped, missing + unsaid);
    let grown = metric(&sandbox, GROWN).unwrap();
    println!(
        "{expected} requests, {kills} kills: {received} received, {missing} missing, {delivered} delivered, {dropped} \
         dropped, {unsaid} kept without an answer, {grown} pages grown"
    );
    assert!(grown <= GROWN_MAX, "{grown} pages of 64 KiB");
    assert!(envoy.process().end().unwrap().success());
}

/// By how much the memory of all workers grew since they were configured, pages of 64 KiB.
const GROWN: &str = "memory_grown_pages_total";

/// What all streams that the load has at once take, if the kernel gives their connections to one worker and, in another
/// state, to the other. Four bytes left behind by each request would be three and a half.
const GROWN_MAX: u64 = 2;

/// The filter's place in the shipped configuration.
const FILTER: &str = "                  - name: syntrace\n";

/// The same place, with the filter switched off.
fn off() -> String {
    format!("{FILTER}                    disabled: true\n")
}

/// Reads one of the filter's own metrics.
fn metric(sandbox: &Sandbox, name: &str) -> anyhow::Result<u64> {
    let url = format!("http://127.0.0.1:{ADMIN_PORT}/stats?filter=syntrace.{name}");
    let printed = Program::new("admin", &sandbox.watching, "curl")
        .inside(&sandbox.gateway)
        .args(["-q", "-sS", "--fail", "--noproxy", "*", &url])
        .start(sandbox.directory())?
        .finish(SOON)?;
    let value = printed.trim().rsplit(' ').next().map(str::parse);
    value
        .with_context(|| printed.clone())?
        .context(name.to_owned())
}

/// The shipped gateway with a short queue, and with a service that is as fast as the gateway behind all routes.
fn gateway() -> Gateway {
    let service = format!("address: {SERVICE_HTTP}, port_value: {FAST_PORT}");
    Gateway::shipped()
        .with(
            "address: ${HTTP_ADDRESS}, port_value: ${HTTP_PORT}",
            service.as_str(),
        )
        .with("${FILTER_CONFIG}", r#"{"max_queue_bytes": 262144}"#)
        .with(
            "address: ${GRPC_ADDRESS}, port_value: ${GRPC_PORT}",
            service.as_str(),
        )
}

/// A bridge that keeps its log where its predecessor kept it.
fn durable(sandbox: &Sandbox) -> anyhow::Result<Bridge> {
    let directory: PathBuf = sandbox.directory().join("data");
    Bridge::start_with(
        sandbox,
        &bridge::facts_url(sandbox),
        &["--data-dir", &directory.display().to_string()],
    )
}

fn failing(sandbox: &Sandbox, mode: &str) -> anyhow::Result<Process> {
    let mut process = Program::new("failing-bridge", &sandbox.watching, paths::python()?)
        .args([paths::own("services/failing_bridge.py")])
        .args([bridge::facts_socket(sandbox).as_os_str(), mode.as_ref()])
        .start(sandbox.directory())?;
    process.wait_for_line("listening", SOON)?;
    Ok(process)
}
