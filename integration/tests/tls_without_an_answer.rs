//! A service that hangs behind TLS: its kernel takes the connection and the ClientHello, nobody answers, and Envoy's
//! connect timeout ends it. That was the service, not the network.

use std::{net::SocketAddr, time::Duration};

use syntrace_integration::{
    api::{Join, Opening},
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Gateway, PORT},
    requirements,
    sandbox::{SERVICE_HTTP, Sandbox},
    services::{self, SILENT_PORT},
    stack::Stack,
};

/// Every record settles within this: a grace period, and the linger of what was dialled.
const SETTLED: Duration = Duration::from_secs(60);

#[test]
fn a_service_that_never_answers_the_tls_handshake_is_named_and_not_the_network() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let _service = services::silent(&sandbox, &sandbox.service_http, SERVICE_HTTP).unwrap();
    let stack = Stack::start_with(&sandbox, encrypted()).unwrap();
    clients::curl(&sandbox, PORT, Version::Http1, &["/dead"]).unwrap();

    let bridge = stack.bridge.client();
    let request = deadline::wait("the request, settled", SETTLED, || {
        let requests = bridge.requests()?;
        Ok(match requests.as_slice() {
            [request] if request.settled => Look::Done(request.clone()),
            _ => Look::NotYet(format!("{requests:?}")),
        })
    })
    .unwrap();
    let cause = &request.cause;
    assert_eq!(
        (cause.party.as_str(), cause.code.as_str()),
        ("service", "tls_failed"),
        "{}",
        cause.sentence
    );
    // All of it but the handshakes, and what the proxy does beside.
    assert!(
        request.time.service_ns * 10 > request.duration_ns * 9,
        "{request:?}"
    );
    let Some(Join::Made { connection, .. }) = &request.opened else {
        panic!("{:?}", request.opened);
    };
    let connections = bridge.connections().unwrap();
    let opened = connections.iter().find(|opened| opened.id == *connection);
    let peer = SocketAddr::from((SERVICE_HTTP, SILENT_PORT));
    assert_eq!(opened.unwrap().peer, Some(peer));
    assert_eq!(opened.unwrap().opening, Some(Opening::Active));
}

/// The shipped gateway with a service behind `/dead` that is spoken to by TLS, and hangs.
fn encrypted() -> Gateway {
    Gateway::shipped().with(
        "    - name: dead\n      connect_timeout: 1s\n",
        "    - name: dead\n      connect_timeout: 0.5s\n      transport_socket: {name: envoy.transport_sockets.tls, \
         typed_config: {'@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}\n",
    )
    .with(
        "address: 127.0.0.1, port_value: ${DEAD_PORT}",
        format!("address: {SERVICE_HTTP}, port_value: {SILENT_PORT}"),
    )
}
