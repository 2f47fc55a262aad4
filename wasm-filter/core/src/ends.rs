//! What does not change while a downstream connection lives: read once, with its first request.
//!
//! The shipped configurations let Envoy's network filter `set_filter_state` write down what wasm cannot
//! see: `syntrace.addresses`, four addresses divided by spaces (the socket's own local and peer, then
//! those after PROXY protocol or a redirection), and `syntrace.tls`, the nanoseconds from the connection's
//! beginning to the end of its TLS handshake and the name that the client asked for. A report says that both
//! pairs of addresses are the same in three bytes, and has the socket's own beside the others where they differ.

use std::net::IpAddr;

use syntrace_model::Endpoint;

use crate::{
    Attribute, Host,
    attribute::endpoint,
    wire::{self, Message, request},
};

/// Longest server name that a report carries, bytes (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// What a downstream connection is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client's end, as Envoy sees it.
    pub(crate) peer: Option<Endpoint>,
    /// By TLS; empty without.
    pub(crate) server_name: String,
    /// What a report says of all this: it is the same in each.
    pub(crate) report: Message,
}

/// Both ends of a connection, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
}

// === impl Ends ===

impl Ends {
    /// Reads what the proxy knows of the connection at hand.
    pub(crate) fn read(host: &impl Host) -> Self {
        let (direct, seen) = addresses(host);
        let protocol = host.attribute(Attribute::RequestProtocol);
        let protocol = protocol.unwrap_or_default();
        let (tls_handshake_ns, server_name) = match host.attribute(Attribute::ConnectionTls) {
            Some(tls) => handshake(&tls),
            // A session that Envoy does not decrypt has a name and no handshake of Envoy's.
            None if protocol.is_empty() => (None, server_name(host)),
            None => (None, String::new()),
        };
        let mut report = Message::with_capacity(96);
        end(&mut report, request::LOCAL, seen.local);
        end(&mut report, request::PEER, seen.peer);
        match direct {
            Some(direct) if direct == seen => report.bool(request::DIRECT, true),
            Some(direct) => {
                end(&mut report, request::DIRECT_LOCAL, direct.local);
                end(&mut report, request::DIRECT_PEER, direct.peer);
            }
            None => {}
        }
        report.text(request::PROTOCOL, &protocol, MAX_NAME_BYTES);
        report.some_uint(request::TLS_HANDSHAKE_NS, tls_handshake_ns);
        report.bytes(request::SERVER_NAME, server_name.as_bytes());
        Self {
            peer: seen.peer,
            server_name,
            report,
        }
    }
}

/// Writes an end as an `Endpoint`, if it is known.
pub(crate) fn end(to: &mut Message, field: u32, end: Option<Endpoint>) {
    let Some(end) = end else {
        return;
    };
    let mut message = Message::with_capacity(24);
    match end.address() {
        IpAddr::V4(address) => message.bytes(wire::endpoint::ADDRESS, &address.octets()),
        IpAddr::V6(address) => message.bytes(wire::endpoint::ADDRESS, &address.octets()),
    }
    message.uint(wire::endpoint::PORT, end.port().into());
    to.message(field, &message);
}

/// Returns the socket's own ends, if they are written down, and those that Envoy sees.
fn addresses(host: &impl Host) -> (Option<Pair>, Pair) {
    if let Some(line) = host.attribute(Attribute::ConnectionAddresses) {
        let mut ends = line.split(|byte| *byte == b' ').map(endpoint);
        let mut pair = || Pair {
            local: ends.next().flatten(),
            peer: ends.next().flatten(),
        };
        return (Some(pair()), pair());
    }
    let end = |attribute| host.attribute(attribute).as_deref().and_then(endpoint);
    let seen = Pair {
        local: end(Attribute::DestinationAddress),
        peer: end(Attribute::SourceAddress),
    };
    (None, seen)
}

/// Reads `syntrace.tls`; what Envoy has no value for is `-`.
fn handshake(tls: &[u8]) -> (Option<u64>, String) {
    let mut words = tls.split(|byte| *byte == b' ');
    let duration_ns = words
        .next()
        .and_then(|word| str::from_utf8(word).ok()?.parse().ok());
    let name = words.next().filter(|name| *name != b"-");
    (duration_ns, text(name.unwrap_or_default()))
}

fn server_name(host: &impl Host) -> String {
    let name = host.attribute(Attribute::RequestedServerName);
    text(&name.unwrap_or_default())
}

fn text(name: &[u8]) -> String {
    wire::text(name, MAX_NAME_BYTES).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_has_a_duration_and_a_name() {
        assert_eq!(
            handshake(b"1500000 example.test"),
            (Some(1_500_000), "example.test".to_owned())
        );
        assert_eq!(handshake(b"- -"), (None, String::new()));
        assert_eq!(handshake(b""), (None, String::new()));
        assert_eq!(handshake(b"-1"), (None, String::new()));
    }
}
