//! Without the probe: requests are there as before, unjoined, and everything says why.

use std::time::Duration;

use syntrace_integration::{
    api::Join,
    clients::{self, Version},
    deadline::{self, Look},
    envoy::PORT,
    requirements,
    sandbox::Sandbox,
    stack::Stack,
};

/// Batches are flushed and records settle well within this.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn without_the_probe_requests_are_there_and_say_what_is_missing() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start_without_probe(&sandbox).unwrap();
    let sent = clients::curl(&sandbox, PORT, Version::Http1, &["/hello", "/dead"]).unwrap();
    let bridge = stack.bridge.client();
    let requests = deadline::wait("both requests, settled", SOON, || {
        let requests = bridge.requests()?;
        let is_done =
            requests.len() == sent.len() && requests.iter().all(|request| request.settled);
        Ok(if is_done {
            Look::Done(requests)
        } else {
            Look::NotYet(format!("{requests:?}"))
        })
    })
    .unwrap();

    let mut statuses: Vec<_> = requests
        .iter()
        .map(|request| (request.path.as_str(), request.status))
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [("/dead", Some(503)), ("/hello", Some(200))]);
    for request in &requests {
        let upstream = request.served_by.iter().chain(&request.opened);
        for join in upstream.chain([&request.received_on]) {
            assert!(says_why(join), "{}: {join:?}", request.path);
        }
        assert!(!request.cause.sentence.is_empty());
    }
    let connections = bridge.connections().unwrap();
    assert_eq!(
        connections.len(),
        1,
        "the client's, as the proxy saw it: {connections:?}"
    );
    assert_eq!(
        (connections[0].opening, connections[0].outcome.as_deref()),
        (None, None)
    );
    assert_eq!(connections[0].requests.len(), 2);
    let coverage = bridge.coverage().unwrap();
    assert!(coverage.rung.is_none(), "{:?}", coverage.rung);
    assert_eq!(coverage.lost, 0);
}

/// A join to the kernel's record is not made, or is only to what the proxy itself knows.
fn says_why(join: &Join) -> bool {
    match join {
        Join::Missing { missing } => missing == "no_kernel_view",
        Join::Made { method, .. } => method == "proxy",
    }
}
