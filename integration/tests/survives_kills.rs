//! `kill -9` of each part in turn while a client asks without a pause: nobody else is harmed, and what comes
//! back joins again.

use std::time::Duration;

use syntrace_integration::{
    api::Client,
    bridge::Bridge,
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Envoy, PORT},
    probe::Probe,
    requirements,
    sandbox::Sandbox,
    stack::Stack,
    steady::Steady,
};

/// Batches are kept, sent again and flushed well within this.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn killing_the_bridge_harms_no_request_and_the_next_one_joins() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut stack = Stack::start(&sandbox).unwrap();
    let client = Steady::start(&sandbox, PORT, "/hello").unwrap();
    client.wait_for_more().unwrap();

    stack.bridge.process().kill().unwrap();
    client.wait_for_more().unwrap();
    stack.bridge = Bridge::start(&sandbox).unwrap();
    joins(&sandbox, stack.bridge.client()).unwrap();

    assert_eq!(client.wait_for_more().unwrap().errors, [""; 0]);
}

#[test]
fn killing_the_probe_harms_no_request_and_the_next_one_joins() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut stack = Stack::start(&sandbox).unwrap();
    let client = Steady::start(&sandbox, PORT, "/hello").unwrap();
    client.wait_for_more().unwrap();

    stack.probe.as_mut().unwrap().process().kill().unwrap();
    client.wait_for_more().unwrap();
    stack.probe = Some(Probe::start(&sandbox).unwrap());
    joins(&sandbox, stack.bridge.client()).unwrap();

    assert_eq!(client.wait_for_more().unwrap().errors, [""; 0]);
}

#[test]
fn killing_envoy_harms_nothing_beyond_its_own_death_and_the_next_one_joins() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut stack = Stack::start(&sandbox).unwrap();
    let client = Steady::start(&sandbox, PORT, "/hello").unwrap();
    let before = client.wait_for_more().unwrap();
    assert_eq!(before.errors, [""; 0]);

    stack.envoy.process().kill().unwrap();
    stack.envoy = Envoy::start(&sandbox).unwrap();
    let after = client.wait_for_more().unwrap();
    joins(&sandbox, stack.bridge.client()).unwrap();

    // Its death was felt, and nothing after it.
    assert!(!after.errors.is_empty());
    assert_eq!(client.wait_for_more().unwrap().errors, after.errors);
}

#[test]
fn a_probe_that_is_asked_to_end_delivers_everything_and_says_goodbye() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut stack = Stack::start(&sandbox).unwrap();
    let connect = clients::connect(&sandbox, PORT).unwrap();
    let status = stack.probe.as_mut().unwrap().end().unwrap();
    assert!(status.success(), "{status}");

    let bridge = stack.bridge.client();
    let connections = bridge.connections().unwrap();
    let end = connections
        .iter()
        .find(|end| end.local == Some(connect.local))
        .unwrap();
    assert!(end.closed_at.is_some());
    let coverage = bridge.coverage().unwrap();
    let probe = coverage
        .senders
        .iter()
        .find(|sender| sender.name == "probe")
        .unwrap();
    assert!(probe.goodbye && probe.missing == 0, "{probe:?}");
}

/// Makes a request and waits until the bridge has joined it, certainly, to the connection it came on.
fn joins(sandbox: &Sandbox, bridge: &Client) -> anyhow::Result<()> {
    let exchanges = clients::curl(sandbox, PORT, Version::Http1, &["/after-the-kill"])?;
    let local = exchanges.first().map(|exchange| exchange.local);
    deadline::wait("the request to be joined", SOON, || {
        let requests = bridge.requests()?;
        let request = requests
            .into_iter()
            .find(|request| request.path == "/after-the-kill");
        let Some(request) = request else {
            return Ok(Look::NotYet("no such request".to_owned()));
        };
        let connections = bridge.connections()?;
        let end = connections
            .iter()
            .find(|end| Some(end.id.as_str()) == request.received_on.connection());
        let is_its = end.is_some_and(|end| end.peer == local);
        let is_done = request.received_on.is_certain("exact") && is_its;
        Ok(if is_done {
            Look::Done(())
        } else {
            Look::NotYet(format!("{request:?} on {end:?}"))
        })
    })
}
