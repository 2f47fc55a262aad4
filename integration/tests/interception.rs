//! Gateways that are not called by their own address: what stands between the client's SYN and Envoy
//! rewrites addresses, and the join says how sure it can still be.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use syntrace_integration::{
    api::{Connection, Join, Opening, Request},
    clients::{Curl, Exchange},
    deadline::{self, Look},
    envoy::{self, Gateway},
    front, process,
    process::Program,
    requirements,
    sandbox::{GATEWAY, SERVICE_HTTP, Sandbox},
    services::HTTP_PORT,
    stack::Stack,
};

/// A batch, and a grace period.
const SOON: Duration = Duration::from_secs(30);

/// A user of no one else, whose connections the gateway's namespace redirects.
const APPLICATION: u32 = 64321;

/// What Envoy tells of the socket's own ends; without it, only what it calls them.
const DIRECT: &str = "object_key: syntrace.addresses";
const NOT_DIRECT: &str = "object_key: elsewhere.addresses";

/// Where intercepted connections are accepted: on a listener with an address of its own, Envoy takes that
/// for the address of every connection.
const ADDRESS: &str = "socket_address: { address: ${LISTEN}, port_value: ${LISTEN_PORT} }";
const ANY_ADDRESS: &str = "socket_address: { address: 0.0.0.0, port_value: ${LISTEN_PORT} }";

/// Where plain requests go; or the gateway answers them by itself.
const TO_SERVICE: &str = "route: { cluster: service_http }";
const BY_ITSELF: &str = "direct_response: { status: 200 }";

const LISTENER: &str = "    - name: downstream\n";

/// Restores what the client dialled, which the kernel remembers (`SO_ORIGINAL_DST`).
const ORIGINAL_DESTINATION: &str = "    - name: downstream\n      listener_filters: [{name: \
    envoy.filters.listener.original_dst, typed_config: {'@type': \
    type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]\n";

/// Accepts what was not sent to it (`IP_TRANSPARENT`).
const TRANSPARENT: &str = "    - name: downstream\n      transparent: true\n";

/// Takes the client's address from PROXY protocol.
const PROXY_PROTOCOL: &str = "    - name: downstream\n      listener_filters: [{name: \
    envoy.filters.listener.proxy_protocol, typed_config: {'@type': \
    type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}]\n";

/// A gateway that takes the port that clients dial, 80.
const REDIRECT: &str = "table ip nat { chain in { type nat hook prerouting priority dstnat; \
    tcp dport 80 redirect to :10000; }; }";

/// A sidecar: what an application of the gateway's own namespace dials is led into the gateway.
const SIDECAR: &str = "table ip nat { chain out { type nat hook output priority -100; \
    meta skuid 64321 tcp dport 8080 redirect to :10000; }; }";

/// A gateway on the way to the service.
const TPROXY: &str = "table ip mangle { chain in { type filter hook prerouting priority mangle; \
    ip daddr 198.51.100.2 tcp dport 8080 tproxy to 192.0.2.1:10000 meta mark set 1 accept; }; }";

#[test]
fn behind_a_redirect_the_sockets_own_ends_join_exactly() {
    let seen = redirected(Gateway::shipped().with(LISTENER, ORIGINAL_DESTINATION)).unwrap();
    let Some((request, socket)) = seen else {
        return;
    };
    assert!(request.received_on.is_certain("exact"), "{request:?}");
    assert_eq!(request.received_on.connection(), Some(socket.id.as_str()));
}

#[test]
fn behind_a_redirect_the_clients_end_alone_joins_as_likely() {
    let gateway = Gateway::shipped()
        .with(LISTENER, ORIGINAL_DESTINATION)
        .with(DIRECT, NOT_DIRECT);
    let Some((request, socket)) = redirected(gateway).unwrap() else {
        return;
    };
    assert_eq!(how(&request), ("peer", "likely"), "{request:?}");
    assert_eq!(request.received_on.connection(), Some(socket.id.as_str()));
}

#[test]
fn a_sidecars_redirect_joins_the_accepted_socket_and_not_the_applications() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let gateway = Gateway::shipped()
        .with(ADDRESS, ANY_ADDRESS)
        .with(LISTENER, ORIGINAL_DESTINATION);
    let stack = Stack::start_with(&sandbox, gateway).unwrap();
    sandbox.gateway.filter_packets(SIDECAR).unwrap();
    let application = Program::new("application", &sandbox.watched, "setpriv")
        .inside(&sandbox.gateway)
        .args([
            "--reuid",
            &APPLICATION.to_string(),
            "--clear-groups",
            "curl",
        ]);
    let service = (SERVICE_HTTP, HTTP_PORT).into();
    let told = Curl::run(&sandbox, application, service, &[], &["/hello"]);
    let told = told.unwrap().finish().unwrap();

    let (request, sockets) = joined(&stack).unwrap();
    assert!(request.received_on.is_certain("exact"), "{request:?}");
    let joined = received_on(&request, &sockets).unwrap();
    assert_eq!(joined.opening, Some(Opening::Passive), "{joined:?}");
    assert_eq!(joined.peer, Some(told[0].local), "{joined:?}");
}

#[test]
fn behind_tproxy_the_accepted_socket_has_the_services_address_and_joins_exactly() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let gateway = Gateway::shipped()
        .with(ADDRESS, ANY_ADDRESS)
        .with(LISTENER, TRANSPARENT);
    let stack = Stack::start_with(&sandbox, gateway).unwrap();
    sandbox.gateway.filter_packets(TPROXY).unwrap();
    let (client, gateway) = (sandbox.client.name(), sandbox.gateway.name());
    let to_service = ["198.51.100.0/24", "via", &GATEWAY.to_string()].join(" ");
    for command in [
        format!("-n {client} route add {to_service}"),
        format!("-n {gateway} rule add fwmark 1 lookup 100"),
        format!("-n {gateway} route add local default dev lo table 100"),
    ] {
        process::run("ip", command.split(' ')).unwrap();
    }
    let service = (SERVICE_HTTP, HTTP_PORT).into();
    let told = fetch(&sandbox, service).unwrap();

    let (request, sockets) = joined(&stack).unwrap();
    assert!(request.received_on.is_certain("exact"), "{request:?}");
    let joined = received_on(&request, &sockets).unwrap();
    assert_eq!(joined.opening, Some(Opening::Passive), "{joined:?}");
    assert_eq!(
        (joined.peer, joined.local),
        (Some(told.local), Some(service))
    );
}

#[test]
fn behind_proxy_protocol_the_direct_ends_join_exactly() {
    for version in [1, 2] {
        let gateway = Gateway::shipped().with(LISTENER, PROXY_PROTOCOL);
        let Some((request, sockets, told)) = behind_front(gateway, version).unwrap() else {
            return;
        };
        assert!(request.received_on.is_certain("exact"), "{request:?}");
        let joined = received_on(&request, &sockets).unwrap();
        assert_eq!(joined.local, Some((GATEWAY, envoy::PORT).into()));
        assert_ne!(
            joined.peer,
            Some(told.local),
            "the front's end, not the client's"
        );
    }
}

#[test]
fn behind_proxy_protocol_without_the_direct_ends_nothing_is_joined_and_it_says_why() {
    let gateway = Gateway::shipped()
        .with(LISTENER, PROXY_PROTOCOL)
        .with(DIRECT, NOT_DIRECT);
    let Some((request, _, _)) = behind_front(gateway, 2).unwrap() else {
        return;
    };
    let Join::Missing { missing } = &request.received_on else {
        unreachable!("joined to {:?}", request.received_on);
    };
    assert_eq!(missing, "address_hidden");
}

#[test]
fn a_first_request_that_envoy_answers_by_itself_is_not_joined_for_certain_to_the_front_s_socket() {
    let gateway = Gateway::shipped()
        .with(LISTENER, PROXY_PROTOCOL)
        .with(DIRECT, NOT_DIRECT)
        .with(TO_SERVICE, BY_ITSELF);
    let Some((request, sockets, _)) = behind_front(gateway, 2).unwrap() else {
        return;
    };
    assert_eq!(how(&request), ("exact", "likely"), "{request:?}");
    let joined = received_on(&request, &sockets).unwrap();
    assert_eq!(joined.local, Some(front::address()), "the front's own");
}

#[test]
fn a_first_request_that_envoy_answers_by_itself_is_certain_by_the_sockets_own_ends() {
    let answering = || Gateway::shipped().with(TO_SERVICE, BY_ITSELF);
    let behind = answering().with(LISTENER, PROXY_PROTOCOL);
    let Some((request, sockets, _)) = behind_front(behind, 2).unwrap() else {
        return;
    };
    let own = Some((GATEWAY, envoy::PORT).into());
    assert!(request.received_on.is_certain("exact"), "{request:?}");
    assert_eq!(received_on(&request, &sockets).unwrap().local, own);

    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start_with(&sandbox, answering()).unwrap();
    let told = fetch(&sandbox, (GATEWAY, envoy::PORT).into()).unwrap();
    let (request, sockets) = joined(&stack).unwrap();
    assert!(request.received_on.is_certain("exact"), "{request:?}");
    let joined = received_on(&request, &sockets).unwrap();
    assert_eq!((joined.local, joined.peer), (own, Some(told.local)));
}

/// One request through a gateway that a redirect leads to, and the socket that was accepted.
fn redirected(gateway: Gateway) -> anyhow::Result<Option<(Request, Connection)>> {
    if !requirements::are_met() {
        return Ok(None);
    }
    let sandbox = Sandbox::new()?;
    let stack = Stack::start_with(&sandbox, gateway)?;
    sandbox.gateway.filter_packets(REDIRECT)?;
    let told = fetch(&sandbox, (GATEWAY, 80).into())?;

    let (request, sockets) = joined(&stack)?;
    let accepted = sockets
        .into_iter()
        .find(|socket| (socket.opening, socket.peer) == (Some(Opening::Passive), Some(told.local)));
    let accepted = accepted.context("finding the accepted socket")?;
    assert_eq!(accepted.local, Some((GATEWAY, envoy::PORT).into()));
    Ok(Some((request, accepted)))
}

/// One request through HAProxy and the gateway.
fn behind_front(
    gateway: Gateway,
    version: u8,
) -> anyhow::Result<Option<(Request, Vec<Connection>, Exchange)>> {
    if !requirements::are_met() {
        return Ok(None);
    }
    let sandbox = Sandbox::new()?;
    let stack = Stack::start_with(&sandbox, gateway)?;
    let _front = front::start(&sandbox, version)?;
    let told = fetch(&sandbox, front::address())?;
    let (request, sockets) = joined(&stack)?;
    Ok(Some((request, sockets, told)))
}

/// Fetches one page from `address` as a client.
fn fetch(sandbox: &Sandbox, address: SocketAddr) -> anyhow::Result<Exchange> {
    let curl = Program::new("curl", &sandbox.watched, "curl").inside(&sandbox.client);
    let told = Curl::run(sandbox, curl, address, &[], &["/hello"]);
    let told = told?.finish()?.remove(0);
    assert_eq!(told.status, 200);
    Ok(told)
}

/// Waits for the one request, settled, and returns it with all connections.
fn joined(stack: &Stack) -> anyhow::Result<(Request, Vec<Connection>)> {
    let bridge = stack.bridge.client();
    deadline::wait("a settled request", SOON, || {
        let request = bridge.requests()?.pop();
        Ok(match request {
            Some(request) if request.settled => Look::Done((request, bridge.connections()?)),
            other => Look::NotYet(format!("{other:?}")),
        })
    })
}

fn received_on<'a>(request: &Request, sockets: &'a [Connection]) -> anyhow::Result<&'a Connection> {
    let id = request.received_on.connection().context("not joined")?;
    let socket = sockets.iter().find(|socket| socket.id == id);
    socket.context("joined to an unknown connection")
}

fn how(request: &Request) -> (&str, &str) {
    match &request.received_on {
        Join::Made {
            method, confidence, ..
        } => (method, confidence),
        Join::Missing { missing } => ("", missing),
    }
}
